from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_embed_train.sampler import TileSampler


def groups_of(sizes: list[int]) -> list[range]:
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    return [range(start, start + size) for start, size in zip(starts, sizes, strict=True)]


@settings(max_examples=60)
@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=30),
    batch=st.integers(1, 6),
    processes=st.integers(1, 3),
    accumulate=st.integers(1, 3),
    epoch=st.integers(0, 4),
)
def test_an_epoch_has_whole_steps_of_different_tiles(
    sizes: list[int], batch: int, processes: int, accumulate: int, epoch: int
) -> None:
    samplers = [
        TileSampler(groups_of(sizes), batch, 7, rank=rank, processes=processes, accumulate=accumulate)
        for rank in range(processes)
    ]
    for sampler in samplers:
        sampler.set_epoch(epoch)
    batches = [list(sampler) for sampler in samplers]
    steps = sum(sizes) // (batch * processes * accumulate)
    assert all(
        len(of) == len(sampler) == steps * accumulate for of, sampler in zip(batches, samplers, strict=True)
    )
    seen = [number for of in batches for one in of for number, when in one if when == epoch]
    assert len(seen) == len(set(seen)) == steps * accumulate * batch * processes
    assert set(seen) <= set(range(sum(sizes)))


@given(first=st.integers(0, 5), epoch=st.integers(0, 3))
def test_an_epoch_can_be_entered_anywhere(first: int, epoch: int) -> None:
    whole, entered = (TileSampler(groups_of([3] * 8), 4, 1) for _ in range(2))
    whole.set_epoch(epoch)
    entered.start_at(epoch, first)
    entered.set_epoch(epoch)  # as Lightning does when it goes on
    assert list(entered) == list(whole)[first:]
    entered.set_epoch(epoch + 1)
    whole.set_epoch(epoch + 1)
    assert list(entered) == list(whole), "only the epoch that was entered is short"


def test_tiles_of_a_group_follow_each_other() -> None:
    sampler = TileSampler(groups_of([4] * 16), 8, 3)
    order = [number for batch in sampler for number, _ in batch]
    assert all(order[i : i + 4] == list(range(order[i], order[i] + 4)) for i in range(0, 64, 4))
    assert order != sorted(order)


def test_epochs_and_seeds_differ() -> None:
    sampler, other = TileSampler(groups_of([1] * 32), 8, 3), TileSampler(groups_of([1] * 32), 8, 4)
    first = [number for batch in sampler for number, _ in batch]
    sampler.set_epoch(1)
    assert first != [number for batch in sampler for number, _ in batch]
    assert first != [number for batch in other for number, _ in batch]


def test_processes_share_the_batch_that_one_would_take() -> None:
    one = TileSampler(groups_of([1] * 40), 8, 5)
    two = [TileSampler(groups_of([1] * 40), 4, 5, rank=rank, processes=2) for rank in (0, 1)]
    assert list(one) == [a + b for a, b in zip(*two, strict=True)]
