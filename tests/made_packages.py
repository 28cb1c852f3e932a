"""Installed packages with entry points: a module and the metadata that pip would write beside it."""

from __future__ import annotations

from pathlib import Path

from wsi_embed.util.registry import entry_points


class Packages:
    """Installs packages of one module.

    Args:
        folder: A folder that Python searches.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self, name: str, *points: str, code: str = "", version: str = "1.0") -> None:
        """Install a package.

        Args:
            name: Name of the distribution and of its module.
            points: Entry points, `group: name = module:class` each.
            code: Text of the module.
            version: Version of the distribution.
        """
        (self.folder / f"{name}.py").write_text(code, "utf-8")
        info = self.folder / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", "utf-8")
        sections = [f"[{group}]\n{point}\n" for group, _, point in (text.partition(": ") for text in points)]
        (info / "entry_points.txt").write_text("".join(sections), "utf-8")
        entry_points.cache_clear()
