"""The server: listening, and stopping without cutting what is under way."""

from __future__ import annotations

import asyncio
import errno
import logging
import signal
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress

import uvicorn

from ..._transport.loops import accept_no_more
from ...errors import ConfigError
from .connections import limited
from .exchange import Receive, Scope, Send
from .settings import Settings

BACKLOG = 2048
_OTHER_FILES = 256  # the configuration's, the log's, a server that is verified

App = Callable[[Scope, Receive, Send], object]


def listen(settings: Settings) -> socket.socket:
    """Open the socket that the gateway listens on.

    Raises:
        ConfigError: it cannot; the message says why, and what to do.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    address = settings.host, settings.port
    try:
        opened = socket.create_server(address, family=family, backlog=BACKLOG)
    except OSError as error:
        place = f"{settings.host}:{settings.port}"
        if error.errno == errno.EADDRINUSE:
            problem = f"{place} is in use by another program: end that, or choose another port with --port"
        elif error.errno in (errno.EACCES, errno.EPERM):
            problem = f"may not listen on {place}: choose a port from 1024 with --port"
        else:
            problem = f"cannot listen on {place}: {error.strerror or error}"
        raise ConfigError(problem) from None
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # what is accepted inherits it
    return opened


class _Uvicorn(uvicorn.Server):
    """uvicorn's server, which leaves everything open when it is told to stop before it has started.

    And whoever is let in while it stops: nobody ends such a connection, or waits for its transport.
    """

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.should_exit and self.started:
            await self.shutdown(sockets=sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for each in sockets or ():
            await accept_no_more(each)
        await super().shutdown(sockets=sockets)


class Server:
    """A gateway that listens.

    Args:
        app: what answers.
        settings: of the gateway.
        listener: the socket.
    """

    def __init__(self, app: App, settings: Settings, listener: socket.socket) -> None:
        for name in ("uvicorn", "uvicorn.error"):  # it has nothing to say that the access log does not
            logging.getLogger(name).setLevel(logging.ERROR)
        config = uvicorn.Config(
            app,
            http=limited(settings),
            ws="none",
            lifespan="on",
            loop="none",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=settings.idle_seconds,
            timeout_graceful_shutdown=settings.grace,  # type: ignore[arg-type]  # any number of seconds
        )
        self._settings = settings
        self._server = _Uvicorn(config)
        self._listener = listener

    @property
    def url(self) -> str:
        """Its URL."""
        host, port = self._listener.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def run(self) -> None:
        """Serve until SIGINT or SIGTERM; requests under way may then end within the grace, idle ones not."""
        _raise_file_limit(2 * self._settings.max_connections + _OTHER_FILES)
        with _ending_quietly():
            _run_to_completion(self._server.serve(sockets=[self._listener]))

    def stop(self) -> None:
        """Begin to stop."""
        self._server.should_exit = True


def _raise_file_limit(files: int) -> None:
    """Let the process open so many files, as far as it may: each request takes two, and 1024 are usual."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = files if hard == resource.RLIM_INFINITY else min(files, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        with suppress(OSError, ValueError):  # macOS has a lower one of its own
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _run_to_completion(work: Coroutine[object, object, None]) -> None:
    """Run a coroutine on a loop of its own, uvloop's where that is installed.

    uvicorn's own `run` makes uvloop the loop of the whole process until 0.36, of other threads as well.
    """

    async def main() -> None:
        try:
            await work
        finally:
            left = asyncio.all_tasks() - {asyncio.current_task()}
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    loop = _new_loop()
    try:
        loop.run_until_complete(main())
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:  # it is not made for Windows
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


@contextmanager
def _ending_quietly() -> Iterator[None]:
    """Let the process end well after a signal, which uvicorn raises again when it is done."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
