"""The architecture: rooms import only what the picture in CONTRIBUTING.md puts below them."""

from __future__ import annotations

import ast
import graphlib
import importlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

import wsi_embed

ROOT = Path(__file__).parents[1]
PICTURE = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
SOURCES = {
    "wsi_embed": ROOT / "wsi_embed",
    "wsi_embed_train": ROOT / "train" / "wsi_embed_train",
    "wsi_embed_export": ROOT / "export" / "wsi_embed_export",
}
# The package itself: names that are imported at first use, and `python -m wsi_embed`.
NO_ROOM = ("wsi_embed", "__main__")
# Names in documents and older code, which stay where they are. `regions.export` finds `plot` when it is used.
PROMISED = (
    "wsi_embed.attention.Attention",
    "wsi_embed.convert.convert",
    "wsi_embed.regions.RegionRules",
    "wsi_embed.regions.read_regions",
    "wsi_embed.regions.export.write_bag",
    "wsi_embed.slide.tile_images.TileError",
)


@dataclass(frozen=True)
class Import:
    """One import. Those in functions and those for types only count too: they are dependencies as well."""

    importer: str
    imported: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.importer}, line {self.line}, imports {self.imported}"


def rooms_of(page: str) -> list[str]:
    """Return the rooms of the picture, from the ground up: bottom row first, and each row from the left."""
    picture = re.search(r"```text\n(┌.*?┘)\n```", page, re.DOTALL)
    assert picture, "there is no picture of the rooms"
    rows = [line.split("│")[2].split() for line in picture[1].splitlines() if line.startswith("│")]
    return [name for row in reversed(rows) for name in row]


def floors(page: str) -> dict[str, int]:
    """Return the height of each room, and of training and export, which only the command line may import."""
    *runtime, top = [name.removesuffix(".py") for name in rooms_of(page)]
    return {name: floor for floor, name in enumerate([*runtime, "wsi_embed_train", "wsi_embed_export", top])}


def room(module: str) -> str:
    """Return the room of a module: a package or module of `wsi_embed`, or another import package."""
    package, _, rest = module.partition(".")
    return rest.partition(".")[0] if package == "wsi_embed" and rest else package


def modules(sources: Mapping[str, Path]) -> dict[str, Path]:
    """Return the file of each module; that of a package is its `__init__`."""
    found = {}
    for name, folder in sources.items():
        for file in sorted(folder.rglob("*.py")):
            parts = file.relative_to(folder).with_suffix("").parts
            found[".".join([name, *parts]).removesuffix(".__init__")] = file
    return found


def imports_in(sources: Mapping[str, Path]) -> list[Import]:
    """Return all imports between the modules of these packages."""
    known = modules(sources)
    return [found for name, file in known.items() for found in imports_of(name, file, known)]


def imports_of(importer: str, file: Path, known: Mapping[str, Path]) -> Iterator[Import]:
    """Yield the imports of known modules in a file."""
    package = importer.split(".") if file.name == "__init__.py" else importer.split(".")[:-1]
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{module}.{alias.name}" for alias in node.names]
            names = [name if name in known else module for name in names]
        else:
            continue
        for imported in dict.fromkeys(names):
            if imported in known:
                yield Import(importer, imported, node.lineno)


def upward(imports: list[Import], floor: Mapping[str, int]) -> list[str]:
    """Return the imports of a room that is above the importer's, or to its right in the same row."""
    known = [i for i in imports if room(i.importer) in floor and room(i.imported) in floor]
    return [str(i) for i in known if floor[room(i.imported)] > floor[room(i.importer)]]


def circle(imports: list[Import]) -> list[str]:
    """Return modules that import each other in a circle, if there are any."""
    graph: dict[str, set[str]] = {}
    for found in imports:
        if room(found.importer) not in NO_ROOM:
            graph.setdefault(found.importer, set()).add(found.imported)
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return [str(name) for name in error.args[1]]
    return []


def test_the_picture_has_every_room() -> None:
    found = [*rooms_of(PICTURE), *SOURCES, "__main__"]
    assert len(found) == len(set(found))
    assert {name.removesuffix(".py") for name in found} == {room(name) for name in modules(SOURCES)}


