"""Mutate small files, and see whether anything but an error of wsi-embed comes of it (`make fuzz`).

A case that crashes, hangs, takes too much memory or time, raises anything else, or silently gives pixels,
areas or a resolution that are not those of the file, is a find. It is kept in `finds/`, which `make test`
replays.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fuzz.kinds import KINDS, bases_of, case, store_case

REPO = Path(__file__).parents[2]
FINDS = Path(__file__).parent / "finds"
CHUNK = 500
# Finds that look alike are counted, and so many of them kept.
MOST_ALIKE = 3
ENDINGS = {
    signal.SIGPROF: "slow",
    signal.SIGALRM: "hangs",
    signal.SIGABRT: "abort",
    signal.SIGSEGV: "crash",
}


@dataclass(frozen=True)
class Find:
    """What went wrong: one word for it (`crash`, `slow`, `wrong`, ...), and all that is known."""

    how: str
    what: str

    @property
    def alike(self) -> str:
        """What finds of one cause have in common: their last line of wsi_embed, or what was printed."""
        places = re.findall(r'File "[^"]*?(wsi_embed/[^"]*)", line (\d+)', self.what)
        lines = self.what.strip().splitlines() or [""]
        last = re.sub(r"[^a-zA-Z]+", " ", lines[-1])[:80]
        innermost = -1 if "Traceback" in self.what else 0  # faulthandler writes it first
        return f"{self.how}, {':'.join(places[innermost]) if places else last}"


@dataclass
class Outcome:
    """What came of many cases.

    Attributes:
        finds: By number of the case or by file.
        counts: How many cases ended in which way.
        slowest: Seconds of processor time, and which case.
    """

    finds: dict[int | str, Find] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    slowest: tuple[float, int | str] = (0.0, "none")

    def add(self, other: Outcome) -> None:
        """Add the cases of another outcome."""
        self.finds |= other.finds
        self.counts += other.counts
        self.slowest = max(self.slowest, other.slowest, key=lambda case: case[0])


def run_files(kind: str, files: list[Path], **limits: int) -> Outcome:
    """Replay files; `memory` is what they may take, bytes."""
    outcome = Outcome()
    names = [str(file) for file in files]
    while names:
        reached = _run({"kind": kind, "files": names, **limits}, outcome)
        names = names[names.index(str(reached)) + 1 :] if reached is not None else []
    return outcome


def run_cases(kind: str, seed: int, first: int, last: int, real: Path | None = None) -> Outcome:
    """Run cases by number; a process that ends is followed by another."""
    outcome = Outcome()
    while first < last:
        task = {"kind": kind, "seed": seed, "first": first, "last": last, "real": str(real) if real else None}
        reached = _run(task, outcome)
        first = int(reached) + 1 if reached is not None else last
    return outcome


def _run(task: dict[str, Any], outcome: Outcome) -> int | str | None:
    """Run one process; returns the case at which it ended, None where it did all."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as errors:
        command = [sys.executable, "-m", "tests.fuzz.worker", json.dumps(task), folder]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, cwd=REPO, text=True)
        assert process.stdout is not None
        running: int | str | None = None
        for line in process.stdout:
            facts = json.loads(line)
            if "begin" in facts:
                running = facts["begin"]
                continue
            running = None
            outcome.slowest = max(outcome.slowest, (facts["seconds"], facts["end"]), key=lambda case: case[0])
            outcome.counts[facts["outcome"]] += 1
            if "how" in facts:
                outcome.finds[facts["end"]] = Find(facts["how"], facts["what"])
        code = process.wait()
        if code:
            errors.seek(0)
            how = ENDINGS.get(signal.Signals(-code), f"signal-{-code}") if code < 0 else f"exit-{code}"
            if running is None:
                raise RuntimeError(f"the fuzzer itself failed ({how}): {errors.read()[-2000:]}")
            outcome.finds[running] = Find(how, errors.read()[-3000:])
            outcome.counts["find"] += 1
        return running


def keep(kind: str, seed: int, finds: dict[int | str, Find], real: Path | None = None) -> Iterator[str]:
    """Write the files of the finds, the simplest of each cause; yields a text about each of those."""
    bases, seen = bases_of(kind, real), Counter[str]()
    cases = [(find, number, *case(kind, bases, seed, int(number))) for number, find in finds.items()]
    for find, number, name, found in sorted(cases, key=lambda found: len(found[3].steps)):
        seen[find.alike] += 1
        if seen[find.alike] > MOST_ALIKE:
            continue
        base, steps = re.sub(r"\W+", "-", name), ", ".join(found.steps)
        target = store_case(found, FINDS / kind, f"{find.how}-{base}-{seed}-{number}")
        yield f"{kind}, seed {seed}, case {number} ({name}: {steps}): {target}\n{find.what}"
    yield from (f"{count} times: {alike}" for alike, count in seen.most_common())


def fuzz(kind: str, seed: int, cases: int, processes: int, real: Path | None) -> bool:
    """Run and report the cases of one kind; returns whether there were finds."""
    total, lock = Outcome(), threading.Lock()
    print(f"{kind}: seed {seed}, {cases} cases", flush=True)

    def run(first: int) -> None:
        outcome = run_cases(kind, seed, first, min(first + CHUNK, cases), real)
        with lock:
            total.add(outcome)
            print(f"{total.counts.total()} cases, {len(total.finds)} finds", flush=True)

    with ThreadPoolExecutor(processes) as pool:
        list(pool.map(run, range(0, cases, CHUNK)))
    seconds, slowest = total.slowest
    print(f"{dict(total.counts)}; slowest: case {slowest} with {seconds:.1f} s of processor time")
    for text in keep(kind, seed, total.finds, real):
        print(text)
    return bool(total.finds)


def main() -> None:
    """Run as many cases of each kind as asked for; exit 1 where there are finds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--cases", type=int, default=20_000, help="of each kind")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--real", type=Path, help="a real slide as a further base of the kind tiff")
    options = parser.parse_args()
    found = [fuzz(k, options.seed, options.cases, options.processes, options.real) for k in options.kinds]
    sys.exit(1 if any(found) else 0)


if __name__ == "__main__":
    main()
