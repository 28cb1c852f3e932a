"""Check of the script that starts a training: its decoding processes import it again."""

from __future__ import annotations

import ast
import inspect
import sys
from pathlib import Path

from wsi_embed.errors import UsageError


def check_main_guard(workers: int) -> None:
    """Check that decoding processes can import the main script without training again.

    Processes are started afresh and import the script for its definitions. A call at its top level would
    run in each of them.

    Args:
        workers: Number of decoding processes.

    Raises:
        UsageError: If there are any, and the running call is at the top level of the script without a
            guard.
    """
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    line = _line_of_main()
    if not workers or script is None or line is None or not Path(script).is_file():
        return
    try:
        guarded = _is_guarded(ast.parse(Path(script).read_bytes()), line)
    except (OSError, SyntaxError, ValueError):
        return
    if not guarded:
        raise UsageError(
            "decoding processes import this script again, and would start the training again",
            where=f"{Path(script).name}, line {line}",
            remedy="put the call under `if __name__ == '__main__':`, or train with workers=0",
        )


def _line_of_main() -> int | None:
    """Return the line at the top level of the main script that is being run; None if it is not a script."""
    names = vars(sys.modules["__main__"])
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_globals is names and frame.f_code.co_name == "<module>":
            return frame.f_lineno
        frame = frame.f_back
    return None


def _is_guarded(tree: ast.Module, line: int) -> bool:
    """Return whether a line is within an `if` at the top level that looks at `__name__`."""
    for node in tree.body:
        if isinstance(node, ast.If) and node.lineno <= line <= (node.end_lineno or 0):
            return any(isinstance(part, ast.Name) and part.id == "__name__" for part in ast.walk(node.test))
    return False
