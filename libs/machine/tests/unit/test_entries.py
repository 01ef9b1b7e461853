"""The chain of an account's entries is that of the specification, and covers everything."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn_machine.entries import Entry, EntryChain, PostingKind
from icn_machine.records import Account
from icn_machine.refusals import Malformed

from libs.machine.tests.posted import entries_of
from libs.machine.tests.scene import ANA, BEN, Scene
from libs.machine.tests.workload import ACCOUNTS, Workload
from libs.machine.tests.zone import Zone, capture_hold, identifier, memory_ledger, place_hold, transfer

GENESIS_HASH = bytes(range(32))
TAG = b"icn/entry/v1"

entries = st.builds(
    Entry,
    number=st.integers(1, 2**62),
    height=st.integers(1, 2**62),
    block_time_ms=st.integers(0, 2**62),
    transaction_id=st.sampled_from([b"", b"t" * 32]),
    kind=st.sampled_from(PostingKind),
    amount_minor=st.integers(-(2**62), 2**62),
    balance_minor=st.integers(-(2**62), 2**62),
    counter_account=st.binary(min_size=16, max_size=16),
    memo_hash=st.sampled_from([b"", b"m" * 32]),
    reference=st.binary(max_size=32),
    hold=st.sampled_from([b"", b"h" * 16]),
)


@pytest.fixture
async def scene(zone: Zone) -> Scene:
    return await Scene(zone).set_up()


def by_the_specification(before: bytes, entry: Entry) -> bytes:
    """docs/spec/ledger.md, written out."""
    body = (
        (before or bytes(32))
        + entry.number.to_bytes(8, "big")
        + entry.height.to_bytes(8, "big")
        + entry.block_time_ms.to_bytes(8, "big")
        + (entry.transaction_id or bytes(32))
        + int(entry.kind).to_bytes(8, "big")
        + entry.amount_minor.to_bytes(8, "big", signed=True)
        + entry.balance_minor.to_bytes(8, "big", signed=True)
        + entry.counter_account
        + (entry.memo_hash or bytes(32))
        + entry.reference.ljust(32, b"\0")
        + (entry.hold or bytes(16))
    )
    assert len(body) == 208
    head = len(TAG).to_bytes(4, "big") + TAG + GENESIS_HASH + len(body).to_bytes(4, "big")
    return sha256(head + body).digest()


@given(before=st.sampled_from([b"", b"b" * 32]), entry=entries)
def test_the_hash_is_that_of_the_specification(before: bytes, entry: Entry) -> None:
    assert EntryChain(GENESIS_HASH).extend(before, entry) == by_the_specification(before, entry)


@given(entry=entries, other=entries)
def test_no_two_entries_have_one_hash(entry: Entry, other: Entry) -> None:
    chain = EntryChain(GENESIS_HASH)
    padded = [one._replace(reference=one.reference.ljust(32, b"\0")) for one in (entry, other)]
    assert (padded[0] == padded[1]) == (chain.extend(b"", entry) == chain.extend(b"", other))
    assert chain.extend(b"", entry) != chain.extend(b"x" * 32, entry)
    assert EntryChain(bytes(32)).extend(b"", entry) != chain.extend(b"", entry)


async def test_accounts_carry_the_chain_of_everything_that_was_posted(zone: Zone) -> None:
    """Worked out again from what each block posted, over a workload of every kind of message."""
    ledger = memory_ledger(zone)
    chain = EntryChain(zone.genesis.hash)
    counts: dict[bytes, int] = {}
    ends: dict[bytes, tuple[int, bytes]] = {}
    for transactions in Workload(zone, 5).blocks(60):
        await ledger.execute(*transactions)
        for account, entry in entries_of(ledger.state.commits[-1], counts):  # type: ignore[attr-defined]
            _, before = ends.get(account, (0, b""))
            ends[account] = entry.number, chain.extend(before, entry)
    records = ledger.state.records[-1]  # type: ignore[attr-defined]
    found = {name: (one.entries, one.entries_hash) for name, one in records.accounts.items()}
    assert {name: end for name, end in found.items() if end[0]} == ends
    assert set(ACCOUNTS) <= set(ends) and sum(number for number, _ in ends.values()) > 60


async def test_what_made_a_posting_and_what_its_signer_said_of_it_is_told(scene: Scene) -> None:
    hold = identifier("a hold")
    message = transfer(ANA, BEN, 10)
    message.transfer.reference = b"invoice 7"
    receipt = await scene.applied(scene.ana, message)
    assert [one.kind for one in receipt.postings] == [PostingKind.TRANSFER] * 2
    await scene.applied(scene.ana, place_hold(hold, ANA, BEN, 5, scene.now_ms + 60_000))
    captured = await scene.applied(scene.ben, capture_hold(hold, 5))
    assert [one.kind for one in captured.postings] == [PostingKind.CAPTURE] * 2
    commits = scene.ledger.state.commits  # type: ignore[attr-defined]
    movements = [posted.movement for commit in commits for posted in commit.posted]
    assert [(one.kind, one.reference, one.hold) for one in movements] == [
        (PostingKind.TRANSFER, b"invoice 7", b""),
        (PostingKind.CAPTURE, b"", hold),
    ]
    assert scene.account(ANA).entries == 2


async def test_a_refused_transaction_makes_no_entry(scene: Scene) -> None:
    await scene.applied(scene.ana, transfer(ANA, BEN, 5))
    before: Account = scene.account(ANA)
    await scene.refused("CREDIT_LIMIT_EXCEEDED", scene.ana, transfer(ANA, BEN, 5), transfer(ANA, BEN, 10_000))
    assert scene.account(ANA) == before


@pytest.mark.parametrize("length", [32, 33])
async def test_a_reference_has_at_most_32_bytes(scene: Scene, length: int) -> None:
    message = transfer(ANA, BEN, 1)
    message.transfer.reference = b"r" * length
    data = scene.zone.transaction(scene.ana, message)
    if length == 32:
        assert scene.ledger.cache.read(data).messages[0].reference == b"r" * 32
        return
    with pytest.raises(Malformed, match="reference has 33 bytes, at most 32"):
        scene.ledger.cache.read(data)
