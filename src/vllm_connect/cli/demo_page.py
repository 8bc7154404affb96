"""A demonstration, for people to watch.

Every operation is a row of its own, written when it is done; on a terminal, a streamed answer grows in its
row word by word. Pipes and files get the rows alone, where bars show the chunks that an answer came in.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from .console import cell, duration, knows_unicode, mark, printable
from .demo import Demonstration, Row
from .facts import Facts
from .outcomes import Outcome, Piece
from .probes import PROBES, Probe
from .quirks import QuirkResult

_OPERATION, _TIME = 18, 9


class DemoPage:
    """Writes a demonstration to a console."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._previous: str | None = None
        self._quirks = False

    def begin(self, facts: Facts, simulated: bool) -> None:
        """Say what server this is about."""
        if facts.problem is not None:
            self._line(f"{mark(self._console, 'failed')} {facts.problem.text}", "bold red")
            return
        names = ", ".join(model.id for model in facts.models[:5]) or "unknown"
        what = f"version {facts.version or 'unknown'}"
        if simulated:
            what = "the simulator (no model, no GPU; streams slowed down to be seen)"
        self._line(f"{facts.url}: {what}, model {names}", "bold")
        self._line("")
        heads = ("operation", "asked", "came back", "sync", "async")
        self._console.print(self._grid(*(Text(head, "bold") for head in heads)))
        self._line(("─" if knows_unicode(self._console) else "-") * self._console.width)

    def grow(self, probe: Probe, by: str, pieces: Sequence[Piece]) -> None:
        """Show a streamed answer as far as it came."""
        if not self._console.is_terminal:
            return
        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()
        running = Text(printable(self._console, "…"), "yellow")
        times = (running, Text()) if by == "sync" else (Text(), running)
        row = self._grid(self._name(probe, True), self._question(probe, True), _spoken(pieces), *times)
        self._live.update(row, refresh=True)

    def add(self, row: Row) -> None:
        """Write the row of an operation that is done."""
        self.close()
        if row.stream and row.by_sync.status == "absent":
            return  # the row before it says why
        console = self._console
        console.print(
            self._grid(
                self._name(row.probe, row.stream),
                self._question(row.probe, row.stream),
                self._came_back(row),
                cell(console, row.by_sync),
                cell(console, row.by_async),
            )
        )

    def add_quirk(self, quirk: QuirkResult) -> None:
        """Write what became of something that went wrong."""
        if not self._quirks:
            self._quirks = True
            self._line("")
            heads = (Text("what goes wrong", "bold"), Text("what the client does", "bold"))
            self._console.print(self._pair(Text(), *heads))
            self._line(("─" if knows_unicode(self._console) else "-") * self._console.width)
        sign = mark(self._console, "ok" if quirk.ok else "failed")
        what, client = printable(self._console, quirk.what), printable(self._console, quirk.client)
        self._console.print(self._pair(Text(sign), Text(what), Text(client, "" if quirk.ok else "bold red")))

    def end(self, demonstration: Demonstration) -> None:
        """Say how it went."""
        if demonstration.facts.problem is not None:
            return
        plain = [row.by_sync.status for row in demonstration.rows if row.probe in PROBES and not row.stream]
        absent = plain.count("absent")
        failed = sum(any(one.status == "failed" for one in row.outcomes) for row in demonstration.rows)
        failed += sum(not quirk.ok for quirk in demonstration.quirks)
        self._line("")
        counts = f"{len(plain) - absent} operations{f', {absent} not served' if absent else ''}"
        how = f"{failed} failure{'s' * (failed > 1)}" if failed else "all as it should be"
        text = f"{counts}; {len(demonstration.quirks)} quirks; {duration(demonstration.seconds)}: {how}."
        self._line(text, "bold red" if failed else "bold green")

    def close(self) -> None:
        """Give the cursor back."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _line(self, text: str, style: str = "") -> None:
        self._console.print(printable(self._console, text), style=style, soft_wrap=True)

    def _grid(self, *cells: Text) -> Table:
        rest = max(self._console.width - _OPERATION - 2 * _TIME - 4 * 2, 30)
        asked = min(rest * 2 // 5, 40)
        grid = Table.grid(padding=(0, 2, 0, 0))
        for width in (_OPERATION, asked, rest - asked, _TIME, _TIME):
            grid.add_column(width=width, overflow="fold")
        grid.add_row(*cells)
        return grid

    def _pair(self, *cells: Text) -> Table:
        rest = self._console.width - 2 * 2 - 6
        server = min(rest * 2 // 5, 48)
        grid = Table.grid(padding=(0, 2, 0, 0))
        for width in (6 if not knows_unicode(self._console) else 2, server, rest - server):
            grid.add_column(width=width, overflow="fold")
        grid.add_row(*cells)
        return grid

    def _name(self, probe: Probe, stream: bool) -> Text:
        return Text("  streamed", "dim") if stream else Text(printable(self._console, probe.operation))

    def _question(self, probe: Probe, stream: bool) -> Text:
        return Text(
            "the same" if stream else printable(self._console, probe.question), "dim" if stream else ""
        )

    def _came_back(self, row: Row) -> Text:
        outcome = next((one for one in row.outcomes if one.status == "failed"), row.by_async)
        if outcome.status == "absent":
            return Text(outcome.text, "dim")
        if outcome.status == "failed":
            which = "sync: " if outcome is row.by_sync else "async: "
            return Text(which + outcome.text, "red")
        if not row.stream:
            return _spoken(outcome.pieces)
        bar = "│" if knows_unicode(self._console) else "|"
        separated = "" if self._console.is_terminal else bar
        text = _spoken(outcome.pieces, separated)
        return text.append(f" {self._chunks(outcome)}", "dim")

    def _chunks(self, outcome: Outcome) -> str:
        return f"[{len(outcome.pieces)} chunks, the first after {duration(outcome.first)}]"


def _spoken(pieces: Sequence[Piece], bar: str = "") -> Text:
    """An answer: its reasoning in parentheses, then what it says."""
    text = Text()
    for i, piece in enumerate(pieces):
        before = i > 0 and pieces[i - 1].thought
        if piece.thought and not before:
            text.append("(", "dim italic")
        if not piece.thought and before:
            text.append(") ", "dim italic")
        elif i > 0:
            text.append(bar, "dim")
        shown = piece.text.replace("\n", " ")
        text.append(shown if i else shown.lstrip(), "dim italic" if piece.thought else "")
    if pieces and pieces[-1].thought:
        text.append(")", "dim italic")
    return text
