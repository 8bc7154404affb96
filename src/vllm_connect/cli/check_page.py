"""A check, for people to read."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .check import Report, Row, SeveralReports
from .console import cell, duration, mark, printable
from .facts import Facts
from .outcomes import Outcome

_MOST_MODELS = 10


def show(console: Console, report: Report) -> None:
    """Write a whole report."""
    problem = report.facts.problem
    if problem is not None and problem.kind != "locked":
        console.print(f"{mark(console, 'failed')} {problem.text}", style="bold red", soft_wrap=True)
        return
    console.print(_head(console, report.facts, report.model))
    console.print()
    if problem is not None:
        console.print(f"{mark(console, 'failed')} {problem.text}", style="bold red", soft_wrap=True)
        return
    console.print(_table(console, report.rows))
    console.print()
    for line in _failures(report.rows):
        console.print(f"{mark(console, 'failed')} {printable(console, line)}", style="red", soft_wrap=True)
    console.print(_summary(console, report))


def show_several(console: Console, several: SeveralReports) -> None:
    """Write the reports of several servers as one table, a column for each."""
    reports = several.reports
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    table.add_column("", no_wrap=True)
    for name in reports:
        table.add_column(name, overflow="fold")
    heads: dict[str, Callable[[Facts], str]] = {
        "server": lambda facts: facts.url,
        "version": lambda facts: facts.version or "unknown",
        "latency": lambda facts: duration(facts.latency),
        "models": lambda facts: "\n".join(model.id for model in facts.models[:_MOST_MODELS]),
    }
    for title, tell in heads.items():
        cells = [
            "" if report.facts.problem and title != "server" else tell(report.facts)
            for report in reports.values()
        ]
        table.add_row(title, *cells, style="dim", end_section=title == "models")
    operations = {row.probe.operation: row for report in reports.values() for row in report.rows}
    for operation, model_row in operations.items():
        rows = [_row_of(report, operation) for report in reports.values()]
        table.add_row(operation, *(cell(console, row.plain if row else None) for row in rows))
        if model_row.stream is not None:
            table.add_row("  streamed", *(cell(console, row.stream if row else None) for row in rows))
    console.print(table)
    console.print()
    for name, report in reports.items():
        problem = report.facts.problem
        lines = [problem.text] if problem is not None else _failures(report.rows)
        for line in lines:
            text = f"{mark(console, 'failed')} {name}: {printable(console, line)}"
            console.print(text, style="red", soft_wrap=True)
        if problem is None:
            console.print(Text.assemble(f"{name}: ", _summary(console, report)))


def _row_of(report: Report, operation: str) -> Row | None:
    return next((row for row in report.rows if row.probe.operation == operation), None)


def _head(console: Console, facts: Facts, chosen: str | None) -> Table:
    head = Table.grid(padding=(0, 2))
    head.add_column(style="dim")
    head.add_column(overflow="fold")
    head.add_row("server", facts.url)
    head.add_row("version", facts.version or "unknown: it does not tell")
    if facts.latency is not None:
        head.add_row("latency", f"{duration(facts.latency)} (GET /v1/models)")
    if facts.keyed:
        head.add_row("API key", "***")
    names = [_model(console, facts, i) for i in range(min(len(facts.models), _MOST_MODELS))]
    if len(facts.models) > _MOST_MODELS:
        names.append(printable(console, f"… and {len(facts.models) - _MOST_MODELS} more"))
    for i, name in enumerate(names):
        head.add_row(("model" if len(names) == 1 else "models") if i == 0 else "", name)
    owners = {model.owned_by for model in facts.models} - {"vllm"}
    if facts.version is None and owners:
        head.add_row("", f"perhaps not vLLM: owned by {', '.join(sorted(owners))}")
    if chosen is not None:
        unknown = "" if facts.lists(chosen) else ", which the server does not list"
        head.add_row("asked for", chosen + unknown)
    return head


def _model(console: Console, facts: Facts, index: int) -> str:
    model = facts.models[index]
    length = f"max_model_len {model.max_model_len}" if model.max_model_len else "max_model_len unknown"
    of = f", adapter of {model.parent}" if model.parent else ""
    return f"{model.id} ({length}{of})"


def _table(console: Console, rows: Sequence[Row]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    table.add_column("operation", no_wrap=True)
    table.add_column("plain", no_wrap=True)
    table.add_column("stream", no_wrap=True)
    table.add_column("1st chunk", no_wrap=True)
    table.add_column("endpoint", overflow="fold")
    models = {row.plain.model for row in rows if row.plain.status == "ok"} - {None}
    if len(models) > 1:  # a router: its models do different things
        table.add_column("model", overflow="fold")
    for row in rows:
        served = row.plain.status != "absent"
        first = row.stream.first if row.stream is not None and row.stream.status == "ok" else None
        table.add_row(
            row.probe.operation,
            cell(console, row.plain),
            cell(console, row.stream),
            Text(duration(first), "green"),
            _endpoint(row),
            *([row.plain.model or "" if served else ""] if len(models) > 1 else []),
            style="" if served else "dim",
        )
    return table


def _endpoint(row: Row) -> str:
    """The route that answered, which may be another one than was asked first."""
    path = row.plain.path
    return path if path and row.plain.status == "ok" else row.probe.endpoint


def _failures(rows: Sequence[Row]) -> list[str]:
    """Every reason once, with what failed for it."""
    places: dict[str, list[str]] = {}
    for row in rows:
        failed = [outcome for outcome in row.outcomes if outcome.status == "failed"]
        for reason in dict.fromkeys(map(_reason, failed)):
            streamed = row.plain.status != "failed" or _reason(row.plain) != reason
            places.setdefault(reason, []).append(row.probe.operation + " (stream)" * streamed)
    return [f"{', '.join(operations)}: {reason}" for reason, operations in places.items()]


def _reason(outcome: Outcome) -> str:
    return f"{outcome.code} {outcome.text}" if outcome.code else outcome.text


def _summary(console: Console, report: Report) -> Text:
    served = [row for row in report.rows if row.plain.status != "absent"]
    failed = [row for row in served if any(outcome.status == "failed" for outcome in row.outcomes)]
    absent = len(report.rows) - len(served)
    how = "all of them work" if not failed else f"{len(failed)} of them failed"
    rest = f"; {absent} not served ({mark(console, 'absent')})" if absent else ""
    text = f"{len(served)} operations served, {how}{rest}."
    return Text(text, "bold red" if failed else "bold green")
