"""Tables printed by the commands info and doctor, and by evaluations."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from wsi_embed.cli.display import JobConsole
from wsi_embed.cli.wording import reworded
from wsi_embed.diagnostics.doctor import Check


def show_facts(facts: dict[str, object], rows: list[dict[str, object]]) -> None:
    """Print facts as a table of names and values, and rows as a table below it."""
    facts, rows = reworded(facts), reworded(rows)
    console = JobConsole()
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(name, _value(value))
    console.print(table, highlight=False)
    if rows:
        show_rows(rows)


def show_rows(rows: list[dict[str, object]]) -> None:
    """Print rows as a table, below an empty line."""
    console = JobConsole()
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in names:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(_value(row.get(name, "")) for name in names))
    console.print()
    console.print(table, highlight=False)


def show_checks(checks: list[Check]) -> None:
    """Print the doctor's checks, with the fix below each problem."""
    console = JobConsole()
    colours = {"ok": "green", "warning": "yellow", "problem": "red"}
    table = Table(box=None, pad_edge=False, show_header=False)
    for name in ("status", "name"):
        table.add_column(name, no_wrap=True)
    table.add_column("message", overflow="fold")
    for check in reworded(checks):
        fix = f"\nfix: {check.fix}" if check.fix else ""
        table.add_row(f"[{colours[check.status]}]{check.status}[/]", check.name, escape(check.message + fix))
    console.print(table, highlight=False)


def _value(value: object) -> str:
    if isinstance(value, dict):
        return escape("\n".join(f"{k}: {v}" for k, v in value.items()))
    if isinstance(value, list | tuple):
        return (
            escape("\n".join(map(str, value))) if any(isinstance(v, str) for v in value) else str(list(value))
        )
    return "-" if value is None else escape(str(value))
