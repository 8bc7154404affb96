"""Doing the trials of one server, and judging how they went."""

from __future__ import annotations

import re
from pathlib import Path

import openai

from scripts.live.cache import read_state
from scripts.versions import chat, operating, pooling
from scripts.versions.results import Outcome, Result
from scripts.versions.trial import Bed, LackingError, Trial, UnshownError, all_trials
from vllm_connect import VLLM, UnsupportedOperationError

__all__ = ["chat", "operating", "pooling", "try_server"]  # they add their trials where they are imported

_REQUEST = re.compile(r'"([A-Z]+) (\S+) HTTP/1\.1" (\d+)')
_LACKING = (403, 404, 405, 501)
"""What a server answers that has no such route, or was not told to have it."""
_LONGEST_NOTE = 200


def try_server(name: str) -> dict[str, Result]:
    """Do the trials of a server that is up."""
    running = read_state()[name]
    results: dict[str, Result] = {}
    with VLLM(running["url"], max_retries=0, timeout=120) as client:
        bed = Bed(client, running["model"], running["url"], running["log"])
        for one in all_trials():
            if one.server == name:
                results[one.name] = result = do(one, bed)
                print(f"{name}: {one.name}: {result['outcome']} {result['note']}", flush=True)
    return results


def do(one: Trial, bed: Bed) -> Result:
    """Do a trial, and read from the server's log what it was asked."""
    log = Path(bed.log)
    begun = log.stat().st_size
    outcome, note = judge(one, bed)
    with log.open("rb") as file:
        file.seek(begun)
        text = file.read().decode(errors="replace")
    requests = dict.fromkeys(
        f"{method} {target} {status}" for method, target, status in _REQUEST.findall(text)
    )
    return Result(outcome=outcome, note=note, requests=list(requests))


def judge(one: Trial, bed: Bed) -> tuple[Outcome, str]:
    """Run a trial; what comes of it, and what is to be said of that."""
    try:
        note = one.run(bed)
    except LackingError as error:
        return "lacks", str(error)
    except UnshownError as error:
        return "not shown", str(error)
    except AssertionError as error:
        return "fails", str(error) or "an assertion failed"
    except UnsupportedOperationError as error:
        return "lacks", message_of(error)
    except openai.APIStatusError as error:
        status = getattr(error, "http_status", error.status_code)
        if re.search("Not Found|Method Not Allowed", str(error)):
            return "lacks", ""
        return ("lacks" if status in _LACKING else "fails"), message_of(error)
    except Exception as error:  # noqa: BLE001  # whatever an old server makes of a new client is a result
        return "fails", message_of(error)
    return "works", note or ""


def message_of(error: Exception) -> str:
    """What an error says in one line, not too long, and without what differs from run to run."""
    text = re.sub(r"Error code: \d+ - | \[\S+, key .*\]|, from http\S+", "", " ".join(str(error).split()))
    text = f"{type(error).__name__}: {text}"
    return text if len(text) <= _LONGEST_NOTE else text[:_LONGEST_NOTE] + " …"
