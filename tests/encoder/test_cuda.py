"""Who passes the lock, and when."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from wsi_embed.encoder.cuda import SharedLock


def test_many_pass_at_once() -> None:
    lock, together = SharedLock(), threading.Barrier(3)

    def pass_with_others() -> None:
        with lock.shared():
            together.wait(10)

    with ThreadPoolExecutor(3) as threads:
        for future in [threads.submit(pass_with_others) for _ in range(3)]:
            future.result(10)


def test_one_alone_is_alone_among_many() -> None:
    lock, inside, wrong = SharedLock(), [0, 0], []

    def work(number: int) -> None:
        for turn in range(40):
            if (turn + number) % 4:
                with lock.shared():
                    inside[0] += 1
                    if inside[1]:
                        wrong.append("shared beside alone")
                    time.sleep(0)
                    inside[0] -= 1
            else:
                with lock.exclusive():
                    inside[1] += 1
                    if inside != [0, 1]:
                        wrong.append("alone beside others")
                    time.sleep(0)
                    inside[1] -= 1

    with ThreadPoolExecutor(6) as threads:
        for future in [threads.submit(work, number) for number in range(6)]:
            future.result(30)
    assert not wrong


def test_who_waits_for_the_exclusive_lock_is_not_starved() -> None:
    lock, entered, release, order = SharedLock(), threading.Event(), threading.Event(), []

    def first() -> None:
        with lock.shared():
            entered.set()
            release.wait(10)

    def exclusive() -> None:
        with lock.exclusive():
            order.append("exclusive")

    def late() -> None:
        with lock.shared():
            order.append("late")

    with ThreadPoolExecutor(3) as threads:
        threads.submit(first)
        entered.wait(10)
        waiting = threads.submit(exclusive)
        while not lock._waiting:
            time.sleep(0.001)
        latecomer = threads.submit(late)
        time.sleep(0.02)
        assert order == []
        release.set()
        waiting.result(10)
        latecomer.result(10)
    assert order == ["exclusive", "late"]


def test_an_error_inside_releases_the_lock() -> None:
    lock = SharedLock()
    for way in (lock.shared, lock.exclusive):
        try:
            with way():
                raise KeyError
        except KeyError:
            pass
    with lock.exclusive():
        pass
