"""The table of operations by release of vLLM is made of what was tried, and of all of it."""

from __future__ import annotations

import pytest
from scripts.live.releases import known_flags
from scripts.versions import results, table, trying
from scripts.versions.trial import SECTIONS, Trial, all_trials
from tests.operations.catalogue import OPERATIONS

RELEASES = results.read_all()
TRIAL = Trial("rerank", "`rerank.create`", "rerank", ("rerank.create",), lambda bed: None)


def release(name, outcome="works", note="", requests=("POST /v1/rerank 200",), **changes):
    trials = {"rerank": {"outcome": outcome, "note": note, "requests": list(requests)}} if outcome else {}
    return {
        "release": name,
        "installed": f"vllm {name}, torch 2.13.0",
        "date": "2026-11-29",
        "python": "3.11.7",
        "machine": "x86_64",
        "unstarted": {},
        "trials": trials,
        **changes,
    }


def cells(*releases):
    notes = []
    return [table.cell(TRIAL, one, releases[0], notes) for one in releases], notes


def test_every_operation_is_tried():
    tried = {operation for one in all_trials() for operation in one.operations}
    assert set(OPERATIONS) <= tried


def test_the_page_says_what_was_tried():
    text = table.PAGE.read_text()
    shown = text.partition(table.BEGIN)[2].partition(table.END)[0].strip()
    assert shown == table.render(RELEASES)


@pytest.mark.parametrize("found", RELEASES, ids=lambda found: found["release"])
def test_all_of_a_release_was_tried(found):
    wanted = {one.name for one in all_trials() if one.server not in found["unstarted"]}
    assert set(found["trials"]) == wanted
    assert found["installed"].startswith(f"vllm {found['release']}")
    for name, result in found["trials"].items():
        assert result["requests"] or result["outcome"] == "fails", f"{name}: the server was not asked"


def test_cells():
    newest = release("0.32.0")
    assert cells(newest, release("0.30.0", "lacks"))[0] == ["works", "lacks"]
    assert cells(newest, release("0.30.0", "fails", "other scores")) == (
        ["works", "fails (1)"],
        ["other scores"],
    )
    assert cells(newest, release("0.30.0", note="without it")) == (["works", "differs (1)"], ["without it"])
    twice = cells(newest, release("0.30.0", note="so"), release("0.28.0", note="so"))
    assert twice == (["works", "differs (1)", "differs (1)"], ["so"])


def test_another_route_is_a_difference():
    other = release("0.28.0", requests=("POST /v1/rerank 404", "POST /rerank?x=1 200"))
    assert cells(release("0.32.0"), other) == (["works", "differs (1)"], ["by `/rerank`"])


def test_what_did_not_start_was_not_run():
    absent = release("0.12.0", outcome=None, unstarted={"rerank": "exit code 1"})
    assert cells(release("0.32.0"), absent) == (
        ["works", "not run (1)"],
        ["the server did not start: exit code 1"],
    )
    assert cells(release("0.32.0"), release("0.12.0", outcome=None))[0] == ["works", "not run"]


def test_trials_are_all_there():
    assert {one.run.__module__ for one in all_trials()} == {
        module.__name__ for module in (trying.chat, trying.operating, trying.pooling)
    }
    assert all(trials for trials in SECTIONS.values())


def test_flags_of_an_older_release():
    flags = "--enable-scale-out --max-num-seqs 4"
    assert known_flags(flags, "0.32.0") == ["--enable-scale-out", "--max-num-seqs", "4"]
    assert known_flags(flags, "0.28.0") == ["--max-num-seqs", "4"]
    assert '--compilation-config={"custom_ops":["none"]}' in known_flags(flags, "0.12.0")
