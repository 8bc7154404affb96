"""Faults that change a right answer in JSON into a wrong one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .fault import Fault, declare

Change = Callable[[dict[str, Any]], Any]


def change_body(fault: Fault, payload: Any) -> Any:
    """The changed answer; the same if it is not that kind of fault, or not that kind of answer."""
    change = _CHANGES.get(fault.name)
    return change(payload) if change and isinstance(payload, dict) else payload


def _each_result(edit: Callable[[int, dict[str, Any]], None]) -> Change:
    def change(payload: dict[str, Any]) -> Any:
        for i, result in enumerate(payload.get("results") or ()):
            edit(i, result)
        return payload

    return change


def _without_first(key: str) -> Change:
    return _each_result(lambda i, result: result.pop(key, None) if i == 0 else None)


def _same_index(i: int, result: dict[str, Any]) -> None:
    result["index"] = 0


def _far_index(i: int, result: dict[str, Any]) -> None:
    result["index"] += 1000 * (i == 0)


def _renamed(i: int, result: dict[str, Any]) -> None:
    result["score"] = result.pop("relevance_score")


def _zero(i: int, result: dict[str, Any]) -> None:
    result["relevance_score"] = 0.0


def _unsorted(payload: dict[str, Any]) -> Any:
    if isinstance(payload.get("results"), list):
        payload["results"].reverse()
    return payload


def _no_list(payload: dict[str, Any]) -> Any:
    if isinstance(payload.get("results"), list):
        payload["results"] = {str(result["index"]): result for result in payload["results"]}
    return payload


def _shuffled(payload: dict[str, Any]) -> Any:
    if isinstance(payload.get("data"), list):
        payload["data"].reverse()
    return payload


def _one_missing(payload: dict[str, Any]) -> Any:
    if isinstance(payload.get("data"), list):
        payload["data"] = payload["data"][:-1]
    return payload


def _aborted(payload: dict[str, Any]) -> Any:
    for choice in payload.get("choices") or ():
        if choice.get("finish_reason"):
            choice["finish_reason"] = "abort"
    return payload


def reasoning_content(payload: dict[str, Any]) -> Any:
    """Call the reasoning `reasoning_content`, as vLLM before 0.12 does."""
    for choice in payload.get("choices") or ():
        for said in (choice.get("message"), choice.get("delta")):
            if isinstance(said, dict) and "reasoning" in said:
                said["reasoning_content"] = said.pop("reasoning")
    return payload


def _without_usage(payload: dict[str, Any]) -> Any:
    if "usage" in payload:
        payload["usage"] = None
    return payload


_CHANGES: dict[str, Change] = {
    "rerank_missing_index": _without_first("index"),
    "rerank_duplicate_index": _each_result(_same_index),
    "rerank_index_out_of_range": _each_result(_far_index),
    "rerank_missing_score": _without_first("relevance_score"),
    "rerank_score_key": _each_result(_renamed),
    "rerank_zero_score": _each_result(_zero),
    "rerank_unsorted": _unsorted,
    "rerank_not_list": _no_list,
    "data_shuffled": _shuffled,
    "data_one_missing": _one_missing,
    "no_usage": _without_usage,
    "abort": _aborted,
    "reasoning_content": reasoning_content,
}
for _name in _CHANGES:
    declare(_name)
