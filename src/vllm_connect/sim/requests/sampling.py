"""Sampling parameters: what every generating endpoint shares, and vLLM's checks of it.

The checks run in vLLM's order, so that a request with two mistakes hears of the same one first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

from ..answers.tokens import VOCABULARY_SIZE
from ..http.errors import SimError, refused

INT64 = 2**63
MOST_STOPS = 4
MOST_LOGPROBS = 20
MOST_CHOICES = 16384

Stop = str | Annotated[list[str], Field(max_length=MOST_STOPS)] | None
TopLogprobs = Annotated[int, BeforeValidator(lambda value: 0 if value is None else value)]


# vLLM's order of the fields, in which it tells what is wrong with them.
_BEGIN = "seed stop stream stream_options"
_SAMPLING = (
    "user use_beam_search top_k min_p repetition_penalty watermarking length_penalty stop_token_ids "
    "include_stop_str_in_output ignore_eos min_tokens skip_special_tokens spaces_between_special_tokens "
    "truncate_prompt_tokens truncation_side"
)
_IDS = (
    "priority request_id session_id return_tokens_as_token_ids return_token_ids routed_experts_prompt_start"
)
_END = "cache_salt kv_transfer_params ec_transfer_params vllm_xargs repetition_detection"
CHAT_ORDER = (
    "messages model frequency_penalty logit_bias logprobs top_logprobs max_tokens max_completion_tokens n "
    f"presence_penalty response_format {_BEGIN} temperature top_p tools tool_choice reasoning_effort "
    f"thinking_token_budget include_reasoning parallel_tool_calls {_SAMPLING} prompt_logprobs "
    "logprob_token_ids allowed_token_ids bad_words echo add_generation_prompt continue_final_message "
    "add_special_tokens documents chat_template chat_template_kwargs media_io_kwargs mm_processor_kwargs "
    f"structured_outputs {_IDS} return_token_offsets return_prompt_text mm_payload return_mm_kwargs {_END} "
    "stream_interval"
).split()
COMPLETION_ORDER = (
    f"model prompt echo frequency_penalty logit_bias logprobs max_tokens n presence_penalty {_BEGIN} suffix "
    f"temperature top_p {_SAMPLING} allowed_token_ids prompt_logprobs logprob_token_ids bad_words "
    f"prompt_embeds add_special_tokens response_format structured_outputs {_IDS} return_token_offsets "
    f"mm_payload return_mm_kwargs {_END} thinking_token_budget stream_interval"
).split()


def _budget(value: Any) -> int | None:
    if value is None or value == -1:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise refused(
            "`thinking_token_budget` must be a non-negative integer or -1 for unlimited.",
            "thinking_token_budget",
            value,
        )
    return value


@dataclass
class RepetitionDetectionParams:
    """The limits of repetition in an answer. Errors tell the name of the class, which is vLLM's."""

    max_pattern_size: int = 0
    min_pattern_size: int = 0
    min_count: int = 0

    def __post_init__(self) -> None:
        """Refuse sizes that contradict each other."""
        if self.max_pattern_size < 0 or not 0 <= self.min_pattern_size <= self.max_pattern_size:
            raise refused(
                "max_pattern_size, min_pattern_size must be >=0, with min_pattern_size <= max_pattern_size. "
                "Set both to 0 to disable repetitive pattern detection."
            )
        if self.max_pattern_size > 0 and self.min_count < 2:
            raise refused(
                "min_count must be >= 2 to detect repetitive patterns in engine output. If you do not wish "
                "to detect repetitive patterns, set max_pattern_size to 0."
            )


class StreamOptions(BaseModel):
    """Options of a stream: what it tells beside its text."""

    model_config = ConfigDict(extra="allow")

    include_usage: bool | None = False
    continuous_usage_stats: bool | None = False


