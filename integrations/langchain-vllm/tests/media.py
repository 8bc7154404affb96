"""Media for the standard tests, which would download theirs."""

from __future__ import annotations

import base64
import io
import math
import struct
import wave
import zlib
from types import SimpleNamespace


def png(color: tuple[int, int, int] = (255, 0, 0), size: int = 32) -> bytes:
    """A square of one colour."""
    rows = (b"\0" + bytes(color) * size) * size

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def wav(hertz: float = 300.0, seconds: float = 0.5, rate: int = 16000) -> bytes:
    """A tone."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        samples = (int(12000 * math.sin(2 * math.pi * hertz * i / rate)) for i in range(int(seconds * rate)))
        sound.writeframes(b"".join(struct.pack("<h", sample) for sample in samples))
    return file.getvalue()


def download(url: str, **_: object) -> SimpleNamespace:
    """What `httpx.get` would bring, without the network."""
    return SimpleNamespace(content=wav() if url.endswith(".wav") else png())


def as_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
