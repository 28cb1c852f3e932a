"""Shares of a job: by number, and as a task of a scheduler's array."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import wsi_embed
from tests.job_tools import make_model, make_slides, tree
from tests.made_slides import dicom_bytes
from wsi_embed.errors import UsageError
from wsi_embed.inputs.schedulers import array_task
from wsi_embed.inputs.shards import parse_shard, shard
from wsi_embed.inputs.slides import SlideInput, find_slides
from wsi_embed.util.text import argument


@dataclass(frozen=True)
class Sized(SlideInput):
    """A slide of so many bytes that is not there."""

    bytes: int = 0

    @property
    def size(self) -> int:
        return self.bytes


def sized(sizes: Sequence[int]) -> list[SlideInput]:
    return [
        Sized(f"{n:03}", Path(f"/nowhere/{n}.svs"), f"{n}.svs", bytes=size) for n, size in enumerate(sizes)
    ]


sizes_of_slides = st.lists(st.integers(0, 10**10), max_size=60)
counts = st.integers(1, 70)


@given(sizes=sizes_of_slides, count=counts, random=st.randoms())
def test_every_slide_is_in_exactly_one_shard_whatever_their_order(
    sizes: list[int], count: int, random: object
) -> None:
    slides = sized(sizes)
    parts = [shard(slides, index, count) for index in range(count)]
    assert sorted(s.slide_id for part in parts for s in part) == [s.slide_id for s in slides]
    assert all(part == sorted(part, key=lambda s: s.slide_id) for part in parts)
    random.shuffle(slides)  # type: ignore[attr-defined]
    assert parts == [shard(slides, index, count) for index in range(count)]


@given(sizes=sizes_of_slides, count=counts)
def test_shards_differ_by_no_more_than_one_slide(sizes: list[int], count: int) -> None:
    """The heaviest was the lightest before it got its last slide, which is its smallest."""
    slides = sized(sizes)
    parts = [[max(s.size, 1) for s in shard(slides, index, count)] for index in range(count)]
    heaviest = max(parts, key=sum)
    assert sum(heaviest) - min(map(sum, parts)) <= min(heaviest, default=0)


def test_all_files_of_a_slide_count(tmp_path: Path) -> None:
    part, other = dicom_bytes("1.2.3"), dicom_bytes("1.2.4")
    files = {
        "m.mrxs": b"12345", "m/Data0000.dat": bytes(1000), "m/deep/Index.dat": bytes(500), "s.svs": bytes(7),
        "d/1.dcm": part, "d/2.dcm": part, "d/3.dcm": other,
    }  # fmt: skip
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    sizes = {item.slide_id: item.size for item in find_slides([tmp_path])}
    assert sizes == {"m": 1505, "s": 7, "d__1": 2 * len(part), "d__3": len(other)}
    assert SlideInput("x", tmp_path / "gone.svs", "gone.svs").size == 0


@pytest.mark.parametrize(("text", "expected"), [("0/1", (0, 1)), ("3/4", (3, 4)), ("007/010", (7, 10))])
def test_a_shard_is_written_as_a_fraction(text: str, expected: tuple[int, int]) -> None:
    assert parse_shard(text, {}) == expected


@pytest.mark.parametrize(
    "text", ["", "1", "4/4", "0/0", "-1/4", "1/4/8", "a/b", "1.0/4", "²/4", "/", "1/", "AUTO"]
)
def test_other_shards_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(
        UsageError, match=f"{re.escape(argument('shard', text))}: expected auto, or i/n counted from 0"
    ):
        parse_shard(text, {})


def slurm(here: int, first: int, last: int, step: int, count: int) -> dict[str, str]:
    """What Slurm sets in a task of an array."""
    values = {"ID": here, "MIN": first, "MAX": last, "STEP": step, "COUNT": count}
    return {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in values.items()}


@given(first=st.integers(0, 1000), step=st.integers(1, 50), count=st.integers(1, 200))
def test_the_tasks_of_a_slurm_array_are_numbered_from_0(first: int, step: int, count: int) -> None:
    """`--array=first-last:step`."""
    ids = range(first, first + step * count, step)
    found = [array_task(slurm(here, ids[0], ids[-1], step, count)) for here in ids]
    assert found == [(index, count) for index in range(count)]


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"JOB_COMPLETION_INDEX": "0", "WSI_EMBED_SHARD_COUNT": "8"}, (0, 8)),
        ({"AWS_BATCH_JOB_ARRAY_INDEX": "7", "AWS_BATCH_JOB_ARRAY_SIZE": "8"}, (7, 8)),
        ({"AWS_BATCH_JOB_ARRAY_INDEX": "7", "WSI_EMBED_SHARD_COUNT": "9"}, (7, 9)),
        # --array=1,3,7: three shares of ten once more; the tasks' numbers are those of the shares
        (slurm(3, 1, 7, 1, 3) | {"WSI_EMBED_SHARD_COUNT": "10"}, (3, 10)),
    ],
)
def test_other_schedulers_and_the_number_of_shares_that_is_given(
    environ: dict[str, str], expected: tuple[int, int]
) -> None:
    assert parse_shard("auto", environ) == expected


@pytest.mark.parametrize(
    ("environ", "text"),
    [
        ({}, "no array job of Slurm, Kubernetes or AWS Batch; give `shard='i/n'`"),
        ({"SLURM_JOB_ID": "5", "AWS_BATCH_JOB_ID": "x"}, "no array job"),
        (slurm(0, 0, 3, 1, 4) | {"JOB_COMPLETION_INDEX": "0"}, "_ID and JOB_COMPLETION_INDEX are set"),
        ({"SLURM_ARRAY_TASK_ID": "3"}, "SLURM_ARRAY_TASK_MIN is not set"),
        # as Slurm 22.05 has them: in a list the step is 1
        (slurm(3, 1, 7, 1, 3), "array with gaps .* WSI_EMBED_SHARD_COUNT"),  # --array=1,3,7
        (slurm(4, 0, 4, 1, 3), "array with gaps"),  # --array=0,1,4
        (slurm(2, 0, 6, 1, 4), "array with gaps"),  # --array=0,2,3,6
        (slurm(3, 0, 6, 0, 4), "array with gaps"),
        (slurm(9, 0, 3, 1, 4), "array with gaps"),
        (slurm(4, 1, 4, 1, 4) | {"WSI_EMBED_SHARD_COUNT": "4"}, "_ID is 4, but 4 shares count from 0 to 3"),
        ({"JOB_COMPLETION_INDEX": "0"}, "how many completions there are; set WSI_EMBED_SHARD_COUNT"),
        ({"JOB_COMPLETION_INDEX": "0", "WSI_EMBED_SHARD_COUNT": "many"}, "WSI_EMBED_SHARD_COUNT is 'many'"),
        ({"JOB_COMPLETION_INDEX": "", "WSI_EMBED_SHARD_COUNT": "4"}, "JOB_COMPLETION_INDEX is ''"),
        ({"JOB_COMPLETION_INDEX": "0", "WSI_EMBED_SHARD_COUNT": "0"}, "is 0, but 0 shares"),
        ({"AWS_BATCH_JOB_ARRAY_INDEX": "7"}, "AWS_BATCH_JOB_ARRAY_SIZE is not set"),
        ({"AWS_BATCH_JOB_ARRAY_INDEX": "8", "AWS_BATCH_JOB_ARRAY_SIZE": "8"}, "count from 0 to 7"),
    ],
)
def test_what_does_not_say_which_share_this_is_is_refused(environ: dict[str, str], text: str) -> None:
    with pytest.raises(UsageError, match=f"`shard='auto'`: .*{text}"):
        parse_shard("auto", environ)


def test_tasks_of_an_array_fill_one_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More tasks than slides: some have nothing to do."""
    slides, model = make_slides(tmp_path / "slides", side=300), make_model(tmp_path / "model")
    monkeypatch.setenv("WSI_EMBED_SHARD_COUNT", "5")
    done = []
    for index in range(5):
        monkeypatch.setenv("JOB_COMPLETION_INDEX", str(index))
        report = wsi_embed.embed(slides, tmp_path / "f.zarr", model=model, shard="auto")
        assert report.exit_code == 0
        done.append(report.count("done"))
    assert sorted(done) == [0, 0, 1, 1, 1]
    wsi_embed.embed(slides, tmp_path / "whole.zarr", model=model)
    assert tree(tmp_path / "f.zarr") == tree(tmp_path / "whole.zarr")
