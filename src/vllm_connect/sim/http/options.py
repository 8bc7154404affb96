"""The options of `SimServer` and `create_app`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from typing_extensions import TypedDict

from ..._calls.capabilities import Version, read_version
from ..faults import Fault

Task = Literal["generate", "embed", "token_embed", "rerank", "classify", "transcription"]
TASKS: tuple[Task, ...] = get_args(Task)
ReasoningField = Literal["reasoning", "reasoning_content", "both"]
ErrorShape = Literal["nested", "flat"]
Template = Literal["lenient", "strict", "no_system", "none"]
NEWEST: Version = (0, 32)
"""The version that answers are held against."""
_CHOICES: dict[str, tuple[str, ...]] = {
    "reasoning_field": get_args(ReasoningField),
    "error_shape": get_args(ErrorShape),
    "template": get_args(Template),
}


@dataclass(frozen=True)
class Options:
    """The options, checked and with their defaults.

    Attributes:
        models: the names under which the one model is served; the first is the one that answers bear.
        tasks: what the model does, all but `token_embed` by default. A real server does one of these, and
            answers 404 to the rest. `token_embed`, alone, is a model with a vector for each token, which vLLM
            serves under `/v1/embeddings`, too, since 0.33.
        api_key: accepted keys; none means that no key is asked for.
        max_model_len: tokens that a prompt and its answer may have together.
        delay: seconds that each generated token takes.
        embedding_dim: numbers in an embedding.
        matryoshka: whether `dimensions` may shorten an embedding.
        labels: the classes of `/classify`.
        version: what `/version` says. One with a number, `"0.31.0"`, lacks the routes that are newer; any
            other has what vLLM 0.32 has.
        reasoning: whether there is a reasoning parser, so that the model thinks unless told not to.
        reasoning_field: where reasoning goes; vLLM before 0.12 has `reasoning_content`, some both.
        error_shape: `nested` is vLLM's since 0.10.1, `flat` is how it was before.
        template: `strict` refuses conversations as the chat templates of Mistral and Qwen 3.5 do: a system
            message comes first, users and assistants take turns; `no_system` as Gemma 2's does: there are
            users and assistants only, in turns; `none` refuses them all, as a server does whose model has no
            chat template; `lenient` renders whatever comes.
        multimodal: whether messages may carry images, videos and sounds.
        prompt_tokens_details: whether usage tells the cached tokens (`--enable-prompt-tokens-details`).
        request_id_headers: whether X-Request-Id comes back as a header (`--enable-request-id-headers`).
        tokenizer_info: whether there is `/tokenizer_info` (`--enable-tokenizer-info-endpoint`).
        scale_out: whether prompts are rendered and tokens generated from tokens (`--enable-scale-out`);
            otherwise those routes answer 403.
        lora: whether adapters are loaded at run time (`--enable-lora`, VLLM_ALLOW_RUNTIME_LORA_UPDATING=1).
        dev: whether there are an operator's routes: sleep, pause, server_info … (VLLM_SERVER_DEV_MODE=1).
        max_body_size: bytes that a request may have, as for vLLM's Rust frontend, which takes 32 MiB; None
            for any number, as for its Python frontend.
        keep_alive: seconds after which the server closes an idle connection.
        faults: what goes wrong from the start; `SimServer.reset` brings it back.
    """

    models: Sequence[str] = ("sim-chat",)
    tasks: Collection[Task] = frozenset(TASKS) - {"token_embed"}
    api_key: Sequence[str] = ()
    max_model_len: int = 32768
    delay: float = 0.0
    embedding_dim: int = 384
    matryoshka: bool = False
    labels: Sequence[str] = ("LABEL_0", "LABEL_1")
    version: str = "sim"
    reasoning: bool = True
    reasoning_field: ReasoningField = "reasoning"
    error_shape: ErrorShape = "nested"
    template: Template = "lenient"
    multimodal: bool = True
    prompt_tokens_details: bool = True
    request_id_headers: bool = False
    tokenizer_info: bool = False
    scale_out: bool = False
    lora: bool = False
    dev: bool = False
    max_body_size: int | None = None
    keep_alive: float = 5.0
    faults: Sequence[Fault] = ()

    @property
    def number(self) -> Version:
        """The minor version that it is like."""
        return read_version(self.version) or NEWEST

    @property
    def fingerprint(self) -> str:
        """The `system_fingerprint` of every answer."""
        return f"vllm-{self.version}-00000000"


class OptionValues(TypedDict, total=False):
    """The options as keyword arguments; see `Options` for what they mean."""

    models: str | Sequence[str]
    tasks: Task | Iterable[Task]
    api_key: str | Sequence[str] | None
    max_model_len: int
    delay: float
    embedding_dim: int
    matryoshka: bool
    labels: Sequence[str]
    version: str
    reasoning: bool
    reasoning_field: ReasoningField
    error_shape: ErrorShape
    template: Template
    multimodal: bool
    prompt_tokens_details: bool
    request_id_headers: bool
    tokenizer_info: bool
    scale_out: bool
    lora: bool
    dev: bool
    max_body_size: int | None
    keep_alive: float
    faults: Sequence[Fault | str]


def options_from(values: OptionValues) -> Options:
    """Check keyword arguments and turns them into options.

    Raises:
        TypeError: an option does not exist.
        ValueError: a task, a fault or the value of an option does not exist, or there is no model.
    """
    options: dict[str, Any] = dict(values)
    unknown = options.keys() - {field.name for field in fields(Options)}
    if unknown:
        raise TypeError(f"no such option: {', '.join(sorted(unknown))}")
    for name in ("models", "tasks", "api_key"):
        if name in options:
            value = options[name]
            options[name] = (value,) if isinstance(value, str) else tuple(value or ())
    if "models" in options and not options["models"]:
        raise ValueError("a server serves at least one model")
    wrong = set(options.get("tasks", ())) - set(TASKS)
    if wrong:
        raise ValueError(f"no such task: {', '.join(sorted(wrong))}; there are {', '.join(TASKS)}")
    if "token_embed" in options.get("tasks", ()) and len(set(options["tasks"])) > 1:
        raise ValueError("a model with the task token_embed has no other task")
    for name, values_of in _CHOICES.items():
        if options.get(name, values_of[0]) not in values_of:
            raise ValueError(f"{name} is {' or '.join(values_of)}, not {options[name]!r}")
    options["faults"] = tuple(Fault.of(fault) for fault in options.get("faults", ()))
    return Options(**options)
