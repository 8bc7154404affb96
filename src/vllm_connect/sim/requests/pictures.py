"""The picture behind a URL, as far as vLLM looks at it before the model does: nothing is fetched here."""

from __future__ import annotations

import base64
import binascii
from urllib.parse import urlsplit

from ..http.errors import SimError, refused

_PNG = b"\x89PNG\r\n\x1a\n"
_BEGINNINGS = (b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"BM", b"II*\x00", b"MM\x00*")
_UNKNOWN = "Failed to load image: cannot identify image file <_io.BytesIO object>"


def check_picture(url: str, number: int = 0) -> None:
    """Refuse a URL that leads to no picture.

    Args:
        url: as it came.
        number: how many pictures there are before it.

    Raises:
        SimError: a 400, 422, 500 or 501, in vLLM's words.
    """
    if not url:
        what = f"multi_modal_data['image'][{number}] is empty but multi_modal_uuids['image'][{number}]"
        raise refused(f"{what} is missing.")
    parts = urlsplit(url)
    if parts.scheme in ("http", "https"):
        if not parts.netloc:
            error = refused("Failed to fetch media from URL: Invalid URL", "image_url", url)
            raise SimError(422, error.message, "image_url")
    elif parts.scheme == "data":
        _check_data(url)
    elif parts.scheme == "file":
        raise SimError(500, "Cannot load local files without `--allowed-local-media-path`.")
    else:
        raise refused("The URL must be either a HTTP, data or file URL.")


def _check_data(url: str) -> None:
    head, comma, data = url.partition(",")
    if not comma:
        raise refused(f"Invalid data URL {url!r}: missing ',' separator.")
    if not head.endswith(";base64"):
        raise SimError(501, "Only base64 data URLs are supported for now.")
    try:
        content = base64.b64decode(data + "=" * (-len(data) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise refused("Non-base64 digit found") from None
    if not _is_picture(content):
        raise refused(_UNKNOWN)


def _is_picture(content: bytes) -> bool:
    """Tell whether a file begins as a picture does: of a PNG the pixels have to begin, too."""
    if content.startswith(_PNG):
        return b"IDAT" in content
    return content.startswith(_BEGINNINGS) or (content[:4] == b"RIFF" and content[8:12] == b"WEBP")
