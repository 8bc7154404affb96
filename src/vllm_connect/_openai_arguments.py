"""Arguments of the SDK's clients that vLLM has no use for: code that was written for OpenAI passes them."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from typing_extensions import TypedDict

from ._wire.body import depth_of_caller

if TYPE_CHECKING:
    from ._transport._httpx import httpx


class OpenAIArguments(TypedDict, total=False):
    """They are taken, with one warning; what is given as header is sent as header."""

    organization: str | None
    """Sent as OpenAI-Organization."""
    project: str | None
    """Sent as OpenAI-Project."""
    webhook_secret: str | None
    """Kept on the client, and never sent."""
    websocket_base_url: str | httpx.URL | None
    """Kept on the client: vLLM's websockets are not used."""
    admin_api_key: str | None
    """Kept on the client, and never sent."""


def take_openai_arguments(client: object, arguments: OpenAIArguments) -> None:
    """Keep them on a client, where the SDK keeps them, and warn of those that are not None.

    Args:
        client: a client of either kind.
        arguments: what was passed beside the arguments of ours.

    Raises:
        TypeError: one is no such argument.
    """
    if unknown := arguments.keys() - OpenAIArguments.__annotations__.keys():
        raise TypeError(f"{type(client).__name__}() got an unexpected keyword argument {min(unknown)!r}")
    for name in OpenAIArguments.__annotations__:
        setattr(client, name, arguments.get(name))
    if used := [f"{name}=" for name, value in arguments.items() if value is not None]:
        warnings.warn(
            f"vLLM has no use for {', '.join(used)}: an organization and a project are sent as headers, "
            "anything else stays here",
            stacklevel=depth_of_caller(),
        )