def test_every_room_is_described() -> None:
    rows = [line for line in PICTURE.splitlines() if line.startswith("| `")]
    table = {name for line in rows for name in line.split("`")[1::2]}
    assert {name if name.endswith(".py") else f"{name}/" for name in rooms_of(PICTURE)} <= table


def test_only_modules_of_the_picture_lie_at_the_root() -> None:
    loose = {path.name for path in SOURCES["wsi_embed"].iterdir() if path.is_file()}
    pictured = {name for name in rooms_of(PICTURE) if name.endswith(".py")}
    assert loose == pictured | {"__init__.py", "__main__.py", "py.typed"}


@pytest.fixture(scope="module")
def imports() -> list[Import]:
    return imports_in(SOURCES)


def test_rooms_import_only_what_is_below_or_to_their_left(imports: list[Import]) -> None:
    assert upward(imports, floors(PICTURE)) == []


def test_no_modules_import_each_other_in_a_circle(imports: list[Import]) -> None:
    assert len({i.importer for i in imports}) > 100
    assert circle(imports) == []


def test_rooms_take_only_the_version_from_the_package_itself() -> None:
    """Lazy attributes of the package would hide an import of any room."""
    allowed = {"__version__", *floors(PICTURE)}
    for name, file in modules(SOURCES).items():
        if room(name) in NO_ROOM:
            continue
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "wsi_embed":
                assert {alias.name for alias in node.names} <= allowed, file
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "wsi_embed":
                assert node.attr == "__version__", file


def test_no_room_has_the_name_of_something_public() -> None:
    """A submodule that is imported replaces the attribute of that name."""
    assert not floors(PICTURE).keys() & set(wsi_embed.__all__)


@pytest.mark.parametrize("path", PROMISED)
def test_promised_paths(path: str) -> None:
    module, _, name = path.rpartition(".")
    assert getattr(importlib.import_module(module), name)


@pytest.mark.parametrize(
    ("importer", "line", "wrong"),
    [
        ("upper", "from wsi_embed.lower import thing", False),
        ("upper", "from wsi_embed import base", False),
        ("upper", "from wsi_embed.upper import other", False),
        ("lower", "import wsi_embed.upper.other", True),
        ("lower", "def f():\n    from wsi_embed.upper import other", True),
        ("lower", "from ..upper import other", True),
        ("lower", "from .. import upper", True),
        ("lower", "from wsi_embed import __version__", False),
    ],
)
def test_an_import_that_goes_up_is_found(tmp_path: Path, importer: str, line: str, wrong: bool) -> None:
    made = make_package(tmp_path / "wsi_embed", {f"{importer}/module.py": line})
    floor = floors("```text\n┌─┬─┐\n│ a │ top │\n│ a │ upper │\n├─┼─┤\n│ b │ base.py  lower │\n└─┴─┘\n```")
    assert sorted(floor, key=floor.__getitem__)[:3] == ["base", "lower", "upper"]
    found = upward(imports_in({"wsi_embed": made}), floor)
    assert [text.partition(",")[0] for text in found] == (["wsi_embed.lower.module"] if wrong else [])


@pytest.mark.parametrize("back", ["import wsi_embed.lower.one", "def f():\n    from . import one", ""])
def test_a_circle_is_found(tmp_path: Path, back: str) -> None:
    made = make_package(tmp_path / "wsi_embed", {"lower/one.py": "from . import two", "lower/two.py": back})
    modules_of_circle = {"wsi_embed.lower.one", "wsi_embed.lower.two"} if back else set()
    assert set(circle(imports_in({"wsi_embed": made}))) == modules_of_circle


def make_package(made: Path, content: Mapping[str, str]) -> Path:
    """Make a package with two rooms and a loose module, in which the root imports the upper room."""
    empty = dict.fromkeys(("upper/__init__.py", "upper/other.py", "lower/__init__.py", "base.py"), "")
    for name, text in {**empty, "__init__.py": "from wsi_embed.upper import other", **content}.items():
        path = made / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return made
