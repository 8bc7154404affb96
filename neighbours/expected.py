"""Where ours and the stock client are known to differ: the one list of all cells that are not the same.

`break`   the stock client works, ours does not: a fault of ours, here until it is mended
`better`  the stock client fails or shows less, ours does it right
`theirs`  the tool fails on both, and nothing of ours is in it

A cell is `ENVIRONMENT/MODULE/SCENARIO`, and a pattern may stand for several. The list is strict: a break that
works again fails the bed until its line is removed, and so does a line that fits no cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["same", "break", "better", "theirs"]


@dataclass(frozen=True)
class Expected:
    """What is known of some cells, and why it is so."""

    cells: tuple[str, ...]
    verdict: Verdict
    reason: str


EXPECTED = (
    Expected(
        ("*/sdk/hasattr_or_else",),
        "break",
        "`delta.reasoning` always reads, as an empty text where none was sent, so `hasattr` cannot tell "
        "reasoning from content; its truth can.",
    ),
    Expected(
        ("*/sdk/client_with_organization", "*/sdk/copied_client_with_organization"),
        "break",
        "`organization=`, `project=` and their kin are no arguments of the client or of its copies.",
    ),
    Expected(
        ("*/sdk/responses_with_mcp",),
        "break",
        "Responses over chat completions have no tools of the server, though the server may have them.",
    ),
    Expected(
        ("*/sdk/transcription_choices",),
        "break",
        "Streamed transcriptions come as OpenAI's events only, without the `choices` that vLLM sends.",
    ),
    Expected(
        (
            "*/sdk/post_stream_of_done_only",
            "*/sdk/post_stream_with_flat_error",
            "*/sdk/post_stream_unfinished",
        ),
        "better",
        "The stock client checks no stream: a lost answer is an empty or a short one.",
    ),
    Expected(("*/sdk/no_tools",), "theirs", "vLLM refuses `tools=[]`, which agents without tools send."),
    Expected(("*/sdk/pickled_client",), "better", "The stock client cannot be pickled."),
    Expected(
        ("tracers/langsmith/parse",),
        "break",
        "`parse` calls `create` on the wrapped resource, so that one call is seen twice.",
    ),
    Expected(
        ("agents/agent_framework/responses_tools",),
        "theirs",
        "It wants reasoning back in an encrypted form that vLLM does not have.",
    ),
    Expected(
        ("openai2/strands/structured",),
        "better",
        "It sends `tools=[]`, which vLLM refuses and our `parse` leaves out.",
    ),
    Expected(
        ("openai2/strands/without_tools",),
        "theirs",
        "It sends `tools=[]`, which vLLM refuses.",
    ),
    Expected(
        ("litellm/dspy/call",),
        "better",
        "It shows reasoning under the name `reasoning_content` only, which is an alias of ours.",
    ),
    Expected(
        ("litellm/litellm/stream_of_done_only", "litellm/litellm/stream_with_flat_error"),
        "theirs",
        "LiteLLM calls `client.post(…, stream_cls=…)`, where no stream is checked.",
    ),
)
