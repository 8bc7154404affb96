"""A conversation as the prompt that the model sees, and how long that may be."""

from __future__ import annotations

import json
from collections.abc import Sequence

from ..answers.answer import Json
from ..answers.grammar import media_count, text_of
from ..answers.tokens import IMAGE, encode
from ..http.errors import refused, too_long

QUIET = "<think>\n\n</think>\n\n"


def render(
    messages: Sequence[Json],
    tools: Sequence[Json] = (),
    *,
    quiet: bool = False,
    generate: bool = True,
    open_ended: bool = False,
) -> str:
    """Apply the simulator's chat template (ChatML, as Qwen has it).

    Args:
        messages: the conversation.
        tools: the functions that may be called.
        quiet: whether thinking is turned off.
        generate: whether the assistant's turn is begun.
        open_ended: whether the last message is left open, to be continued.
    """
    out, rest = [], list(messages)
    system = ""
    if rest and rest[0].get("role") in ("system", "developer"):
        system = text_of(rest.pop(0))
    if system or tools:
        listed = "".join(json.dumps(tool, ensure_ascii=False) + "\n" for tool in tools)
        listed = f"<tools>\n{listed}</tools>" if tools else ""
        out.append(f"<|im_start|>system\n{system}{listed}<|im_end|>\n")
    for i, message in enumerate(rest):
        role = "system" if message.get("role") == "developer" else message.get("role")
        text = text_of(message) + "<|image|>" * media_count([message])
        for call in message.get("tool_calls") or ():
            text += f"<tool_call>\n{json.dumps(call.get('function'), ensure_ascii=False)}\n</tool_call>"
        end = "" if open_ended and i == len(rest) - 1 else "<|im_end|>\n"
        out.append(f"<|im_start|>{role}\n{text}{end}")
    if generate and not open_ended:
        out.append("<|im_start|>assistant\n" + (QUIET if quiet else ""))
    return "".join(out)


def fit(
    text_or_tokens: str | Sequence[int],
    max_model_len: int,
    *,
    truncate: int | None = None,
    side: str | None = None,
) -> list[int]:
    """The tokens of a prompt, cut if that was asked for.

    Args:
        text_or_tokens: the prompt.
        max_model_len: the most tokens that the model can hold.
        truncate: the request's `truncate_prompt_tokens`; -1 for as many as fit.
        side: which end is cut off: "left" (the default) keeps the last tokens.

    Raises:
        SimError: a 400; the prompt is too long.
    """
    tokens = encode(text_or_tokens) if isinstance(text_or_tokens, str) else list(text_or_tokens)
    if truncate is not None:
        if truncate > max_model_len:
            raise refused(
                f"truncate_prompt_tokens={truncate} cannot be greater than max_model_len = {max_model_len}. "
                "Please request a smaller truncation size.",
                "truncate_prompt_tokens",
                truncate,
            )
        keep = max_model_len if truncate == -1 else truncate
        if len(tokens) > keep:
            tokens = tokens[:keep] if side == "right" else tokens[len(tokens) - keep :]
    if truncate == 0:
        raise refused("The decoder prompt cannot be empty")
    if len(tokens) > max_model_len:
        raise too_long(max_model_len)
    return tokens


def check_room(max_tokens: int | None, max_model_len: int, name: str = "max_tokens") -> None:
    """Refuse to write more than the model can hold.

    Raises:
        SimError: a 400.
    """
    if max_tokens is not None and max_tokens > max_model_len:
        raise refused(
            f"{name}={max_tokens} cannot be greater than max_model_len={max_model_len}. Please request fewer "
            "output tokens.",
            name,
            max_tokens,
        )


def multimodal_tokens(tokens: Sequence[int]) -> int | None:
    """Return the number of tokens that stand for pictures and sounds; `None` where there are none."""
    return tokens.count(IMAGE) or None
