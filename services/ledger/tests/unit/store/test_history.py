"""Entries as the store packs them are those of the events."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from icn.ledger.v1 import service_pb2, state_pb2
from icn_ledger.store.history import ENTRY_BYTES_MAX, id_heads, pack_entries, split_outcomes, unpack_entries
from icn_machine.entries import PostingKind
from icn_machine.events import Movement
from icn_machine.receipts import encode_postings
from icn_machine.records import Account, RecordTables

from libs.machine.tests.zone import first_commit, make_zone

GENESIS = first_commit(make_zone().genesis)
NAMES = [bytes([number]) * 16 for number in range(4)]
IDS = [bytes([number]) * 32 for number in range(7, 12)]

_balances = st.integers(-(2**62), 2**62)


@st.composite
def _movements(draw: st.DrawFn) -> Movement:
    source, destination = draw(st.permutations(NAMES))[:2]
    return Movement(
        draw(st.integers(0, len(IDS) - 1)),
        b"",
        source,
        destination,
        b"",
        draw(st.integers(1, 2**62)),
        draw(_balances | st.just(0)),
        draw(_balances),
        draw(st.sampled_from([b"", b"m" * 32])),
        draw(st.sampled_from([b"", b"h" * 16])),
        draw(st.sampled_from(PostingKind)),
        draw(st.binary(max_size=32)),
    )


def _entry(
    index: int, number: int, movement: Movement, account: bytes, other: bytes, amount: int, balance: int
) -> service_pb2.Entry:
    return service_pb2.Entry(
        height=2**40,
        index=index,
        transaction_id=IDS[movement.transaction_index],
        posting=state_pb2.Posting(
            account=account,
            counter_account=other,
            amount_minor=amount,
            balance_minor=balance,
            kind=movement.kind,  # type: ignore[arg-type]
        ),
        memo_hash=movement.memo_hash,
        block_time_ms=2**61,
        number=number,
        hold=movement.hold,
        reference=movement.reference,
    )


def _account(name: bytes, entries: int) -> Account | None:
    """One that is opened by the block itself has none before."""
    return Account(name, b"", b"", 0, 0, 0, 0, entries, bytes(32)) if entries else None


@given(movements=st.lists(_movements(), max_size=300))
def test_a_row_has_the_entries_of_its_account_and_all_rows_together_those_of_the_block(
    movements: list[Movement],
) -> None:
    expected = []
    numbers = Counter({name: old for old, name in enumerate(NAMES)})
    before = RecordTables(accounts={name: _account(name, old) for name, old in numbers.items()})
    for number, one in enumerate(movements):
        source, destination, amount = one.source, one.destination, one.amount_minor
        ours, theirs = one.source_balance_minor, one.destination_balance_minor
        numbers.update([source, destination])
        expected += [
            _entry(2 * number, numbers[source], one, source, destination, -amount, ours),
            _entry(2 * number + 1, numbers[destination], one, destination, source, amount, theirs),
        ]
    expected.reverse()
    block = replace(GENESIS.block, height=2**40, time_ms=2**61)
    posted = encode_postings(movements)
    rows = pack_entries(replace(GENESIS, block=block, transaction_ids=IDS, posted=posted, before=before))
    assert unpack_entries(rows.values()) == expected
    for account, row in rows.items():
        assert unpack_entries([row]) == [entry for entry in expected if entry.posting.account == account]


def test_the_largest_entry_takes_as_many_bytes_as_a_page_of_history_counts_with() -> None:
    posting = state_pb2.Posting(
        account=NAMES[0],
        counter_account=NAMES[1],
        amount_minor=-(2**63),
        balance_minor=-(2**63),
        kind=PostingKind.TRANSFER,
    )
    entry = service_pb2.Entry(
        height=2**63,
        index=2**32 - 1,
        transaction_id=IDS[0],
        posting=posting,
        memo_hash=bytes(32),
        block_time_ms=2**63,
        number=2**63,
        hold=NAMES[2],
        reference=bytes(32),
    )
    row = service_pb2.ListEntriesResponse(entries=[entry])
    assert row.ByteSize() == ENTRY_BYTES_MAX


def test_a_row_of_transactions_is_taken_apart_again() -> None:
    receipts = [bytes([number]) for number in range(len(IDS))]
    assert split_outcomes(b"".join(IDS), receipts) == list(zip(IDS, receipts, strict=True))
    assert list(id_heads([*IDS, b"\xff" * 32])) == [
        *(number * 0x0101010101010101 for number in range(7, 12)),
        -1,
    ]
    assert list(id_heads([])) == []
