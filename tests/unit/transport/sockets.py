"""Both ends of a connection: a small server on a real socket, and a client of either kind."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from vllm_connect._transport._httpx import httpx
from vllm_connect._transport.clients import AsyncTransport, Transport

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Peer:
    """The server's end of one connection."""

    def __init__(self, sock: socket.socket, number: int) -> None:
        self.sock = sock
        self.number = number
        sock.settimeout(20)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._data = bytearray()

    def read(self) -> tuple[bytes, bytes]:
        """Return the head and body of a request, b"" for both if there is none."""
        while b"\r\n\r\n" not in self._data:
            if not (data := self.sock.recv(1 << 16)):
                return b"", b""
            self._data += data
        head = self._take(self._data.index(b"\r\n\r\n") + 4)[:-4]
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        if b"transfer-encoding" in fields:
            body = b""
            while size := int(self._take_line(), 16):
                body += self._take(size)
                self._take(2)
            self._take(2)
            return head, body
        return head, self._take(int(fields.get(b"content-length", 0)))

    def _take_line(self) -> bytes:
        line = b""
        while not line.endswith(b"\r\n"):
            line += self._take(1)
        return line

    def _take(self, size: int) -> bytes:
        while len(self._data) < size:
            data = self.sock.recv(1 << 16)
            assert data
            self._data += data
        taken = bytes(self._data[:size])
        del self._data[:size]
        return taken

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def serve(self, *answers: bytes) -> None:
        """Answer the requests one after another, with the last answer from then on."""
        remaining = list(answers) or [OK]
        while self.read()[0]:
            self.send(remaining.pop(0) if len(remaining) > 1 else remaining[0])

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def sees_close(self) -> bool:
        """Whether the client closes the connection, before long."""
        self.sock.settimeout(10)
        try:
            while self.sock.recv(1 << 16):
                pass
        except ConnectionError:
            pass
        except TimeoutError:
            return False
        return True


class Server:
    """Runs `handler(peer)` in a thread per connection; `errors` holds what the handlers raised."""

    def __init__(
        self, handler: Callable[[Peer], Any], host: str = "127.0.0.1", unix: Path | None = None
    ) -> None:
        self._handler = handler
        if unix is not None:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(str(unix))
            self._listener.listen(512)
            self.url = f"unix://localhost{unix}"
        else:
            self._listener = socket.create_server(
                (host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=512
            )
            self.port = self._listener.getsockname()[1]
            self.url = f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"
        self.connections = 0
        self.errors: list[BaseException] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._handle, args=(Peer(sock, self.connections),))
            self._threads.append(thread)
            thread.start()

    def _handle(self, peer: Peer) -> None:
        with peer.sock:
            try:
                self._handler(peer)
            except ConnectionError:
                pass
            except Exception as exc:  # noqa: BLE001 - told by `close`
                self.errors.append(exc)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(20)
            assert not thread.is_alive(), "the client left a connection open"
        assert not self.errors, self.errors


class Both:
    """A client of either kind, driven from sync code."""

    def __init__(self, kind: str, **options: Any) -> None:
        self.loop = asyncio.new_event_loop() if kind == "async" else None
        timeout = options.pop("timeout", 20)
        if kind == "sync":
            self.transport: Any = Transport(**options)
            self.client: Any = httpx.Client(transport=self.transport, timeout=timeout, follow_redirects=True)
        else:
            self.transport = AsyncTransport(**options)
            self.client = httpx.AsyncClient(transport=self.transport, timeout=timeout, follow_redirects=True)

    def __call__(self, result: Any) -> Any:
        """Wait for whatever a method of the client returned."""
        if self.loop is not None and isinstance(result, Awaitable):
            return self.loop.run_until_complete(result)
        return result

    def get(self, url: str, **options: Any) -> httpx.Response:
        response: httpx.Response = self(self.client.get(url, **options))
        return response

    def post(self, url: str, **options: Any) -> httpx.Response:
        response: httpx.Response = self(self.client.post(url, **options))
        return response

    def open(self, url: str) -> httpx.Response:
        response: httpx.Response = self(self.client.send(self.client.build_request("GET", url), stream=True))
        return response

    def pieces(self, response: httpx.Response) -> Iterator[bytes]:
        if self.loop is None:
            yield from response.iter_bytes()
            return
        iterator = response.aiter_bytes()
        try:
            while True:
                yield self(iterator.__anext__())
        except StopAsyncIteration:
            pass
        finally:
            self(iterator.aclose())

    def close_response(self, response: httpx.Response) -> None:
        self(response.close() if self.loop is None else response.aclose())

    def close(self) -> None:
        self(self.client.close() if self.loop is None else self.client.aclose())
        if self.loop is not None:
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
            self.loop.close()


def streamed(kind: str, parts: list[bytes]) -> Any:
    async def generate() -> AsyncIterator[bytes]:
        for part in parts:
            yield part

    return iter(parts) if kind == "sync" else generate()


Serve = Callable[..., Server]
Make = Callable[..., Both]
