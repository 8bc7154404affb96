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
        (
            "*/sdk/post_stream_of_done_only",
            "*/sdk/post_stream_with_flat_error",
            "*/sdk/post_stream_unfinished",
        ),
        "better",
        "The stock client checks no stream: a lost answer is an empty or a short one.",
    ),
    Expected(
        ("*/sdk/no_tools", "openai2/strands/without_tools", "openai2/strands/structured"),
        "better",
        "Agents without tools send `tools=[]`, which vLLM refuses and ours leaves out.",
    ),
    Expected(
        (
            "*/sdk/pickled_client",
            "compute/processes/joblib_processes",
            "compute/processes/process_pool",
            "compute/processes/replies_from_a_process",
            "compute/processes/ray_closure",
        ),
        "better",
        "The stock client cannot be pickled.",
    ),
    Expected(
        ("*/openai_agents/responses_tool_loop",),
        "better",
        "It sends a call back in a form that vLLM's `/v1/responses` refuses; ours makes it a chat message.",
    ),
    Expected(
        ("agents/agent_framework/responses_tools",),
        "theirs",
        "It wants reasoning back in an encrypted form that vLLM does not have.",
    ),
    Expected(
        ("litellm/litellm/stream_of_done_only", "litellm/litellm/stream_with_flat_error"),
        "better",
        "LiteLLM calls `client.post(…, stream_cls=…)`, where the stock client checks no stream.",
    ),
)
