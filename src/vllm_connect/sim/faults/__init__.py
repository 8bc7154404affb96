"""Faults on request.

A request gets the faults of its `X-Sim-Fault` header (`name; key=value; …`, several separated by
commas) and those that `SimServer.fail_next`, `SimServer.fail_always` or the option `faults` set up.

Another answer in place of the right one:

| fault | values (defaults) | what happens |
|---|---|---|
| `400` … `504` | `shape`, `message`, `retry_after` | this status, in the shape it usually has |
| `status` | `code=503`, `shape=nested`, `message`, `retry_after` | any status in any shape |
| `error_200` | `code=503`, `shape=nested`, `message` | 200 with an error payload |
| `html` | `status=502` | an HTML page |
| `empty` | `status=200` | no body |
| `text` | `status=200`, `text` | plain text |
| `redirect` | `status=307`, `location` | a redirect, by default to the same path, which then works |
| `vllm_router` | | what vllm-router 0.1.17 answers to rerank, `/version`, `/load`, `/health` |

A shape is `nested`, `flat`, `string`, `detail`, `anthropic`, `null` or `code_only`; a status may also
come as `html`, `text` or `empty`.

Another body:

| fault | what happens |
|---|---|
| `rerank_missing_index`, `rerank_missing_score` | the first result lacks it |
| `rerank_duplicate_index` | every index is 0 |
| `rerank_index_out_of_range` | the first index is 1000 too large |
| `rerank_score_key` | `score` instead of `relevance_score` |
| `rerank_zero_score` | every score is 0.0 |
| `rerank_unsorted` | worst first |
| `rerank_not_list` | `results` is an object |
| `data_shuffled`, `data_one_missing` | `data` is in reverse, or lacks its last item |
| `no_usage` | `usage` is null |
| `abort` | `finish_reason` is "abort" (streams, too) |
| `reasoning_content` | the reasoning is called so (streams, too) |

Other events in a stream:

| fault | values (defaults) | what happens |
|---|---|---|
| `error_chunk` | `after=0`, `shape=nested`, `code=500`, `message`, `done=true` | an error event |
| `done_only` | | `[DONE]` alone |
| `no_done` | | no `[DONE]` |
| `unfinished` | `after=-1`, `done=false` | no `finish_reason`; a clean end, or `[DONE]` |
| `null_delta` | `after=1` | a chunk with `"delta": null`; empty deltas are null |
| `whole_call` | | each tool call whole in one delta |
| `calls_together` | | all tool calls in one delta |
| `comments` | `every=1`, `text=keep-alive` | a comment before every so many events |
| `crlf` | | lines end with CR LF |
| `no_space` | | `data:{…}` |

Another delivery:

| fault | values (defaults) | what happens |
|---|---|---|
| `ok` | | nothing goes wrong: a gap in a queue of faults |
| `stall` | `where=headers`, `after=1`, `seconds=1.0` | silence in the middle of it |
| `cut` | `where=event`, `after=1`, `how=fin` | the connection ends too soon |
| `drop` | `how=fin` | the connection is closed without a byte |
| `drop_reused` | `how=fin` | the same, but only on a connection that carried a request before |
| `close_after` | `seconds=0.0`, `how=fin` | after the answer the connection is closed, unannounced |
| `bytewise` | `seconds=0.0` | every byte is a write of its own |
| `burst` | | the whole stream is one write |
| `pace` | `seconds=0.02` | a pause before every event |
| `gzip` | | compressed, asked for or not |

`after` counts events. A stall is before the `headers`, before the `first` byte of the body, or in the
`middle`. A cut is within an `event`, `between` events, within a `character` of UTF-8 (in the next event that
has one of several bytes), or after the `finish`; an answer that is no stream is cut in its middle. The
connection ends as `how` says: `fin` closes it, `rst` resets it.
"""

from .delivery import Misbehaving
from .fault import NAMES, Fault
from .plan import FaultPlan

__all__ = ["NAMES", "Fault", "FaultPlan", "Misbehaving"]
