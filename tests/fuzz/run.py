"""Mutate small slides, and see whether anything but a SlideError comes of it (`make fuzz`).

A case that crashes, hangs, takes too much memory or time, raises anything else, or gives other pixels than
OpenSlide, is a find. It is kept in `finds/`, which `make test` replays.
"""

from __future__ import annotations

import argparse
import json
import random
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

from tests.fuzz.bases import base_files
from tests.fuzz.worker import case

REPO = Path(__file__).parents[2]
FINDS = Path(__file__).parent / "finds"
CHUNK = 500
ENDINGS = {
    signal.SIGPROF: "too slow",
    signal.SIGALRM: "hangs",
    signal.SIGABRT: "aborts",
    signal.SIGSEGV: "crashes",
}


@dataclass
class Outcome:
    """Of many cases.

    Attributes:
        finds: What happened, by number or file.
        counts: How many cases ended in which way.
        slowest: Seconds of processor time, and which case.
    """

    finds: dict[int | str, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    slowest: tuple[float, int | str] = (0.0, "none")

    def add(self, other: Outcome) -> None:
        """Add those of others."""
        self.finds |= other.finds
        self.counts += other.counts
        self.slowest = max(self.slowest, other.slowest, key=lambda case: case[0])


def run_files(files: list[Path], **limits: int) -> Outcome:
    """Replay files; `memory` is what they may take, bytes."""
    outcome = Outcome()
    names = [str(file) for file in files]
    while names:
        reached = _run({"files": names, **limits}, outcome)
        names = names[names.index(str(reached)) + 1 :] if reached is not None else []
    return outcome


def run_cases(seed: int, first: int, last: int, real: Path | None = None) -> Outcome:
    """Run cases by number; a process that ends is followed by another."""
    outcome = Outcome()
    while first < last:
        task = {"seed": seed, "first": first, "last": last, "real": str(real) if real else None}
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
            if facts["outcome"].startswith("find"):
                outcome.finds[facts["end"]] = facts["trace"]
                outcome.counts["find"] += 1
            else:
                outcome.counts[facts["outcome"]] += 1
        code = process.wait()
        if code:
            errors.seek(0)
            how = ENDINGS.get(signal.Signals(-code), f"signal {-code}") if code < 0 else f"exit {code}"
            if running is None:
                raise RuntimeError(f"the fuzzer itself failed ({how}): {errors.read()[-2000:]}")
            outcome.finds[running] = f"{how}: {errors.read()[-500:]}"
            outcome.counts["find"] += 1
        return running


def keep(seed: int, finds: dict[int | str, str], real: Path | None) -> Iterator[Path]:
    """Write the files of finds; yields their paths."""
    with tempfile.TemporaryDirectory() as folder:
        bases = base_files(Path(folder), real)
    FINDS.mkdir(exist_ok=True)
    for number in finds:
        name, content = case(bases, seed, int(number))
        path = FINDS / f"{name.replace(', ', '-').replace(' ', '-')}-{seed}-{number}.tif"
        path.write_bytes(content)
        yield path


def main() -> None:
    """Run as many cases as asked for; exit 1 where there are finds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--real", type=Path, help="a real slide as a further base")
    options = parser.parse_args()
    total, lock, seed = Outcome(), threading.Lock(), options.seed
    print(f"seed {seed}, {options.cases} cases", flush=True)

    def run(first: int) -> None:
        outcome = run_cases(seed, first, min(first + CHUNK, options.cases), options.real)
        with lock:
            total.add(outcome)
            print(f"{total.counts.total()} cases, {len(total.finds)} finds", flush=True)

    with ThreadPoolExecutor(options.processes) as pool:
        list(pool.map(run, range(0, options.cases, CHUNK)))
    seconds, slowest = total.slowest
    print(f"{dict(total.counts)}; slowest: case {slowest} with {seconds:.1f} s of processor time")
    for path, what in zip(keep(seed, total.finds, options.real), total.finds.values(), strict=True):
        print(f"{path}: {what}")
    sys.exit(1 if total.finds else 0)


if __name__ == "__main__":
    main()
