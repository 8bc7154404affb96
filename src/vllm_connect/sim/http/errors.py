"""Errors as vLLM words them, in its two shapes (nested, and flat before 0.10.1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

Model = TypeVar("Model", bound=BaseModel)

_TYPES = {
    400: "BadRequestError",
    401: "AuthenticationError",
    403: "PermissionDeniedError",
    404: "NotFoundError",
    405: "MethodNotAllowedError",
    408: "RequestTimeoutError",
    422: "UnprocessableEntityError",
    429: "RateLimitError",
    501: "NotImplementedError",
    503: "ServiceUnavailableError",
}
_SHOWN_ERRORS = 10
_LONGEST_INPUT = 200
_UNSET: Any = object()
# What pydantic adds to the place of an error and vLLM takes away again.
_INNER_PLACES = frozenset(
    {"str", "int", "float", "bool", "bytes", "list", "dict", "arguments"}
    | {"responseformat", "structuraltagformat", "legacystructuraltagformat"}
)


class SimError(Exception):
    """A request that is refused: becomes the answer."""

    def __init__(self, status: int, message: str, param: str | None = None, type: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.param = status, message, param
        self.type = type or error_type(status)


class LateError(SimError):
    """A request that the engine refuses: too late for a stream, which has begun with a 200."""


class DetailError(Exception):
    """A request that FastAPI refuses before vLLM sees it."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail


def error_type(status: int) -> str:
    """The `type` that vLLM gives to an error with this status."""
    return _TYPES.get(status, "InternalServerError" if status >= 500 else "BadRequestError")


def refused(message: str, param: str | None = None, value: Any = _UNSET, *, late: bool = False) -> SimError:
    """A 400 for a value that vLLM checks itself."""
    if param is not None:
        message += f" (parameter={param}" + ("" if value is _UNSET else f", value={value}") + ")"
    return (LateError if late else SimError)(400, message, param)


def unknown_model(name: str, models: Sequence[str], pooling: bool = False) -> SimError:
    """A 404 for a model that is not served; pooling endpoints do not say which are."""
    message = f"The model `{name}` does not exist."
    if pooling:
        return SimError(404, message)
    return SimError(404, f"{message} Valid aliases: {', '.join(models)}.", "model")


def without_template() -> SimError:
    """A 400 for a conversation, where the model has no chat template."""
    return refused(
        "As of transformers v4.44, default chat template is no longer allowed, so you must provide a chat "
        "template if the tokenizer does not define one."
    )


def too_long(max_model_len: int) -> SimError:
    """A 400 for a prompt that does not fit; vLLM stops counting one token after the limit."""
    return refused(
        f"This model's maximum context length is {max_model_len} tokens. However, your prompt contains at "
        f"least {max_model_len + 1} input tokens, which exceeds this limit even without any output tokens. "
        "Please reduce the length of the input prompt.",
        "input_tokens",
        max_model_len + 1,
    )


def malformed(errors: Sequence[Mapping[str, Any]]) -> SimError:
    """A 400 for a body of the wrong form: pydantic's errors, told as vLLM tells them.

    Args:
        errors: as `ValidationError.errors()` lists them, the place beginning with "body".
    """
    word = "error" if len(errors) == 1 else "errors"
    lines = [f"{len(errors)} validation {word}:"]
    lines += [f"  {_entry(error)}" for error in errors[:_SHOWN_ERRORS]]
    if len(errors) > _SHOWN_ERRORS:
        lines.append(f"  ...and {len(errors) - _SHOWN_ERRORS} more {word}")
    return SimError(400, "\n".join(lines), _place(errors[0]["loc"]), "Bad Request")


def validated(model: type[Model], data: Any, place: str = "body") -> Model:
    """Make a request of a body.

    Args:
        model: what to make.
        data: the body.
        place: where the data stood: "body" or "query".

    Raises:
        SimError: a 400 with everything that is wrong.
    """
    try:
        return model.model_validate(data, from_attributes=True)
    except ValidationError as error:
        errors = errors_in(error, place)
        raise malformed(sorted(errors, key=_position(getattr(model, "ORDER", ())))) from None


def _position(order: Sequence[str]) -> Callable[[Mapping[str, Any]], int]:
    """The place that an error's field has among the fields of a request."""
    places = {name: i for i, name in enumerate(order)}
    return lambda error: places.get(error["loc"][1], -1) if len(error["loc"]) > 1 else -1


def errors_in(error: ValidationError, place: str = "body") -> list[dict[str, Any]]:
    """Return pydantic's errors, their places beginning with where the data stood."""
    return [{**each, "loc": (place, *each["loc"])} for each in error.errors(include_url=False)]


def missing(name: str, body: Any) -> dict[str, Any]:
    """The error that pydantic has for a field that is not there."""
    return {"type": "missing", "loc": ("body", name), "msg": "Field required", "input": body}


def _entry(error: Mapping[str, Any]) -> dict[str, Any]:
    told = {key: error[key] for key in ("type", "loc", "msg", "input", "ctx") if key in error}
    told["loc"] = _place(error["loc"])
    if "input" in told:
        told["input"] = _shortened(told["input"])
    return told


def _place(loc: Sequence[Any]) -> str:
    steps = [str(step) for step in loc]
    kept = [step for step in steps if step.lower() not in _INNER_PLACES and not set("[](){}") & set(step)]
    return ".".join(kept or steps)


def _shortened(value: Any) -> str:
    if isinstance(value, (list, tuple, dict)):
        return f"<{type(value).__name__} of {len(value)} items>"
    text = str(value)
    return text if len(text) <= _LONGEST_INPUT else text[:_LONGEST_INPUT] + "...[truncated]"


def error_body(
    shape: str, status: int, message: str, type: str | None = None, param: str | None = None
) -> dict[str, Any]:
    """An error in one of vLLM's two shapes.

    Args:
        shape: "nested" or "flat".
        status: also the `code` inside.
        message: what went wrong.
        type: vLLM's word for the kind of error; by default the usual one for the status.
        param: the name of the parameter that is to blame.
    """
    type = type or error_type(status)
    if shape == "flat":
        return {"object": "error", "message": message, "type": type, "param": param, "code": status}
    return {"error": {"message": message, "type": type, "param": param, "code": status}}
