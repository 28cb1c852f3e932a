"""The job files of docker/ on a real Slurm of one node.

    .venv-test/bin/python -m tests.slurm.run

Takes two minutes. It is no part of `make test`; `.ci/run` starts it where Slurm is installed.

1. An array of 4 fills a store from 12 slides. One task is killed in mid-slide and put into the queue again,
   one is told that its time is up. The store is that of an undisturbed job, and no slide was done twice; only
   those in hand when the two were stopped were begun twice.
2. A training is told that its time is up: it saves, goes into the queue by itself, and goes on at its step.
"""

# ruff: noqa: T201 (it is a program)
from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import wsi_embed
from tests.job_tools import make_model, make_slides, tree
from tests.made_models import tiny_tiles
from tests.slurm.cluster import missing, one_node, wait_for

DOCKER = Path(__file__).parents[2] / "docker"
SKIPPED = 3
COMMAND = f"{sys.executable} -m wsi_embed"
SMALL = ("epochs=8", "batch_size=8", "tile_px=32", "workers=0", "devices=cpu", "clusters=5")
MANY = ["--batch-size", "8", "--overlap", "26"]  # so many tiles that a slide takes seconds


class Cluster:
    """Slurm's commands, for jobs that run in one folder."""

    def __init__(self, environ: dict[str, str], folder: Path) -> None:
        self.environ, self.folder = environ, folder

    def call(self, *command: str) -> str:
        done = subprocess.run(
            command, env=self.environ, cwd=self.folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout.strip()

    def submit(self, script: Path, *options: str, **variables: str) -> str:
        exported = ",".join(["ALL", *(f"{name}={value}" for name, value in variables.items())])
        return self.call("sbatch", "--parsable", f"--export={exported}", *options, str(script))

    def state(self, job: str) -> str:
        """What Slurm says of a job or of a task: `RUNNING`, `REQUEUED`, `COMPLETED` and so on."""
        shown = self.call("scontrol", "show", "job", job)
        return next(word for word in shown.split() if word.startswith("JobState=")).partition("=")[2]

    def wait(self, jobs: list[str], seconds: float = 400) -> None:
        """Until they have ended."""
        ends = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT")
        wait_for(lambda: all(self.state(job) in ends for job in jobs), f"the end of {jobs}", seconds)


def lines(log: Path) -> list[dict[str, Any]]:
    """A job's log, of all its runs."""
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def of(events: list[dict[str, Any]], event: str, **fields: Any) -> list[str]:
    """Ids of the slides of all events that have these fields."""
    return [x["slide_id"] for x in events if x["event"] == event and fields.items() <= x.items()]


def in_hand(events: list[dict[str, Any]]) -> set[str]:
    """Slides that were begun and are not done: one that is read, and maybe one in its last batches."""
    return {*of(events, "slide_started")} - {*of(events, "slide_finished", status="done")}


def in_mid_slide(log: Path) -> bool:
    """One slide is done, and another is in hand."""
    events = lines(log)
    return bool(of(events, "slide_finished")) and bool(in_hand(events))


def process_of(task: str) -> int:
    """The process of wsi-embed in a task of an array."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            mine = f"SLURM_ARRAY_TASK_ID={task}".encode() in (folder / "environ").read_bytes().split(b"\0")
            if mine and b"wsi_embed" in (folder / "cmdline").read_bytes():
                return int(folder.name)
        except OSError:
            continue
    raise AssertionError(f"no process of task {task}")


def array_of_four(cluster: Cluster) -> None:
    """Twelve slides, four tasks, one killed, one out of time."""
    folder = cluster.folder
    slides, model = make_slides(folder / "slides", 12, side=1200), make_model(folder / "model")
    (folder / "logs").mkdir(exist_ok=True)
    variables = {"COMMAND": COMMAND, "WSI_EMBED_MODEL": str(model)}
    variables |= {
        f"WSI_EMBED_{k[2:].replace('-', '_').upper()}": v for k, v in zip(*[iter(MANY)] * 2, strict=True)
    }
    job = cluster.submit(DOCKER / "slurm.sbatch", "--cpus-per-task=1", "--mem=100M", **variables)
    logs = [folder / "logs" / f"wsi-embed-{job}_{task}.jsonl" for task in range(4)]

    wait_for(lambda: in_mid_slide(logs[2]), "the second slide of task 2", 120)
    os.kill(process_of("2"), signal.SIGKILL)  # as the kernel does when memory is short
    wait_for(lambda: cluster.state(f"{job}_2") == "FAILED", "task 2 to fail", 60)
    killed = len(lines(logs[2]))
    cluster.call("scontrol", "requeue", f"{job}_2")

    wait_for(lambda: in_mid_slide(logs[1]), "the second slide of task 1", 120)
    cluster.call("scancel", "--batch", "--signal=USR1", f"{job}_1")  # what --signal=B:USR1@120 sends
    cluster.wait([f"{job}_{task}" for task in range(4)])

    events = [lines(log) for log in logs]
    assert [cluster.state(f"{job}_{task}") for task in range(4)] == ["COMPLETED"] * 4
    exits = [[x["exit_code"] for x in some if x["event"] == "job_finished"] for some in events]
    assert exits == [[0], [75, 0], [0], [0]], exits
    together = [event for some in events for event in some]
    done = Counter(of(together, "slide_finished", status="done"))
    assert list(done.values()) == [1] * 12, done
    begun = Counter(of(together, "slide_started"))
    twice = {slide_id for slide_id, count in begun.items() if count > 1}
    stopped = [x["event"] for x in events[1]].index("job_finished")
    dropped = in_hand(events[2][:killed]) | in_hand(events[1][:stopped])
    assert twice, "nothing was in hand"
    assert twice <= dropped, (twice, dropped)
    assert wsi_embed.verify(folder / "feats.zarr") == []
    calm = folder / "calm.zarr"
    wsi_embed.embed(slides, calm, model=model, batch_size=int(MANY[1]), overlap=int(MANY[3]))
    assert tree(folder / "feats.zarr") == tree(calm)
    print(f"an array of 4 over 12 slides: whole; begun twice: {', '.join(sorted(twice))}")


def training(cluster: Cluster) -> None:
    """A few epochs on a few tiles, out of time in the middle."""
    folder = cluster.folder
    (folder / "logs").mkdir(exist_ok=True)
    tiny_tiles(folder / "tiles", 32)
    options = " ".join(f"--set {setting}" for setting in SMALL)
    run, script = folder / "runs" / "tiny", DOCKER / "slurm-train.sbatch"
    job = cluster.submit(
        script, "--cpus-per-task=1", "--mem=500M", "--gres=none",
        COMMAND=COMMAND, SOURCE=str(folder / "tiles"), RUN=str(run), OPTIONS=options, OMP_NUM_THREADS="1",
    )  # fmt: skip
    metrics, log = run / "metrics.csv", folder / "logs" / f"wsi-embed-train-{job}.log"
    wait_for(lambda: metrics.exists() and steps(metrics), f"steps of the training ({log})", 200)
    cluster.call("scancel", "--batch", "--signal=USR1", job)
    wait_for(lambda: cluster.state(job) != "RUNNING", "the training to stop", 120)
    before = steps(metrics)
    cluster.wait([job])
    assert cluster.state(job) == "COMPLETED", log.read_text()
    after = steps(metrics)
    assert after == sorted(set(after)), after
    assert after[: len(before)] == before
    assert len(after) > len(before), "it was done before it was told to stop"
    found = re.findall(r"going on after step (\d+)", log.read_text())
    assert len(found) == 1, log.read_text()
    print(f"a training of {after[-1]} steps: stopped at step {found[0]}, went on by itself")


def steps(metrics: Path) -> list[int]:
    """Steps that a training has recorded."""
    with metrics.open() as rows:
        return [int(row["step"]) for row in csv.DictReader(rows)]


def main() -> int:
    """Run both; 3 where there can be no Slurm."""
    if reason := missing():
        print(f"SKIPPED, nothing was tested: {reason}", file=sys.stderr)
        return SKIPPED
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    try:
        with one_node(folder / "slurm") as environ:
            (folder / "work").mkdir()
            cluster = Cluster(environ, folder / "work")
            array_of_four(cluster)
            training(cluster)
    except BaseException:
        print(f"what is left of it is in {folder}", file=sys.stderr)
        raise
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
