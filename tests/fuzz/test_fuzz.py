"""Files that lie end in a SlideError: those that once did not, and some fresh ones."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.fuzz.bases import BASES, base_files
from tests.fuzz.exercise import exercise
from tests.fuzz.mutate import MUTATIONS, mutated
from tests.fuzz.run import FINDS, run_cases, run_files
from tests.fuzz.worker import case

FRESH = 500


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return base_files(tmp_path_factory.mktemp("bases"))


def test_finds_and_fresh_cases_end_in_a_slide_error_or_in_right_pixels() -> None:
    seed = random.SystemRandom().randrange(10**6)
    outcome = run_cases(seed, 0, FRESH)
    assert not outcome.finds, f"python -m tests.fuzz.run --seed {seed} --cases {FRESH}: {outcome.finds}"
    assert outcome.counts.total() == FRESH
    assert outcome.counts["tiff"]  # not everything is refused
    assert outcome.counts["partly"]


def test_what_was_found_stays_mended() -> None:
    files = sorted(FINDS.glob("*.tif"))
    assert files
    outcome = run_files(files)
    assert not outcome.finds
    assert outcome.counts.total() == len(files)


# Whether a find would be noticed


def test_a_process_that_ends_is_a_find_and_the_others_go_on(bases: dict[str, bytes], tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.tif", "b.tif")]
    for file in files:
        file.write_bytes(bases["generic"])
    assert run_files(files).counts == {"tiff": 2}
    outcome = run_files(files, memory=100_000)
    assert list(outcome.finds) == [str(file) for file in files]
    assert outcome.counts == {"find": 2}


@pytest.mark.parametrize("name", BASES)
def test_what_was_not_mutated_is_read_whole(name: str, bases: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(bases[name])
    assert exercise(path) in ("tiff", "openslide")


def test_cases_are_the_same_for_the_same_seed(bases: dict[str, bytes]) -> None:
    assert case(bases, 3, 17) == case(bases, 3, 17)
    assert len({case(bases, seed, number)[1] for seed in (3, 4) for number in (17, 17 + len(bases))}) == 4


@pytest.mark.parametrize("mutate", MUTATIONS, ids=lambda m: m.__name__)
def test_mutations_change_something(mutate, bases: dict[str, bytes]) -> None:  # type: ignore[no-untyped-def]
    changed = set()
    for number, content in enumerate(bases.values()):
        out = bytearray(content)
        mutate(out, random.Random(number))
        changed.add(bytes(out) != content)
    assert True in changed
    assert mutated(content, random.Random(1)) != content
