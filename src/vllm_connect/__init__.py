"""The Python client for vLLM servers: the official OpenAI SDK, made truthful and fast for vLLM."""

import importlib
import logging
from typing import TYPE_CHECKING

from ._version import __version__

if TYPE_CHECKING:
    from ._client import VLLM, AsyncVLLM
    from ._keys.key import Key
    from ._keys.policy import Policy
    from ._routed import AsyncRoutedTransport, RoutedTransport
    from .errors import (
        APIConnectionError,
        APIStatusError,
        APITimeoutError,
        AuthenticationError,
        BadRequestError,
        ConfigError,
        ConflictError,
        ContextLengthError,
        IncompleteStreamError,
        InternalServerError,
        InvalidResponseError,
        MissingURLError,
        NoKeyError,
        NotFoundError,
        PermissionDeniedError,
        RateLimitError,
        UnprocessableEntityError,
        UnsupportedOperationError,
        VLLMError,
    )

# As in every library: what is logged is shown by those who configure logging, and not on stderr.
logging.getLogger(__name__).addHandler(logging.NullHandler())

__all__ = [
    "VLLM",
    "APIConnectionError",
    "APIStatusError",
    "APITimeoutError",
    "AsyncRoutedTransport",
    "AsyncVLLM",
    "AuthenticationError",
    "BadRequestError",
    "ConfigError",
    "ConflictError",
    "ContextLengthError",
    "IncompleteStreamError",
    "InternalServerError",
    "InvalidResponseError",
    "Key",
    "MissingURLError",
    "NoKeyError",
    "NotFoundError",
    "PermissionDeniedError",
    "Policy",
    "RateLimitError",
    "RoutedTransport",
    "UnprocessableEntityError",
    "UnsupportedOperationError",
    "VLLMError",
    "__version__",
]


_HOMES = {
    "VLLM": "_client",
    "AsyncVLLM": "_client",
    "Key": "_keys.key",
    "Policy": "_keys.policy",
    "RoutedTransport": "_routed",
    "AsyncRoutedTransport": "_routed",
}


def __getattr__(name: str) -> object:
    # Loaded when first used: the pytest plugin and the command line live in this package, too, and
    # shall not cost everybody the import of the SDK.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
