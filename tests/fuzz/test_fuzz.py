"""Mutated files end in an error of wsi-embed or in what they hold: cases of one seed, and earlier finds."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from tests.fuzz.case import Case, Files
from tests.fuzz.kinds import KINDS, bases_of, case, store_case, stored_case
from tests.fuzz.run import FINDS, run_cases, run_files
from tests.fuzz.worker import write_case

# The same cases each time, so that the suite says the same of the same code; `make fuzz` draws fresh ones.
SEED = 1
CASES = 50  # of each kind


@functools.cache
def bases(kind: str) -> dict[str, Files]:
    return bases_of(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_cases_end_in_an_error_or_in_what_they_hold(kind: str) -> None:
    outcome = run_cases(kind, SEED, 0, CASES)
    assert not outcome.finds
    assert outcome.counts.total() == CASES
    # not everything is refused
    assert sum(outcome.counts[how] for how in ("read", "tiff", "openslide")) > CASES / 20


@pytest.mark.parametrize("kind", sorted(path.name for path in FINDS.iterdir()))
def test_what_was_found_stays_mended(kind: str) -> None:
    files = sorted((FINDS / kind).iterdir())
    outcome = run_files(kind, files)
    assert not outcome.finds
    assert outcome.counts.total() == len(files) > 0


def test_a_find_is_kept_with_what_is_known_of_it(tmp_path: Path) -> None:
    one, two = {"slide.ome.tif": b"a"}, {"1_0": b"a", "label": b"b"}
    path = store_case(Case(one), tmp_path, "resolution-both-1-2")
    assert path == tmp_path / "resolution-both-1-2.ome.tif"
    assert stored_case(path) == Case({path.name: b"a"}, truth="all")
    assert stored_case(store_case(Case(two), tmp_path, "wrong-jpeg-1-2")) == Case(two, truth="content")
    assert stored_case(store_case(Case(two), tmp_path, "crash-jpeg-1-2")).truth == "nothing"


def test_a_process_that_ends_is_a_find_and_the_others_go_on(tmp_path: Path) -> None:
    names = ("a", "b")
    files = [write_case(tmp_path / name, Case(bases("tiff")["generic"])) for name in names]
    assert run_files("tiff", files).counts == {"tiff": 2}
    outcome = run_files("tiff", files, memory=100_000)
    assert list(outcome.finds) == [str(file) for file in files]
    assert outcome.counts == {"find": 2}


@pytest.mark.parametrize("kind", KINDS)
def test_cases_are_the_same_for_the_same_seed(kind: str) -> None:
    found = bases(kind)
    assert found == bases_of(kind)
    assert case(kind, found, 3, 17) == case(kind, found, 3, 17)
    numbers = [17 + i * len(found) for i in range(10)]
    assert len({str(case(kind, found, seed, number)) for seed in (3, 4) for number in numbers}) > 10


@pytest.mark.parametrize("kind", KINDS)
def test_mutations_change_files_in_many_ways(kind: str) -> None:
    cases = [case(kind, bases(kind), 1, number) for number in range(100)]
    assert sum(found.files != bases(kind)[name] for name, found in cases) > 80
    assert len({step for _, found in cases for step in found.steps}) >= 8
