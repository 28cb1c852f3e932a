"""The picture of the rooms in CONTRIBUTING.md has every package, and imports only go down or left in it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "wsi_embed"
PICTURE = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
# the package itself: names that are imported at first use, and `python -m wsi_embed`
OUTSIDE = {"__init__.py", "__main__.py"}


def rooms_of(page: str) -> list[str]:
    """Return the rooms of the picture, from the ground up: bottom row first, and each row from the left."""
    picture = re.search(r"```text\n(┌.*?┘)\n```", page, re.DOTALL)
    assert picture, "there is no picture of the rooms"
    rows = [line.split("│")[2].split() for line in picture[1].splitlines() if line.startswith("│")]
    return [room for row in reversed(rows) for room in row]


def rooms_in(package: Path) -> set[str]:
    """Return the folders of a package that hold Python, and its loose modules."""
    folders = {path.name for path in package.iterdir() if path.is_dir() and any(path.rglob("*.py"))}
    return folders | {path.name for path in package.glob("*.py")} - OUTSIDE


def imports(package: Path) -> Iterator[tuple[str, str, str]]:
    """Yield (module, its room, imported room) for every import statement, also for those in functions."""
    rooms = {room.removesuffix(".py"): room for room in rooms_in(package)}
    for path in sorted(package.rglob("*.py")):
        place = path.relative_to(package)
        if place.as_posix() in OUTSIDE:
            continue
        for name in imported_names(ast.parse(path.read_text("utf-8")), (package.name, *place.parent.parts)):
            parts = name.split(".")
            if parts[0] == package.name and len(parts) > 1 and parts[1] in rooms:
                yield place.as_posix(), place.parts[0], rooms[parts[1]]


def imported_names(tree: ast.Module, folder: tuple[str, ...]) -> Iterator[str]:
    """Yield the full names of the modules that a module in this folder imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = folder[: len(folder) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def wrong_imports(package: Path, rooms: list[str]) -> list[str]:
    """Return the imports from rooms that are above the module, or to its right in the same row."""
    floor = {room: number for number, room in enumerate(rooms)}
    found = {
        f"{module} imports {to}"
        for module, room, to in imports(package)
        if room in floor and to in floor and floor[to] > floor[room]
    }
    return sorted(found)


def test_the_picture_has_every_room() -> None:
    rooms = rooms_of(PICTURE)
    assert len(rooms) == len(set(rooms))
    assert set(rooms) == rooms_in(PACKAGE)


def test_every_room_is_described() -> None:
    table = {
        name for line in PICTURE.splitlines() if line.startswith("| `") for name in line.split("`")[1::2]
    }
    assert {room if room.endswith(".py") else f"{room}/" for room in rooms_of(PICTURE)} <= table


def test_rooms_import_only_what_is_below_or_to_their_left() -> None:
    assert wrong_imports(PACKAGE, rooms_of(PICTURE)) == []


@pytest.mark.parametrize(
    ("room", "line", "wrong"),
    [
        ("upper", "from made.lower import thing", False),
        ("upper", "from made import base", False),
        ("upper", "from made.upper import other", False),
        ("lower", "import made.upper.other", True),
        ("lower", "def f():\n    from made.upper import other", True),
        ("lower", "from ..upper import other", True),
        ("lower", "from .. import upper", True),
        ("lower", "from made import __version__", False),
    ],
)
def test_an_import_that_goes_up_is_found(tmp_path: Path, room: str, line: str, wrong: bool) -> None:
    made = tmp_path / "made"
    for name in ("upper", "lower"):
        (made / name).mkdir(parents=True)
        (made / name / "__init__.py").touch()
    (made / "base.py").touch()
    (made / "__init__.py").write_text("from made.upper import other\n")
    (made / room / "module.py").write_text(line + "\n")
    rooms = rooms_of("```text\n┌─┬─┐\n│ a │ upper │\n├─┼─┤\n│ b │ base.py  lower │\n└─┴─┘\n```")
    assert rooms == ["base.py", "lower", "upper"]
    assert set(rooms) == rooms_in(made)
    assert wrong_imports(made, rooms) == ([f"{room}/module.py imports upper"] if wrong else [])
