"""Runner of `gpu.sh`: rows one after the other, each with a time limit; a failing row stops nothing.

    benchmarks/gpu.sh OUT [--dry] [--minutes N] [--rows NAME ...]

OUT receives `results.json` and `results.md` after every row, and `logs/ROW.txt` with the output of its
command. A row that is done is not run again; failed rows are.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.gpu_rows import DRY, Row, Sizes, make_rows
from wsi_embed.util.atomic_files import replacing

REPO = Path(__file__).parents[1]
MINUTES = 25
# Seconds between the request to end and the kill of a command.
GRACE = 5
DONE, FAILED, TIMED_OUT, LEFT_OUT = "done", "failed", "timed out", "left out"


@dataclass(frozen=True)
class Result:
    """Result of a row.

    Attributes:
        title: What was measured.
        status: `done`, `failed`, `timed out` or `left out`.
        seconds: Time that the command took.
        command: The command.
        lines: Lines of the result, or the end of the error.
    """

    title: str
    status: str
    seconds: float
    command: list[str]
    lines: list[str]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the rows; return 1 if one is not done."""
    parser = argparse.ArgumentParser(
        prog="gpu.sh", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--dry", action="store_true", help="small sizes, on the CPU")
    parser.add_argument("--minutes", type=float, help=f"for all rows together, {MINUTES} or dry 60")
    parser.add_argument("--rows", nargs="+", help="only these")
    args = parser.parse_args(arguments)
    (args.out / "work").mkdir(parents=True, exist_ok=True)
    rows = make_rows(args.out / "work", DRY if args.dry else Sizes(), dry=args.dry)
    names = [row.name for row in rows]
    if unknown := sorted(set(args.rows or ()) - set(names)):
        parser.error(f"unknown: {', '.join(unknown)}; rows are {', '.join(names)}")
    end_with_row()
    results = run_rows(
        [row for row in rows if not args.rows or row.name in args.rows],
        args.out, 60 * (args.minutes or (60 if args.dry else MINUTES)), 0 if args.dry else count_gpus(),
    )  # fmt: skip
    print(args.out / "results.md")
    return int(any(result.status != DONE for result in results.values()))


def end_with_row() -> None:
    """Let SIGTERM end the command of the present row too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


def count_gpus() -> int:
    """Return the number of GPUs that PyTorch sees, in a process of its own."""
    code = "import torch; print(torch.cuda.device_count())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return int(done.stdout) if done.returncode == 0 else 0


def run_rows(rows: Sequence[Row], out: Path, seconds: float, gpus: int) -> dict[str, Result]:
    """Run the rows that are not done yet, and write the results after each.

    Args:
        rows: The rows, in order.
        out: Folder of the results.
        seconds: Time for all of them together.
        gpus: Number of GPUs of the machine.

    Returns:
        The result of each row by name, those of earlier calls too.
    """
    results, end = read_results(out), time.monotonic() + seconds
    (out / "logs").mkdir(parents=True, exist_ok=True)
    for row in rows:
        before = results.get(row.name)
        if before and before.status == DONE and before.command == list(row.command):
            continue
        left = end - time.monotonic()
        if row.gpus > gpus:
            result = _left_out(row, f"needs {row.gpus} GPUs, and PyTorch sees {gpus}")
        elif left <= 0:
            result = _left_out(row, "no time left; run the command again")
        else:
            print(f"{row.name}: {row.title}", flush=True)
            result = run_row(row, out / "logs" / f"{row.name}.txt", min(row.limit, left))
            print(f"    {result.status}, {result.seconds:.0f} s", flush=True)
        results[row.name] = result
        write_results(results, out)
    return results


def run_row(row: Row, log: Path, limit: float) -> Result:
    """Run the command of a row; whatever happens is in the result.

    Args:
        row: The row.
        log: File for the output.
        limit: Longest time, seconds; then the command and its children are ended.
    """
    if row.makes:
        shutil.rmtree(row.makes, ignore_errors=True)
    began = time.monotonic()
    with log.open("w", encoding="utf-8") as output:
        try:
            process = subprocess.Popen(
                row.command, stdout=output, stderr=subprocess.STDOUT, cwd=REPO, start_new_session=True
            )
        except OSError as error:
            return Result(row.title, FAILED, 0, list(row.command), [str(error)])
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _end(process)
    seconds, text = time.monotonic() - began, log.read_text("utf-8", "replace")
    status, lines = DONE if code == 0 else TIMED_OUT if code is None else FAILED, text.splitlines()[-5:]
    if status == DONE:
        try:
            lines = row.shown(text)
        except (ValueError, LookupError) as error:
            status, lines = FAILED, [f"no result in the output ({error!r})", *lines]
    return Result(row.title, status, round(seconds, 1), list(row.command), lines)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a command with its children, if any of them still runs."""
    for number, wait in ((signal.SIGTERM, GRACE), (signal.SIGKILL, None)):
        try:
            os.killpg(process.pid, number)
            process.wait(wait)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def _left_out(row: Row, why: str) -> Result:
    return Result(row.title, LEFT_OUT, 0, list(row.command), [why])


def read_results(out: Path) -> dict[str, Result]:
    """Return the results of earlier calls by name."""
    file = out / "results.json"
    if not file.exists():
        return {}
    return {name: Result(**values) for name, values in json.loads(file.read_text("utf-8"))["rows"].items()}


def write_results(results: Mapping[str, Result], out: Path) -> None:
    """Write `results.json` and `results.md`."""
    document: dict[str, Any] = {
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}",
        "rows": {name: asdict(result) for name, result in results.items()},
    }
    for name, text in (
        ("results.json", json.dumps(document, indent=2) + "\n"),
        ("results.md", table(results).replace(f"{out}/", "out/")),  # no folder names of the machine
    ):
        with replacing(out / name) as part:
            part.write_text(text, "utf-8")


def table(results: Mapping[str, Result]) -> str:
    """Return a table of the rows in Markdown, and below it the result of each."""
    lines = ["| row | measured | | seconds |", "|---|---|---|---|"]
    lines += [
        f"| {name} | {each.title} | {each.status} | {each.seconds:.0f} |" for name, each in results.items()
    ]
    for name, each in results.items():
        shown = each.lines if each.lines and each.lines[0].startswith("|") else ["```", *each.lines, "```"]
        command = " ".join(["python", *each.command[1:]])
        lines += ["", f"### {name}: {each.title}", "", f"    {command}", "", *shown]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
