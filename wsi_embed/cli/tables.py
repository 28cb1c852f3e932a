"""Tables printed by the commands info and doctor, and by evaluations."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from wsi_embed.cli.lines import NARROW, JobConsole
from wsi_embed.cli.wording import reworded
from wsi_embed.diagnostics.doctor import Check
from wsi_embed.util.text import in_words, visible, with_content

LISTED = 200


def show_facts(facts: dict[str, object], rows: list[dict[str, object]], more: str = "") -> None:
    """Print facts as a table of names and values, and rows as a table below it.

    Args:
        facts: Values by name; those without content are left out.
        rows: Rows of the table.
        more: Advice on how to see all rows, if there are more than are shown.
    """
    facts, rows = reworded(facts), reworded(rows)
    console = JobConsole()
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in with_content(facts).items():
        table.add_row(name.replace("_", " "), _value(value))
    console.print(table, highlight=False)
    if rows:
        show_rows(rows[:LISTED])
    if len(rows) > LISTED:
        console.print(f"and {len(rows) - LISTED:,} more{more}", highlight=False)


def show_rows(rows: list[dict[str, object]]) -> None:
    """Print rows as a table, below an empty line."""
    console = JobConsole()
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = Table(box=None, pad_edge=False, header_style="bold")
    # the first column names the row: if there is room for it, the others are wrapped first
    longest = max((len(_value(row.get(names[0], ""))) for row in rows), default=0)
    whole = console.width >= NARROW and longest <= console.width // 3
    for name in names:
        table.add_column(name, overflow="fold", no_wrap=whole and name == names[0])
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
    """Return a value for people: one line for each entry of a dictionary, lists with commas."""
    if isinstance(value, dict):
        shown = ((str(k).replace("_", " "), v) for k, v in with_content(value).items())
        return escape(visible("\n".join(f"{name}: {in_words(v)}" for name, v in shown)))
    if isinstance(value, list | tuple) and any(isinstance(v, str) for v in value):
        return escape(visible("\n".join(map(in_words, value))))
    return "-" if value is None else escape(visible(in_words(value)))
