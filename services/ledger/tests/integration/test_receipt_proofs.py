"""Receipts under roots that final headers name, on a chain whose headers trail what is executed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from icn.consensus.v1 import application_pb2 as app
from icn.consensus.v1.block_pb2 import BlockHeader
from icn.ledger.v1 import service_pb2 as pb
from icn_client.light.receipt_proof import receipt_proof_of
from icn_client.light.verify import Shown, verify_proof
from icn_crypto import tags
from icn_crypto.hashing import domain_hash
from icn_crypto.merkle_log import EMPTY_ROOT, leaf_hash, root_of, tree_root

from libs.machine.tests.zone import EPOCH_MS, create_unit, open_account, transfer
from services.ledger.tests.integration.conftest import ANA, BEN, UNIT, Running, refuse
from services.ledger.tests.integration.test_seats import GENESIS_KEYS, finalization


class Trailing:
    """A chain whose blocks are made before the ones below them are executed."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self.states: dict[int, app.ExecutedState] = {}
        self.headers: dict[int, bytes] = {}
        self.bodies: dict[int, tuple[bytes, ...]] = {}

    async def begin(self) -> None:
        """Remember genesis."""
        self.states[0] = await self._state()
        genesis = (await self.running.ledger.GetBlock(pb.GetBlockRequest(name="blocks/0"))).block
        self.headers[0] = genesis.header

    async def _state(self) -> app.ExecutedState:
        return (await self.running.application.GetInfo(app.GetInfoRequest())).state

    def make(
        self,
        *transactions: bytes,
        executed: int,
        after_ms: int = 1_000,
        on: bytes | None = None,
        **changes: Any,
    ) -> bytes:
        """The next block's header, naming what came of an executed height."""
        before = on or self.headers[max(self.headers)]
        parent, named = BlockHeader.FromString(before), self.states[executed]
        header = BlockHeader(
            protocol_version=1,
            height=parent.height + 1,
            view=parent.view + 1,
            parent=domain_hash(tags.BLOCK, self.running.zone.genesis.hash, before),
            time_ms=parent.time_ms + after_ms,
            transactions_root=tree_root([leaf_hash(data) for data in transactions]),
            executed_height=executed,
            state_root=named.state_root,
            receipts_root=named.receipts_root,
            log_root=named.log_root,
            parent_certificate_digest=bytes(32),
            finalization_digest=bytes(32),
            epoch=changes.get("epoch", parent.epoch),
            validator_set_hash=parent.validator_set_hash,
            next_validator_set_hash=parent.next_validator_set_hash,
        ).SerializeToString(deterministic=True)
        if on is None:
            self.headers[parent.height + 1] = header
            self.bodies[parent.height + 1] = transactions
        return header

    def final(self, header: bytes) -> bytes:
        return finalization(self.running.zone, header, GENESIS_KEYS)

    async def execute(self, height: int, *descendants: bytes) -> None:
        """A block, by the finalization of the last of its descendants, of itself without."""
        last = descendants[-1] if descendants else self.headers[height]
        await self.running.execute_block(
            self.headers[height],
            *self.bodies[height],
            finalization=self.final(last),
            descendant_headers=descendants,
        )
        self.states[height] = await self._state()

    async def proof(self, receipt: Any, from_epoch: int = 0) -> pb.GetReceiptProofResponse:
        name = f"transactions/{receipt.transaction_id.hex()}"
        answer: pb.GetReceiptProofResponse = await self.running.ledger.GetReceiptProof(
            pb.GetReceiptProofRequest(name=name, from_epoch=from_epoch)
        )
        assert answer.receipt == receipt.SerializeToString(deterministic=True)
        return answer

    async def shown(self, receipt: Any) -> Shown:
        """What a proof of a receipt shows to who has nothing but genesis."""
        genesis = self.running.zone.genesis
        response = await self.proof(receipt)
        return verify_proof(receipt_proof_of(response, genesis.hash, genesis.validator_set), genesis)

    async def receipts(self, height: int) -> list[Any]:
        block = (await self.running.ledger.GetBlock(pb.GetBlockRequest(name=f"blocks/{height}"))).block
        found = []
        for identifier in block.transaction_ids:
            request = pb.GetTransactionRequest(name=f"transactions/{identifier.hex()}")
            found.append((await self.running.ledger.GetTransaction(request)).receipt)
        return found


