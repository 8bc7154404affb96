"""Other processes and threads: joblib, ProcessPoolExecutor, fork, Ray's actors and closures."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import joblib
import ray
from joblib.externals.loky import get_reusable_executor

from neighbours.scenario import MODEL, Subject, scenario

MESSAGES = [{"role": "user", "content": "Say: hello there"}]


def ask(client: Any) -> str:
    reply = client.chat.completions.create(model=MODEL, messages=MESSAGES)
    return str(reply.choices[0].message.content)


def reply_of(client: Any) -> Any:
    return client.chat.completions.create(model=MODEL, messages=MESSAGES)


def kept(reply: Any) -> Any:
    message = reply.choices[0].message
    return type(reply).__qualname__, message.content, message.reasoning


@scenario("own")
def joblib_threads(subject: Subject) -> Any:
    client = subject.client()
    return joblib.Parallel(n_jobs=2, prefer="threads")(joblib.delayed(ask)(client) for _ in range(3))


@scenario("own")
def threads(subject: Subject) -> Any:
    client = subject.client()
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(ask, [client] * 3))


@scenario("own")
def joblib_processes(subject: Subject) -> Any:
    client = subject.client()
    return joblib.Parallel(n_jobs=2)(joblib.delayed(ask)(client) for _ in range(2))


@scenario("own")
def process_pool(subject: Subject) -> Any:
    client = subject.client()
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return list(pool.map(ask, [client] * 2))


@scenario("own")
def replies_from_a_process(subject: Subject) -> Any:
    client = subject.client()
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return kept(pool.submit(reply_of, client).result())


def started() -> None:
    if not ray.is_initialized():
        ray.init(
            num_cpus=1,
            include_dashboard=False,
            configure_logging=False,
            log_to_driver=False,
            _node_ip_address="127.0.0.1",
        )


def close() -> None:
    ray.shutdown()
    get_reusable_executor().shutdown(wait=False, kill_workers=True)


@scenario("own")
def ray_actor(subject: Subject) -> Any:
    """The client is made in the actor, and its replies travel."""
    started()

    @ray.remote
    class Actor:
        def __init__(self, made: Subject) -> None:
            self.client = made.client()

        def ask(self) -> Any:
            return reply_of(self.client)

    actor = Actor.remote(Subject(subject.kind, subject.url, None))  # type: ignore[arg-type,attr-defined]
    return kept(ray.get(actor.ask.remote()))


@scenario("own")
def ray_closure(subject: Subject) -> Any:
    """The client itself travels."""
    started()
    client = subject.client()
    return ray.get(ray.remote(lambda: ask(client)).remote())
