"""A server asked before its key is saved: is it there, which version, which models, what does it serve."""

from __future__ import annotations

import asyncio
from typing import Any

from ...cli.check import Report, check
from ...errors import ConfigError

_SECONDS = 20.0


async def verify(url: str, api_key: str, model: str) -> dict[str, Any]:
    """Ask a server for everything.

    Args:
        url: of the server, or a reference.
        api_key: its token or a reference, ``""`` for none.
        model: the model to ask, ``""`` for those that it lists.
    """
    try:
        report = await asyncio.to_thread(
            check, url, api_key=api_key or None, model=model or None, timeout=_SECONDS
        )
    except ConfigError as error:
        return {"reachable": False, "problem": str(error), "models": [], "operations": []}
    return _table(report)


def _table(report: Report) -> dict[str, Any]:
    facts, problem = report.facts, report.facts.problem
    return {
        "reachable": problem is None,
        "problem": problem.text if problem is not None else "",
        "version": facts.version,
        "latency_ms": None if facts.latency is None else round(facts.latency * 1000, 1),
        "models": [{"id": model.id, "max_model_len": model.max_model_len} for model in facts.models],
        "operations": [
            {
                "operation": row.probe.operation,
                "endpoint": row.probe.endpoint,
                "plain": row.plain.status,
                "stream": None if row.stream is None else row.stream.status,
                "reason": row.plain.reason or (row.stream.reason if row.stream is not None else None),
            }
            for row in report.rows
        ],
    }
