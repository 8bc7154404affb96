"""The served model and its context: looked up, asked once, and not for ever."""

from __future__ import annotations

import asyncio
import copy
import pickle
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from vllm_connect import Key, VLLMError
from vllm_connect.adapters import Served, ServedModels, find_served, served
from vllm_connect.types import Model

KEY = Key(name="a", url="http://a")
MINE = Key(name="a", url="http://a", aliases={"mine": "llama"})


def card(name: str, window: int | None = None, parent: str | None = None) -> Model:
    return Model(id=name, object="model", max_model_len=window, parent=parent)


BASE, SMALL, ADAPTER = card("base", 32768), card("small", 100), card("lora", parent="base")


@pytest.mark.parametrize(
    ("models", "wanted", "keys", "window", "is_listed"),
    [
        ([BASE], "base", [KEY], 32768, True),
        ([BASE], "vllm/base", [KEY], 32768, True),
        ([BASE, ADAPTER], "lora", [KEY], 32768, True),
        ([SMALL, BASE, ADAPTER], "lora", [KEY], 32768, True),
        ([SMALL, BASE, card("lora", parent="elsewhere")], "lora", [KEY], 100, True),
        ([BASE, card("lora", 50, "base")], "lora", [KEY], 50, True),
        ([card("base"), ADAPTER], "lora", [KEY], None, True),
        ([SMALL, BASE], "other", [KEY], 100, False),
        ([SMALL, BASE, ADAPTER], None, [KEY], 100, True),
        ([card("llama", 10), SMALL], "mine", [MINE], 10, True),
        ([card("llama", 10), card("mine", 5)], "mine", [MINE, KEY], 5, True),
        ([], "base", [KEY], None, False),
        ([], None, [KEY], None, False),
    ],
)
def test_a_model_is_looked_up(
    models: list[Model], wanted: str | None, keys: list[Key], window: int | None, is_listed: bool
) -> None:
    found = find_served(models, wanted, keys)
    assert (found.context_window, found.is_listed) == (window, is_listed)
    if wanted is not None:
        assert found.name == wanted


def test_the_default_model_has_the_name_that_the_server_gives_it() -> None:
    assert find_served([ADAPTER, BASE], None, [KEY]).name == "base"


class Server:
    """A client of a server that counts questions and may be down."""

    keys = (KEY,)

    def __init__(self, is_async: bool, refuses: tuple[str, ...] = ()) -> None:
        self.is_async = is_async
        self.refuses = refuses
        self.asked: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.models = SimpleNamespace(list=lambda: self._answer("models", SimpleNamespace(data=[BASE])))

    def with_options(self, **options: Any) -> Server:
        assert options["max_retries"] == 0
        assert options["timeout"] <= 10
        return self

    def tokenize(self, **_: Any) -> Any:
        return self._answer("tokenize", SimpleNamespace(count=20))

    def _answer(self, question: str, answer: Any) -> Any:
        self.asked.append(question)

        def answered() -> Any:
            self.gate.wait(10)
            if question in self.refuses:
                raise VLLMError("down")
            return answer

        async def aanswered() -> Any:
            await asyncio.sleep(0)
            return answered()

        return aanswered() if self.is_async else answered()


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def is_async(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def ask(models: ServedModels, server: Any, model: str | None = "base") -> Served:
    if server.is_async:
        return asyncio.run(models.aask(server, model))
    return models.ask(server, model)


def test_a_server_is_asked_once(is_async: bool) -> None:
    models, server = ServedModels(), Server(is_async)
    assert models.cached(server, "base") is None  # type: ignore[arg-type]  # a stand-in
    assert ask(models, server).context_window == 32768
    assert ask(models, server) == models.cached(server, "base")  # type: ignore[arg-type]  # a stand-in
    assert server.asked == ["models"]
    assert ask(models, server, None).name == "base"
    assert server.asked == ["models", "models"]


def test_many_that_ask_together_ask_once() -> None:
    models, server = ServedModels(), Server(True)

    async def together() -> list[Served]:
        return await asyncio.gather(*(models.aask(server, "base") for _ in range(5)))  # type: ignore[arg-type]  # a stand-in

    assert len(set(asyncio.run(together()))) == 1
    assert server.asked == ["models"]


def test_the_template_is_counted(is_async: bool) -> None:
    server = Server(is_async)
    assert ask(ServedModels(templated=True), server).template_tokens == 20 + 16
    assert server.asked == ["models", "tokenize"]


def test_a_template_that_is_not_counted_is_estimated(is_async: bool) -> None:
    models, server = ServedModels(templated=True), Server(is_async, refuses=("tokenize",))
    assert ask(models, server) == Served("base", 32768, is_listed=True)
    assert ask(models, server).template_tokens == served.TEMPLATE_TOKENS
    assert server.asked == ["models", "tokenize"]


def test_a_server_that_is_down_is_not_asked_again_at_once(
    is_async: bool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    models, server = ServedModels(), Server(is_async, refuses=("models",))
    for _ in range(3):
        assert ask(models, server) == Served("base")
    assert server.asked == ["models"]
    assert caplog.text.count("down") == 1
    monkeypatch.setattr(served, "ASK_AGAIN_AFTER", 0)
    ask(models, server)
    assert server.asked == ["models", "models"]


def test_other_servers_are_asked_anew(is_async: bool) -> None:
    models, server = ServedModels(), Server(is_async)
    ask(models, server)
    server.keys = (MINE,)
    ask(models, server)
    assert server.asked == ["models", "models"]


def test_an_event_loop_waits_a_moment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served, "PATIENCE_IN_LOOPS", 0.01)
    models, server = ServedModels(), Server(False)
    server.gate.clear()
    assert models.ask_for_a_moment(server, "base") is None  # type: ignore[arg-type]  # a stand-in
    assert models.ask_for_a_moment(server, "base") is None  # type: ignore[arg-type]  # a stand-in
    server.gate.set()
    assert models._thread is not None
    models._thread.join()
    assert models.ask_for_a_moment(server, "base") == Served("base", 32768, is_listed=True)  # type: ignore[arg-type]  # a stand-in
    assert server.asked == ["models"]


def test_what_is_known_is_neither_copied_nor_pickled(is_async: bool) -> None:
    models, server = ServedModels(templated=True), Server(is_async)
    ask(models, server)
    for other in (copy.deepcopy(models), pickle.loads(pickle.dumps(models))):
        assert other == models
        assert other.cached(server, "base") is None
        assert ask(other, Server(is_async)).template_tokens == 36


def test_a_default_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    models = ServedModels()
    for _ in range(2):
        models.warn_of_default(3900, "set context_window=")
    assert caplog.text.count("3900 tokens are assumed: set context_window=") == 1
