"""Sounds and pictures for the tests, made of arithmetic so that no file is needed.

tiny-whisper hears `tone(300)` as " This is a low tone.", `tone(1500)` as " This is a high tone." and
`tone(0)` as " This is silence."; tiny-vision answers "The image is red." to `png_url((255, 0, 0))`.
"""

from __future__ import annotations

import array
import base64
import io
import math
import struct
import sys
import wave
import zlib

RATE = 16000


def tone(hertz: float, seconds: float = 1.5) -> bytes:
    """A WAV file, 16 kHz mono, with one sine; 0 Hz is silence."""
    step = 2 * math.pi * hertz / RATE
    samples = array.array("h", (int(12000 * math.sin(step * i)) for i in range(int(seconds * RATE))))
    if sys.byteorder == "big":
        samples.byteswap()
    file = io.BytesIO()
    with wave.open(file, "wb") as clip:
        clip.setnchannels(1)
        clip.setsampwidth(2)
        clip.setframerate(RATE)
        clip.writeframes(samples.tobytes())
    return file.getvalue()


def png(color: tuple[int, int, int], size: int = 64) -> bytes:
    """A PNG file: a square of one color."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)  # 8 bits for each of red, green, blue
    row = b"\0" + bytes(color) * size  # each row begins with its filter: none
    chunks = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(row * size)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def png_url(color: tuple[int, int, int], size: int = 64) -> str:
    """The same as a data: URL."""
    return "data:image/png;base64," + base64.b64encode(png(color, size)).decode()