class JsonSchema(BaseModel):
    """A schema with its name."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())

    name: str
    description: str | None = None
    schema_: dict[str, Any] | None = Field(None, alias="schema")
    strict: bool | None = None


class ResponseFormat(BaseModel):
    """The form of an answer, in OpenAI's words."""

    model_config = ConfigDict(extra="allow")

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class StructuralTagFormat(BaseModel):
    """A structural tag."""

    model_config = ConfigDict(extra="allow")

    type: Literal["structural_tag"]
    format: Any


class LegacyStructuralTagFormat(BaseModel):
    """A structural tag in its older form."""

    model_config = ConfigDict(extra="allow")

    type: Literal["structural_tag"]
    structures: list[dict[str, Any]]
    triggers: list[str]


class StructuredOutputs(BaseModel):
    """The form of an answer, in vLLM's words."""

    model_config = ConfigDict(extra="ignore")

    json_: str | dict[str, Any] | None = Field(None, alias="json")
    regex: str | None = None
    choice: list[str] | None = None
    grammar: str | None = None
    json_object: bool | None = None
    disable_any_whitespace: bool = False
    disable_additional_properties: bool = False
    whitespace_pattern: str | None = None
    structural_tag: str | None = None


class Sampling(BaseModel):
    """The fields of a request that say how to generate; unknown fields are ignored, as by vLLM."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())

    model: str | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    max_tokens: int | None = None
    n: int | None = 1
    presence_penalty: float | None = None
    seed: int | None = Field(None, ge=-INT64, le=INT64 - 1)
    stop: Stop = []
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    temperature: float | None = None
    top_p: float | None = None
    user: str | None = None
    use_beam_search: bool = False
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    length_penalty: float = 1.0
    stop_token_ids: list[int] | None = []
    include_stop_str_in_output: bool = False
    ignore_eos: bool = False
    min_tokens: int = 0
    skip_special_tokens: bool = True
    spaces_between_special_tokens: bool = True
    truncate_prompt_tokens: Annotated[int, Field(ge=-1, le=INT64 - 1)] | None = None
    truncation_side: Literal["left", "right"] | None = None
    prompt_logprobs: int | None = None
    allowed_token_ids: list[int] | None = None
    bad_words: list[str] = Field(default_factory=list)
    echo: bool | None = False
    response_format: ResponseFormat | StructuralTagFormat | LegacyStructuralTagFormat | None = None
    structured_outputs: StructuredOutputs | None = None
    priority: int = Field(0, ge=-INT64, le=INT64 - 1)
    request_id: str = ""
    session_id: str | None = None
    return_tokens_as_token_ids: bool | None = None
    return_token_ids: bool | None = None
    cache_salt: str | None = None
    kv_transfer_params: dict[str, Any] | None = None
    ec_transfer_params: dict[str, Any] | None = None
    vllm_xargs: dict[str, str | int | float | list[str | int | float]] | None = None
    watermarking: bool | None = None
    logprob_token_ids: list[int] | None = None
    thinking_token_budget: Annotated[int | None, BeforeValidator(_budget)] = None
    routed_experts_prompt_start: int = Field(0, ge=0)
    return_token_offsets: bool | None = False
    mm_payload: Literal["tensors", "none"] = "tensors"
    return_mm_kwargs: bool | None = None
    repetition_detection: RepetitionDetectionParams | None = None
    stream_interval: Annotated[int, Field(ge=1)] | None = None

    #: The names of the fields as vLLM orders them; empty for "as they stand here".
    ORDER: ClassVar[list[str]] = []

    @property
    def stops(self) -> list[str]:
        """The stop strings, as a list."""
        return [self.stop] if isinstance(self.stop, str) else list(self.stop or ())

    @property
    def choices(self) -> int:
        """The number of answers that are wanted."""
        return 1 if self.n is None else self.n


def check_options(data: dict[str, Any]) -> None:
    """Refuse what contradicts itself, before the fields are looked at one by one.

    Raises:
        SimError: a 400.
    """
    format = data.get("response_format")
    constraints = data.get("structured_outputs")
    if constraints is not None and not isinstance(constraints, dict):
        kind = type(constraints).__name__
        raise SimError(500, f"'{kind}' object has no attribute 'get'", None, "InternalServerError")
    if (
        constraints is not None
        and sum(constraints.get(key) is not None for key in ("json", "regex", "choice")) > 1
    ):
        raise refused(
            "You can only use one kind of constraints for structured outputs ('json', 'regex' or 'choice')."
        )
    if data.get("logprob_token_ids") and not data.get("logprobs"):
        # Only in chat is it a switch.
        needed = "set to true" if "messages" in data else "set"
        raise refused(f"when using `logprob_token_ids`, `logprobs` must be {needed}.", "logprob_token_ids")
    for name in ("prompt_logprobs", "top_logprobs"):
        if data.get(name) is not None and not isinstance(data[name], (int, float)):
            raise refused(f"`{name}` must be an integer.", name, data[name])
    if (count := data.get("prompt_logprobs")) is not None:
        if data.get("stream") and (count > 0 or count == -1):
            raise refused("`prompt_logprobs` are not available when `stream=True`.", "prompt_logprobs")
        if count < 0 and count != -1:
            raise refused("`prompt_logprobs` must be a positive value or -1.", "prompt_logprobs", count)
    if (count := data.get("top_logprobs")) is not None:
        if count < 0 and count != -1:
            raise refused("`top_logprobs` must be a positive value or -1.", "top_logprobs", count)
        if count and not data.get("logprobs"):
            raise refused("when using `top_logprobs`, `logprobs` must be set to true.", "top_logprobs")
    if data.get("stream_options") and not data.get("stream"):
        raise refused("Stream options can only be defined when `stream=True`.", "stream_options")
    if isinstance(format, dict) and format.get("type") == "json_schema" and format.get("json_schema") is None:
        raise refused(
            "When response_format type is 'json_schema', the 'json_schema' field must be provided.",
            "response_format",
        )
    if isinstance(format, dict) and format.get("type") == "structural_tag":
        check_structural_tag(format)
    salt = data.get("cache_salt")
    if salt is not None:
        check_cache_salt(salt)


def check_structural_tag(form: dict[str, Any]) -> None:
    """Refuse a structural tag that has neither of its two forms.

    Raises:
        SimError: a 400.
    """
    if isinstance(form.get("format"), dict):
        return
    if isinstance(form.get("structures"), list) and isinstance(form.get("triggers"), list):
        return
    raise refused("Invalid response_format structural_tag specification.", "response_format")


def check_cache_salt(salt: Any) -> None:
    """Refuse a salt that a cache could not be named after."""
    if not isinstance(salt, str) or not salt:
        raise refused("Parameter 'cache_salt' must be a non-empty string if provided.", "cache_salt")
    if len(salt) > 128 or set(salt) & set("@/\\\x00"):
        raise refused(
            "Parameter 'cache_salt' must be at most 128 characters and must not contain '@', '/', "
            "'\\\\', or NUL.",
            "cache_salt",
        )


def check_trusted(body: Mapping[str, Any]) -> None:
    """Refuse what a server allows only to clients that it trusts; vLLM does so after it found the model.

    Args:
        body: as it came: vLLM looks whether there is anything, not what.

    Raises:
        SimError: a 400.
    """
    for name, work in (("mm_processor_kwargs", "preprocessing"), ("media_io_kwargs", "media loading")):
        if body.get(name):
            raise refused(
                f"Per-request {name} are disabled by default because they can change multimodal {work} "
                "resource usage. Start the server with --trust-request-mm-kwargs only when clients are "
                "trusted.",
                name,
            )


def check_sampling(request: Sampling) -> None:
    """Refuse values out of their range.

    Raises:
        SimError: a 400.
    """
    temperature = 1.0 if request.temperature is None else float(request.temperature)
    top_p = 1.0 if request.top_p is None else float(request.top_p)
    n = request.choices
    if n < 1:
        raise refused(f"n must be at least 1, got {n}.")
    if n > MOST_CHOICES:
        raise refused(
            f"n must be at most {MOST_CHOICES}, got {n}. To increase this limit, set the "
            "VLLM_MAX_N_SEQUENCES environment variable."
        )
    for name in ("presence_penalty", "frequency_penalty"):
        value = getattr(request, name)
        if value is not None and not -2 <= value <= 2:
            raise refused(f"{name} must be in [-2, 2], got {value}.")
    if request.repetition_penalty is not None and request.repetition_penalty <= 0:
        raise refused(f"repetition_penalty must be greater than zero, got {request.repetition_penalty}.")
    if temperature < 0:
        raise refused(f"temperature must be non-negative, got {temperature}.", "temperature", temperature)
    if temperature > 2:
        raise refused(f"temperature must be in [0, 2], got {temperature}.", "temperature", temperature)
    if not 0 < top_p <= 1:
        raise refused(f"top_p must be in (0, 1], got {top_p}.", "top_p", top_p)
    if request.top_k is not None and request.top_k < -1:
        raise refused(f"top_k must be 0 (disable), or at least 1, got {request.top_k}.")
    if request.min_p is not None and not 0 <= request.min_p <= 1:
        raise refused(f"min_p must be in [0, 1], got {request.min_p}.")
    most = request.max_tokens
    if most is not None and most < 1:
        raise refused(f"max_tokens must be at least 1, got {most}.", "max_tokens", most)
    if request.min_tokens < 0:
        raise refused(f"min_tokens must be greater than or equal to 0, got {request.min_tokens}.")
    if most is not None and request.min_tokens > most:
        raise refused(
            f"min_tokens must be less than or equal to max_tokens={most}, got {request.min_tokens}."
        )
    if any(not stop for stop in request.stops):
        raise refused("stop cannot contain an empty string.")
    if not all(request.bad_words):
        raise refused(f"bad_words cannot contain an empty string. Got bad_words={request.bad_words}")
    words = [key for key in request.logit_bias or () if not key.removeprefix("-").isdigit()]
    if words:
        raise refused(
            f"logit_bias contains key(s) that cannot be converted to integer token IDs: {words}",
            "logit_bias",
            words,
        )
    if n > 1 and temperature == 0 and not request.use_beam_search:
        raise refused(f"n must be 1 when using greedy sampling, got {n}.")


def check_engine(request: Sampling, logprobs: int | None) -> None:
    """Refuse what only the engine finds: too many logprobs, and token ids that do not exist.

    Raises:
        LateError: a 400; a stream has already begun.
    """
    logprobs = VOCABULARY_SIZE if logprobs == -1 else logprobs
    if logprobs is not None and logprobs > MOST_LOGPROBS:
        raise refused(
            f"Requested sample logprobs of {logprobs}, which is greater than max allowed: {MOST_LOGPROBS}",
            "logprobs",
            logprobs,
            late=True,
        )
    named = {"logit_bias": map(int, request.logit_bias or ()), "stop_token_ids": request.stop_token_ids or ()}
    for name, tokens in named.items():
        wrong = [token for token in tokens if not 0 <= token < VOCABULARY_SIZE]
        if wrong:
            raise refused(
                f"token_id(s) {wrong} in {name} contain out-of-vocab token ids. Vocabulary size: "
                f"{VOCABULARY_SIZE}",
                name,
                wrong,
                late=True,
            )
    allowed = request.allowed_token_ids
    if allowed is not None and not allowed:
        raise refused("allowed_token_ids is not None and empty!", "allowed_token_ids", allowed, late=True)
    if any(not 0 <= token < VOCABULARY_SIZE for token in allowed or ()):
        raise refused(
            "allowed_token_ids contains out-of-vocab token id!", "allowed_token_ids", allowed, late=True
        )
