"""Caches are bounded, and turning back gives what was."""

from __future__ import annotations

from icn_ledger.store.cache import LeastRecentlyUsed, PageCache, RecentChanges, RecordCache
from icn_machine.records import Controller, Namespace, RecordTables, Unit

A, B, C = b"a" * 16, b"b" * 16, b"c" * 16


def controller(last: int) -> Controller:
    return Controller(A, 1, (), None, False, b"", ((0, last),), b"")


def test_what_was_untouched_for_longest_goes_first() -> None:
    cache: LeastRecentlyUsed[str, int] = LeastRecentlyUsed(2)
    cache.put("a", 1)
    cache.put("b", 2)
    assert cache.touch("a") == 1
    cache.put("c", 3)
    assert "b" not in cache
    assert ("a" in cache, "c" in cache, len(cache)) == (True, True, 2)


def test_putting_again_replaces_and_does_not_grow() -> None:
    cache: LeastRecentlyUsed[str, int] = LeastRecentlyUsed(2)
    for value in range(5):
        cache.put("a", value)
    assert (len(cache), cache.touch("a")) == (1, 4)


def test_an_absent_record_is_known_to_be_absent() -> None:
    cache = RecordCache()
    unit = Unit(A, "HOUR", 2, B, B, 0)
    cache.put(RecordTables(units={A: unit, B: None}))
    found: dict[bytes, Unit | None] = {}
    assert cache.take(Namespace.UNIT, [A, B, C], found) == [C]
    assert found == {A: unit, B: None}
    assert cache.take(Namespace.ACCOUNT, [A], {}) == [A]
    cache.clear()
    assert cache.take(Namespace.UNIT, [A], {}) == [A]


def test_an_absent_page_is_known_to_be_absent() -> None:
    cache = PageCache(3)
    cache.put_all({b"": b"page", b"\x01": None})
    found: dict[bytes, bytes | None] = {}
    assert cache.take([b"", b"\x01", b"\x02"], found) == [b"\x02"]
    assert found == {b"": b"page", b"\x01": None}


def test_records_are_turned_back_to_any_remembered_height() -> None:
    recent = RecentChanges(heights=3)
    for height in range(1, 6):
        recent.add(height, {A: controller(height - 1)}, {})
    assert [recent.reaches(height, 5) for height in range(6)] == [False, False, True, True, True, True]
    for height in range(2, 6):
        records: dict[bytes, Controller | None] = {A: controller(5), B: None}
        recent.rewind(height, records, {})
        assert records == {A: controller(height), B: None}


def test_a_record_that_was_made_meanwhile_was_absent() -> None:
    recent = RecentChanges()
    recent.add(1, {A: None}, {})
    records: dict[bytes, Controller | None] = {A: controller(0)}
    recent.rewind(0, records, {})
    assert records == {A: None}


def test_nothing_remembered_reaches_only_the_newest() -> None:
    recent = RecentChanges()
    assert recent.reaches(7, 7)
    assert not recent.reaches(6, 7)
