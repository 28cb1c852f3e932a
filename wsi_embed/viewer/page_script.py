"""The modules of the page as one script, because browsers load no modules from files.

Each module becomes a function that returns its exports; modules that it imports come before it.
"""

from __future__ import annotations

import re
from pathlib import Path

_IMPORT = re.compile(r'^import \{ ([^}\n]+) \} from "\./(\w+)\.js";$', re.MULTILINE)
_EXPORT = re.compile(r"^export ((?:async )?function|class|const) (\w+)", re.MULTILINE)
_LEFT = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)


def page_script(folder: Path, main: str = "main") -> str:
    """Return a module of the page with all that it imports as one script.

    Args:
        folder: Folder of the modules.
        main: Name of the module, without `.js`.

    Raises:
        ValueError: If modules import each other, or in a way that is not known here.
    """
    parts: dict[str, str] = {}
    _add(folder, main, parts, [])
    return '"use strict";\n(() => {\n' + "\n".join(parts.values()) + "\n})();\n"


def _add(folder: Path, name: str, parts: dict[str, str], above: list[str]) -> None:
    """Add a module after those that it imports."""
    if name in above:
        raise ValueError(f"modules import each other: {', '.join([*above, name])}")
    code = (folder / f"{name}.js").read_text("utf-8")
    for _, imported in _IMPORT.findall(code):
        if imported not in parts:
            _add(folder, imported, parts, [*above, name])
    exported = [found for _, found in _EXPORT.findall(code)]
    code = _IMPORT.sub(lambda found: f"const {{ {found[1]} }} = ${found[2]};", code)
    code = _EXPORT.sub(r"\1 \2", code)
    if left := _LEFT.search(code):
        raise ValueError(f"{name}.js: {left[0]}")
    parts[name] = f"const ${name} = (() => {{\n{code}\nreturn {{ {', '.join(exported)} }};\n}})();"
