"""`python -m tests.soak.run`: kills, full disks and flipped bits over all commands, and a table of them."""

from __future__ import annotations

import argparse
import functools
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.soak.cases import Soak

KINDS = {"kills": 300, "faults": 400, "flips": 2500}
# Time of a case after which it counts as hanging; a second or two are usual.
SECONDS, HANGS = 180, "without an end"


class Late(BaseException):
    """A case takes too long; no `except Exception` of a command holds it up."""


def main() -> None:
    """Run the cases of a seed within a time, and exit 1 if something was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    for kind, count in KINDS.items():
        parser.add_argument(f"--{kind}", type=int, default=count)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--start", default="", help="KIND:NUMBER to go on from, as the last line says")
    given = parser.parse_args()
    counts = {kind: getattr(given, kind) for kind in KINDS}
    with tempfile.TemporaryDirectory() as folder:
        wrong, left = soak(Soak(Path(folder), given.seed), counts, given.minutes * 60, given.start)
    if left:
        say(f"the time is over; go on with: make soak SEED={given.seed} START={left}")
    sys.exit(1 if wrong else 0)


def soak(soak: Soak, counts: dict[str, int], seconds: float, start: str = "") -> tuple[int, str]:
    """Run cases, and print what was wrong and a table.

    Args:
        soak: The cases.
        counts: Number of cases of each kind.
        seconds: Time after which no further case begins.
        start: `KIND:NUMBER` of the first case; empty for the first of all.

    Returns:
        Number of cases in which something was wrong, and the case to go on from, empty if all were run.
    """
    began, left = time.monotonic(), ""
    done, wrong = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    skipping = start
    for kind, number in ((kind, number) for kind, count in counts.items() for number in range(count)):
        if skipping and skipping != f"{kind}:{number}":
            continue
        skipping = ""
        if time.monotonic() - began > seconds:
            left = f"{kind}:{number}"
            break
        command, problem = within(SECONDS, functools.partial(soak.case, kind, number))
        done[command, kind] += 1
        if problem:
            wrong[command, kind] += 1
            say(f"{kind}:{number} {command}: {problem}")
    show(done, wrong, tuple(counts))
    hangs = wrong[HANGS, "kills"] + wrong[HANGS, "faults"] + wrong[HANGS, "flips"]
    say(f"{done.total()} cases, {wrong.total()} wrong, {hangs} of them without an end")
    return sum(wrong.values()), left


def within(seconds: int, case: Callable[[], tuple[str, str | None]]) -> tuple[str, str | None]:
    """Run a case; one that takes longer is wrong."""

    def late(*_: object) -> None:
        raise Late(f"no end within {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        return case()
    except Late as error:
        return HANGS, str(error)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def show(done: Counter[tuple[str, str]], wrong: Counter[tuple[str, str]], kinds: tuple[str, ...]) -> None:
    """Print the number of cases by command and kind, with those that were wrong."""
    say(f"| command | {' | '.join(kinds)} |")
    say(f"|---|{'---:|' * len(kinds)}")
    for command in sorted({name for name, _ in done}):
        cells = [
            f"{done[command, k]}" + (f" ({wrong[command, k]} wrong)" if wrong[command, k] else "")
            for k in kinds
        ]
        say(f"| {command} | {' | '.join(cells)} |")
    totals = [sum(count for (_, k), count in done.items() if k == kind) for kind in kinds]
    say(f"| all | {' | '.join(map(str, totals))} |")


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
