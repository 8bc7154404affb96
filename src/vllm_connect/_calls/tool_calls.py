"""Tool calls: pieces of a stream in, whole calls out; and their arguments, read whole or not at all.

One rule says which pieces belong together, since servers and routers leave out ids, repeat names, send a
fresh id with every piece (vLLM 0.6 to 0.8) and number all calls 0:

* A piece with the id of the call in hand, or with neither id nor name, continues that call.
* A piece with a name begins another call, unless the name is the same and the arguments so far are not
  whole (or the id is the same and the name has not been followed by arguments yet: then it is one name in
  two pieces).
* An id without a name begins nothing, and nor does a name that is only said again: the arguments that
  follow do.
* Calls with different indices are different; one index proves nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol
from uuid import uuid4

from .._wire.endings import describe_cut


class ArgumentsError(ValueError):
    """The arguments of a tool call are no JSON object; the message says why, and `text` is what they are."""

    def __init__(self, problem: str, text: str) -> None:
        super().__init__(problem)
        self.text = text


class Function(Protocol):
    """The function of a call, or what a piece tells of it."""

    name: str | None
    arguments: str | None


class Delta(Protocol):
    """A piece of a call, or a whole one, of the SDK's types; all of it may be missing."""

    id: str | None

    @property
    def function(self) -> Function | None:
        """The function."""


class ToolCall(NamedTuple):
    """A tool call.

    Attributes:
        id: unique among the calls of an answer; made up where the server sent none.
        name: the function's; "" where the server sent none.
        arguments: their text as the model wrote it, "" where there are none (or null).
    """

    id: str
    name: str
    arguments: str


class Piece(NamedTuple):
    """An addition to a call, made by a piece of a stream.

    Attributes:
        number: of the call, from 0, in the order in which the calls begin.
        begins: whether it is the call's first piece.
        id: of the call, the same in all its pieces.
        name: what the name goes on with; "" if with nothing.
        arguments: what the text of the arguments goes on with; "" if with nothing.
    """

    number: int
    begins: bool
    id: str
    name: str
    arguments: str


def read_arguments(text: str, finish_reason: str | None, *, is_last: bool = True) -> dict[str, object]:
    """The arguments of a tool call.

    Strings in it may hold raw line breaks, and an object that was encoded twice is read: neither can mean
    anything else. Nothing is repaired.

    Args:
        text: their JSON; empty or null for no arguments.
        finish_reason: how the answer ended. No arguments are only believed where the model was not cut off.
        is_last: whether the call is the answer's last, the only one that a cut may have hit.

    Raises:
        ArgumentsError: they are no JSON object, or were cut off before they began.
    """
    cut, said = describe_cut(finish_reason), text.strip()
    # vLLM (0.32) itself writes {} for a call that was cut off behind its name.
    if said in ("", "null") or (said == "{}" and finish_reason and cut and is_last):
        if cut is None:
            return {}
        raise ArgumentsError(f"the answer is not whole, and nothing came of its arguments: {cut}", text)
    try:
        value = json.loads(text, strict=False)
        if isinstance(value, str):
            value = json.loads(value, strict=False)
    except (ValueError, RecursionError) as error:
        raise ArgumentsError(f"its arguments are no JSON: {error}", text) from error
    if not isinstance(value, dict):
        raise ArgumentsError(f"its arguments are no JSON object but {_kind(value)}", text)
    return value


def readable(text: str, finish_reason: str | None, *, is_last: bool = True) -> bool:
    """Tell whether `read_arguments` can read them."""
    try:
        read_arguments(text, finish_reason, is_last=is_last)
    except ArgumentsError:
        return False
    return True


def whole_calls(calls: Iterable[object] | None) -> list[ToolCall]:
    """The calls of an answer that came in one piece.

    Args:
        calls: the message's `tool_calls`; those that are not of functions are left out.
    """
    ids = _CallIds()
    return [
        ToolCall(ids.take(getattr(call, "id", None)), function.name or "", _arguments_text(function))
        for call in calls or ()
        if (function := getattr(call, "function", None)) is not None
    ]


def new_call_id() -> str:
    """An id, in vLLM's own shape, for a call that came without: its result has to name it."""
    return f"chatcmpl-tool-{uuid4().hex}"