@pytest.fixture
async def chain(running: Running) -> Trailing:
    """Two accounts, made at height 1, whose receipt header 2 names."""
    made = Trailing(running)
    await made.begin()
    shop = running.zone.organizations[0]
    opening = running.zone.transaction(
        shop, create_unit(UNIT, floor_minor=-100), open_account(ANA, UNIT), open_account(BEN, UNIT)
    )
    made.make(opening, executed=0)
    await made.execute(1)
    return made


def pay(running: Running, amount: int) -> bytes:
    return running.zone.transaction(running.zone.organizations[0], transfer(ANA, BEN, amount, bytes(32)))


async def test_what_became_of_each_transaction_of_a_block_is_shown(chain: Trailing) -> None:
    running = chain.running
    paid = [pay(running, amount) for amount in (60, 41, 40, 1, 2)]
    chain.make(*paid, executed=1)
    await chain.execute(2)
    receipts = await chain.receipts(2)
    call = chain.proof(receipts[0])
    assert await refuse(call, grpc.StatusCode.FAILED_PRECONDITION) == "PROOF_NOT_READY"
    chain.make(executed=2)
    await chain.execute(3)
    shown = [await chain.shown(receipt) for receipt in receipts]
    assert [one.statement["status"] for one in shown] == [
        "applied",
        "refused",
        "applied",
        "refused",
        "refused",
    ]
    assert {one.height for one in shown} == {2}
    assert [posting["amount_minor"] for posting in shown[0].statement["postings"]] == ["-60", "60"]
    refused = shown[1].statement
    assert refused["reason"] == "CREDIT_LIMIT_EXCEEDED" and not refused["postings"]
    assert {figure["name"]: figure["value"] for figure in refused["figures"]} == {
        "balance_minor": "-60",
        "held_minor": "0",
        "amount_minor": "41",
        "floor_minor": "-100",
    }


async def test_a_header_that_a_later_one_made_final_comes_with_those_between(chain: Trailing) -> None:
    running = chain.running
    # Header 3 names height 1, 4 names 2, and only 5 is finalized: it covers them all.
    second = chain.make(pay(running, 1), executed=1)
    third = chain.make(pay(running, 2), executed=1)
    assert BlockHeader.FromString(second).height == 2
    await chain.execute(2, third)
    fourth = chain.make(pay(running, 3), executed=2)
    fifth = chain.make(executed=2)
    await chain.execute(3, fourth, fifth)
    (receipt,) = await chain.receipts(2)
    assert (await chain.receipts(3))[0].status == 1
    call = chain.proof(receipt)
    assert await refuse(call, grpc.StatusCode.FAILED_PRECONDITION) == "PROOF_NOT_READY"
    # Executed, 4 is the newest: the header behind it is known by the descendants only.
    await chain.execute(4, fifth)
    answer = await chain.proof(receipt)
    assert (answer.header, list(answer.descendant_headers)) == (fourth, [fifth])
    assert (await chain.shown(receipt)).height == 2
    # Later it is a block like any other.
    await chain.execute(5)
    answer = await chain.proof(receipt)
    assert (answer.header, list(answer.descendant_headers)) == (fourth, [fifth])
    assert (await chain.shown(receipt)).height == 2


async def test_receipts_of_a_block_that_no_header_names_are_shown_by_the_next_that_one_does(
    chain: Trailing,
) -> None:
    running = chain.running
    chain.make(*(pay(running, amount) for amount in (60, 41)), executed=1)
    third = chain.make(*(pay(running, amount) for amount in (1, 2, 3)), executed=1)
    await chain.execute(2, third)
    await chain.execute(3)
    applied, refused = await chain.receipts(2)
    call = chain.proof(applied)
    assert await refuse(call, grpc.StatusCode.FAILED_PRECONDITION) == "PROOF_NOT_READY"
    fourth = chain.make(executed=3)
    await chain.execute(4)
    later = root_of([one.SerializeToString(deterministic=True) for one in await chain.receipts(3)])
    for receipt, status in ((applied, "applied"), (refused, "refused")):
        answer = await chain.proof(receipt)
        assert (answer.header, list(answer.later_roots)) == (fourth, [later])
        shown = await chain.shown(receipt)
        assert (shown.height, shown.statement["status"]) == (2, status)
    for receipt in await chain.receipts(3):
        answer = await chain.proof(receipt)
        assert (answer.before, list(answer.later_roots)) == (chain.states[2].receipts_root, [])
        assert (await chain.shown(receipt)).height == 3


