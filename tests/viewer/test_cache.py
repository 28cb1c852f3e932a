from __future__ import annotations

from wsi_embed.viewer.cache import ByteCache


def test_the_least_recently_used_values_are_dropped() -> None:
    cache = ByteCache(10)
    for name in "abc":
        cache.put(name, b"123")
    assert cache.get("a") == b"123"
    cache.put("d", b"123")
    assert [cache.get(name) is None for name in "abcd"] == [False, True, False, False]
    assert cache.size == 9


def test_a_value_that_replaces_another_does_not_count_twice() -> None:
    cache = ByteCache(10)
    cache.put("a", b"12345678")
    cache.put("a", b"123456789")
    assert (cache.size, cache.get("a")) == (9, b"123456789")


def test_a_value_larger_than_the_cache_drops_no_other() -> None:
    cache = ByteCache(10)
    cache.put("a", b"1")
    cache.put("b", bytes(11))
    assert (cache.get("a"), cache.get("b")) == (b"1", None)
