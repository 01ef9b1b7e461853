"""What the validators say of memos, page after page."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from icn.ledger.v1 import service_pb2, state_pb2
from icn_marketplace.peers.ledger import PAGE_SIZE, ValidatorsLedger
from icn_marketplace.usecases.ports import PaymentSeen

ACCOUNT, OTHER = b"a" * 16, b"o" * 16


def entry(amount_minor: int, memo_hash: bytes) -> service_pb2.Entry:
    posting = state_pb2.Posting(account=ACCOUNT, counter_account=OTHER, amount_minor=amount_minor)
    return service_pb2.Entry(posting=posting, memo_hash=memo_hash, block_time_ms=9_000)


async def test_memos_of_a_block_are_found_on_all_its_pages_with_who_paid() -> None:
    pages = {
        "": ([entry(-1, b"1" * 32), entry(5, b"")], "second"),
        "second": ([entry(2, b"2" * 32)], ""),
    }
    asked: list[Any] = []

    async def list_entries(account: str, page_size: int, token: str, height: int) -> Any:
        asked.append((account, page_size, token, height))
        entries, following = pages[token]
        return service_pb2.ListEntriesResponse(entries=entries, next_page_token=following)

    reads: Any = SimpleNamespace(list_entries=list_entries)
    found = await ValidatorsLedger(reads).memos_of_entries(ACCOUNT, 7)
    assert found == {b"1" * 32: PaymentSeen(ACCOUNT, 9_000), b"2" * 32: PaymentSeen(OTHER, 9_000)}
    name = f"accounts/{ACCOUNT.hex()}"
    assert asked == [(name, PAGE_SIZE, "", 7), (name, PAGE_SIZE, "second", 7)]


async def test_an_order_has_the_memo_that_it_was_made_with() -> None:
    async def get_order(name: str) -> Any:
        assert name == f"orders/{OTHER.hex()}"
        leaf = state_pb2.StandingOrderLeaf()
        leaf.ordered.memo_hash = b"m" * 32
        return service_pb2.GetOrderResponse(order=leaf)

    reads: Any = SimpleNamespace(get_order=get_order)
    assert await ValidatorsLedger(reads).memo_of_order(OTHER) == b"m" * 32