async def test_receipts_at_the_end_of_an_epoch_are_shown_by_what_made_its_edge_final(chain: Trailing) -> None:
    running = chain.running
    second = chain.make(pay(running, 1), executed=1)
    edge = chain.make(executed=1, after_ms=EPOCH_MS)
    # Blocks behind the edge only carry its finality, and have no place in the chain.
    beside = chain.make(executed=1, on=edge)
    behind = chain.make(executed=1, on=beside)
    await chain.execute(2, edge, beside, behind)
    await chain.execute(3, beside)
    chain.make(executed=3, epoch=1)
    await chain.execute(4)
    answer = await chain.proof((await chain.receipts(1))[0])
    assert (answer.header, list(answer.descendant_headers)) == (second, [edge, beside])
    assert (await chain.shown((await chain.receipts(1))[0])).epochs == 0
    # Nobody names the last block before the edge: the next epoch's first one names the empty edge block.
    (unnamed,) = await chain.receipts(2)
    answer = await chain.proof(unnamed)
    assert (answer.header, list(answer.later_roots)) == (chain.headers[4], [EMPTY_ROOT])
    shown = await chain.shown(unnamed)
    assert (shown.height, shown.epochs) == (2, 1)


async def test_however_many_blocks_lie_between_their_own_roots_are_shown(chain: Trailing) -> None:
    running = chain.running
    amounts = range(1, 20)
    headers = [chain.make(*([pay(running, one)] if one % 3 else []), executed=1) for one in amounts]
    for height, _ in enumerate(headers, start=2):
        await chain.execute(height, *headers[height - 1 :])
    newest = chain.make(executed=20)
    await chain.execute(21)
    for height in (2, 3, 11, 20):
        for receipt in await chain.receipts(height):
            answer = await chain.proof(receipt)
            assert (answer.header, len(answer.later_roots)) == (newest, 20 - height)
            assert (await chain.shown(receipt)).height == height


async def test_a_later_epoch_s_receipt_is_shown_over_the_edge(
    chain: Trailing, start: Callable[..., Awaitable[Running]]
) -> None:
    running = chain.running
    chain.make(executed=1, after_ms=EPOCH_MS)
    await chain.execute(2)
    chain.make(pay(running, 1), executed=2, epoch=1)
    await chain.execute(3)
    chain.make(executed=3)
    await chain.execute(4)
    (receipt,) = await chain.receipts(3)
    assert ((await chain.shown(receipt)).height, (await chain.shown(receipt)).epochs) == (3, 1)
    assert not (await chain.proof(receipt, from_epoch=1)).epochs
    again = await start(application_address=running.service.addresses[0] + ".2")
    chain.running = again
    assert (await chain.shown(receipt)).height == 3


BAD = [
    ("transactions/00", 0, grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_NAME"),
    ("accounts/" + "0" * 32, 0, grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_NAME"),
    ("transactions/" + "0" * 64, 2**63, grpc.StatusCode.INVALID_ARGUMENT, "EPOCH_OUT_OF_RANGE"),
    ("transactions/" + "0" * 64, 0, grpc.StatusCode.NOT_FOUND, "TRANSACTION_UNKNOWN"),
]


@pytest.mark.parametrize(("name", "from_epoch", "code", "reason"), BAD)
async def test_a_wrong_request_is_refused(
    running: Running, name: str, from_epoch: int, code: grpc.StatusCode, reason: str
) -> None:
    request = pb.GetReceiptProofRequest(name=name, from_epoch=from_epoch)
    assert await refuse(running.ledger.GetReceiptProof(request), code) == reason
