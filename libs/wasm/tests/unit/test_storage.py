"""What a call sees of the storage, its own writes included, and what it leaves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn_wasm.refusals import StopReason
from icn_wasm.storage import KeyUndeclared, Overlay, Write

KEYS = st.binary(min_size=1, max_size=2)
BOUND = st.none() | st.binary(max_size=2)


class View(dict[bytes, bytes]):
    def scan(
        self, start: bytes | None, end: bytes | None, is_descending: bool
    ) -> Iterator[tuple[bytes, bytes]]:
        return iter(within(self, start, end, is_descending))


def within(
    pairs: dict[bytes, bytes], start: bytes | None, end: bytes | None, is_descending: bool
) -> list[tuple[bytes, bytes]]:
    return sorted(
        (
            (key, value)
            for key, value in pairs.items()
            if (start is None or key >= start) and (end is None or key < end)
        ),
        reverse=is_descending,
    )


@given(
    st.dictionaries(KEYS, st.binary(min_size=1, max_size=2), max_size=8),
    st.lists(st.tuples(KEYS, st.none() | st.binary(min_size=1, max_size=2)), max_size=8),
    BOUND,
    BOUND,
    st.booleans(),
)
def test_a_scan_sees_the_storage_with_the_writes_before_it(
    stored: dict[bytes, bytes],
    writes: list[tuple[bytes, bytes | None]],
    start: bytes | None,
    end: bytes | None,
    is_descending: bool,
) -> None:
    overlay, expected = Overlay(View(stored)), dict(stored)
    for key, value in writes:
        overlay.put(key, value)
        expected.pop(key, None)
        if value is not None:
            expected[key] = value
    scan = overlay.scan(start, end, is_descending)
    overlay.put(b"\x01later", b"x")
    assert list(scan) == within(expected, start, end, is_descending)
    assert all(overlay.get(key) == value for key, value in expected.items())
    left = overlay.writes()
    assert [write.key for write in left] == sorted({key for key, _ in writes} | {b"\x01later"})


def test_the_write_set_names_the_last_value_of_each_key_in_order() -> None:
    overlay = Overlay(View(a=b"1"))  # type: ignore[arg-type]
    for key, value in ((b"b", b"1"), (b"a", b"2"), (b"b", b"3"), (b"c", None)):
        overlay.put(key, value)
    assert overlay.writes() == (Write(b"a", b"2"), Write(b"b", b"3"), Write(b"c", None))


SCAN = """
(func (export "query") (param i32 i32) (result i32) (local $iterator i32) (local $pair i32)
  (local.set $iterator (call $db_scan
    (call $region (i32.const 1024) (i32.const 0)) (i32.const 0) (i32.const {order})))
  (call $emit '"')
  (block $done (loop $more
    (local.set $pair (call $db_next (local.get $iterator)))
    (br_if $done (i32.eq (i32.load offset=8 (local.get $pair)) (i32.const 8)))
    (call $emit (i32.load (local.get $pair)) (i32.const 1))
    (call $emit (i32.add (i32.load (local.get $pair)) (i32.const 5)) (i32.const 1))
    (br $more)))
  (call $emit '"')
  (call $answer_query))
"""


@pytest.mark.parametrize(("order", "expected"), [(1, b'"a1b2c3"'), (2, b'"c3b2a1"')])
def test_a_contract_goes_through_its_storage_in_both_orders(order: int, expected: bytes, deploy: Any) -> None:
    deployed = deploy(SCAN.replace("{order}", str(order)))
    deployed.storage.update({b"b": b"2", b"a": b"1", b"c": b"3"})
    outcomes = [deployed.query() for _ in range(10)]
    assert {outcome.response.data for outcome in outcomes} == {expected}
    assert len({outcome.gas_used for outcome in outcomes}) == 1
    assert deployed.storage.asked[0] == (b"", None, order == 2)


NEXT_KEY = """
(func (export "query") (param i32 i32) (result i32) (local $iterator i32) (local $key i32)
  (local.set $iterator (call $db_scan (i32.const 0) (i32.const 0) (i32.const 1)))
  (call $emit '"')
  (block $done (loop $more
    (local.set $key (call $db_next_key (local.get $iterator)))
    (br_if $done (i32.eqz (local.get $key)))
    (call $emit (i32.load (local.get $key)) (i32.load offset=8 (local.get $key)))
    (br $more)))
  (call $emit '"')
  (call $answer_query))
"""


def test_a_contract_reads_keys_alone(deploy: Any) -> None:
    deployed = deploy(NEXT_KEY)
    deployed.storage.update({b"bb": b"2", b"a": b"1"})
    assert deployed.query().response.data == b'"abb"'


def test_a_key_that_was_not_declared_stops_the_call(deploy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    deployed = deploy(
        '(func (export "execute") (param i32 i32 i32) (result i32) '
        "(drop (call $db_read (call $region (i32.const 1024) (i32.const 2)))) (call $done))"
    )

    def refuse(key: bytes) -> bytes | None:
        raise KeyUndeclared(key.hex())

    monkeypatch.setattr(deployed.storage, "get", refuse)
    assert deployed.execute().stopped.reason == StopReason.KEY_UNDECLARED


def test_a_fault_of_the_storage_is_not_the_contracts(deploy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    deployed = deploy(
        '(func (export "execute") (param i32 i32 i32) (result i32) '
        "(drop (call $db_read (call $region (i32.const 1024) (i32.const 2)))) (call $done))"
    )

    def fail(_key: bytes) -> bytes | None:
        raise ConnectionError

    with monkeypatch.context() as patched:
        patched.setattr(deployed.storage, "get", fail)
        with pytest.raises(ConnectionError):
            deployed.execute()
    assert deployed.execute().stopped is None