class ToolCalls:
    """The tool calls of one stream, as far as they came."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._at: dict[int, _Call] = {}  # by the server's index
        self._current: _Call | None = None
        self._early_ids: dict[int | None, str] = {}  # of calls whose names are still to come
        self._ids = _CallIds()

    def __bool__(self) -> bool:
        return bool(self._calls)

    @property
    def calls(self) -> list[ToolCall]:
        """The calls so far."""
        return [ToolCall(call.id, call.name, call.arguments) for call in self._calls]

    def feed(self, deltas: Sequence[Delta]) -> list[Piece]:
        """Take the `tool_calls` of a chunk.

        Returns:
            What they add, one piece for each call. Pieces that add nothing are left out, and so is, until
            it is known whether it is more than that, a text which may become `null`.
        """
        pieces: dict[int, Piece] = {}
        for position, delta in enumerate(deltas):
            index = getattr(delta, "index", None)
            if index is None and len(deltas) > 1:
                index = position
            if (piece := self._feed(delta, index)) is not None:
                pieces[piece.number] = _added(pieces.get(piece.number), piece)
        return list(pieces.values())

    def finish(self) -> list[Piece]:
        """Take the end of the answer.

        Returns:
            What was held back and is not `null` after all.
        """
        return [
            Piece(call.number, False, call.id, "", text) for call in self._calls if (text := call.release())
        ]

    def _feed(self, delta: Delta, index: int | None) -> Piece | None:
        function = delta.function
        name = (function.name if function is not None else None) or ""
        arguments = _arguments_text(function)
        call = self._current if index is None else self._at.get(index)
        if call is None and not name:
            if not arguments:
                if delta.id:
                    self._early_ids[index] = delta.id
                return None
            call = self._current  # an index alone begins nothing, as long as there is something to continue
        if call is not None and call.is_named_again(delta.id, name, arguments):
            if delta.id:
                self._early_ids[index] = delta.id
            return None
        if call is not None and call.named_again and arguments.strip():
            name = name or call.name
        begins = call is None or call.ends_before(delta.id, name)
        if call is None or begins:
            server_id = delta.id or self._early_ids.pop(index, None)
            call = _Call(len(self._calls), self._ids.take(server_id), server_id)
            self._calls.append(call)
            if index is not None:
                self._at[index] = call
        elif delta.id:
            call.server_ids.add(delta.id)
        self._current = call
        name, arguments = call.add(name, arguments)
        return Piece(call.number, begins, call.id, name, arguments) if begins or name or arguments else None


class _Call:
    """A call so far.

    Attributes:
        number: its place.
        id: what we call it.
        server_ids: what the server called it.
        name: the name so far.
        named_again: whether the name came once more after whole arguments, without arguments and without
            an id that tells: it may begin another call of the same function.
    """

    def __init__(self, number: int, id: str, server_id: str | None) -> None:
        self.number = number
        self.id = id
        self.server_ids = {server_id} if server_id else set()
        self.name = ""
        self.named_again = False
        self._pieces: list[str] = []  # of the arguments
        self._held = ""  # the arguments, as long as they may become "null"
        self._holds = True

    @property
    def arguments(self) -> str:
        """Their text so far; "" for null."""
        if self._holds:
            return "" if self._held.strip() == "null" else self._held
        return "".join(self._pieces)

    def is_named_again(self, id: str | None, name: str, arguments: str) -> bool:
        """Tell whether a piece says the name once more and nothing else; see `named_again`."""
        if (id and self.server_ids) or arguments or not name or name != self.name or not self._is_whole():
            return False
        self.named_again = True
        return True

    def ends_before(self, id: str | None, name: str) -> bool:
        """Tell whether a piece with this id and name, whose index is the call's, belongs to another call."""
        if not name or not self.name:
            return False
        if id and id in self.server_ids:
            return name != self.name and self._is_whole()
        return name != self.name or self._is_whole()

    def add(self, name: str, arguments: str) -> tuple[str, str]:
        """Take a piece; return what it adds to name and arguments."""
        if name == self.name or (self.name and self._pieces):  # said again
            name = ""
        self.name += name
        if self._holds and arguments:
            self._held += arguments
            arguments = "" if "null".startswith(self._held.strip()) else self.release()
        elif arguments:
            self._pieces.append(arguments)
        return name, arguments

    def release(self) -> str:
        """The arguments that were held back, unless they are null or blank."""
        text = self._held if self._holds and self._held.strip() not in ("", "null") else ""
        if text:
            self._holds = False
            self._pieces.append(text)
        return text

    def _is_whole(self) -> bool:
        text = "".join(self._pieces) or self._held
        try:
            json.loads(text, strict=False)
        except (ValueError, RecursionError):
            return False
        return True


class _CallIds:
    """Makes the ids of an answer's calls usable: the server's own, unless it has none or used it before."""

    def __init__(self) -> None:
        self._used: set[str] = set()

    def take(self, server_id: str | None) -> str:
        """The id for the next call."""
        call_id = server_id if server_id and server_id not in self._used else new_call_id()
        self._used.add(call_id)
        return call_id


def _added(piece: Piece | None, further: Piece) -> Piece:
    """Two pieces of a call as one."""
    if piece is None:
        return further
    return piece._replace(name=piece.name + further.name, arguments=piece.arguments + further.arguments)


def _arguments_text(function: Function | None) -> str:
    """The text of arguments, which some servers send as an object."""
    arguments: object = function.arguments if function is not None else None
    if isinstance(arguments, str):
        return arguments
    return "" if arguments is None else json.dumps(arguments, ensure_ascii=False)


def _kind(value: object) -> str:
    return {list: "a list", str: "a string", bool: "a boolean", int: "a number", float: "a number"}.get(
        type(value), "null"
    )
