"""`SimServer`: the simulated server in a thread of its own, on a free port."""

from __future__ import annotations

import asyncio
import socket
import threading
from types import TracebackType
from typing import Any

import uvicorn
from starlette.applications import Starlette
from typing_extensions import Self, Unpack
from uvicorn.server import ServerState

from ..._transport.loops import accept_no_more
from ..faults import Fault, FaultPlan
from .app import app_with
from .options import OptionValues, options_from
from .recorder import Recorder, Request
from .wire import Connection, with_connection

_PATIENCE = 1.0


class SimServer:
    """An embedded server that speaks vLLM's protocol; a context manager.

        with SimServer(models="llama") as sim:
            client = VLLM(sim.url)

    Args:
        host: the address to listen on.
        port: the port to listen on; 0 for a free one.
        **options: what the server is like; see `Options`.
    """

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0, **options: Unpack[OptionValues]) -> None:
        self.options = options_from(options)
        self.app: Starlette = app_with(self.options)
        self._address = (host, port)
        self._recorder: Recorder = self.app.state.recorder
        self._plan: FaultPlan = self.app.state.plan
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None

    @property
    def url(self) -> str:
        """The server's address, without `/v1`."""
        host, port = self._address
        return f"http://{host}:{port}"

    @property
    def requests(self) -> list[Request]:
        """Every request that reached the server, oldest first."""
        return self._recorder.requests

    @property
    def aborted(self) -> int:
        """The number of requests whose client went away before the end."""
        return self._recorder.aborted

    def wait_for_abort(self, count: int = 1, timeout: float = 5.0) -> bool:
        """Wait until this many clients have gone away; tells whether they did in time."""
        return self._recorder.wait(lambda: self._recorder.aborted >= count, timeout)

    def wait_for_requests(self, count: int = 1, timeout: float = 5.0) -> bool:
        """Wait until this many requests have arrived; tells whether they did in time."""
        return self._recorder.wait(lambda: len(self._recorder.requests) >= count, timeout)

    def fail_next(
        self, fault: Fault | str, *, times: int = 1, path: str | None = None, **values: Any
    ) -> None:
        """Let a fault happen to the next requests, after the faults that already wait.

        Args:
            fault: the fault, or its name.
            times: to how many requests.
            path: only to requests for paths that match.
            **values: the fault's values, when it is given by name.
        """
        self._plan.add(_fault(fault, times, path, values))

    def fail_always(self, fault: Fault | str, *, path: str | None = None, **values: Any) -> None:
        """Let a fault happen to every request, until `clear_faults` or `reset`."""
        self._plan.add(_fault(fault, None, path, values))

    def clear_faults(self) -> None:
        """Let nothing go wrong any more."""
        self._plan.clear()

    def reset(self) -> None:
        """Forget the requests, go back to the faults that the server was made with, wake, unload adapters."""
        self._recorder.clear()
        self._plan.reset()
        if self._loop and self._thread:
            self._loop.call_soon_threadsafe(self.app.state.engine.reset)

    def start(self) -> Self:
        """Start to listen; returns as soon as requests are accepted."""
        if self._thread is not None:
            raise RuntimeError("the server is running")
        self._socket = socket.create_server(self._address)
        # asyncio does this only for sockets that name their protocol; what is accepted inherits it.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._address = self._socket.getsockname()[:2]
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(started,), name="vllm-sim", daemon=True)
        self._thread.start()
        started.wait()
        return self

    def stop(self) -> None:
        """Stop at once: open connections are closed, whatever they carry."""
        if self._thread is None:
            return
        if self._loop and self._stop:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self, started: threading.Event) -> None:
        try:
            asyncio.run(self._serve(started))
        finally:
            started.set()

    async def _serve(self, started: threading.Event) -> None:
        assert self._socket is not None
        config = uvicorn.Config(
            self.app,
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            timeout_keep_alive=self.options.keep_alive,  # type: ignore[arg-type]
        )
        config.load()
        protocol: Any = with_connection(config.http_protocol_class)
        state = ServerState()
        state.default_headers = config.encoded_headers
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await self._loop.create_server(
            lambda: protocol(config=config, server_state=state, app_state={}), sock=self._socket
        )
        started.set()
        try:
            await self._stop.wait()
        finally:
            await accept_no_more(self._socket)
            server.close()
            for each in list(state.connections):
                connection: Connection = each.connection  # type: ignore[union-attr]
                connection.abort()
            if state.tasks:  # they end when they notice it
                await asyncio.wait(state.tasks, timeout=_PATIENCE)


def _fault(fault: Fault | str, times: int | None, path: str | None, values: dict[str, Any]) -> Fault:
    if isinstance(fault, Fault):
        return Fault(fault.name, path=path or fault.path, times=times, **{**fault.values, **values})
    return Fault(fault, path=path, times=times, **values)
