"""The Python client for vLLM servers: the official OpenAI SDK, made truthful and fast for vLLM."""

from .client import VLLM, AsyncVLLM
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
from .keys import Key

__version__ = "0.1.0"

__all__ = [
    "VLLM",
    "APIConnectionError",
    "APIStatusError",
    "APITimeoutError",
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
    "RateLimitError",
    "UnprocessableEntityError",
    "UnsupportedOperationError",
    "VLLMError",
    "__version__",
]
