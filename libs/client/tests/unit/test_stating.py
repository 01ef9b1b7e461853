"""A statement is written only of what is all there, whoever answers and however far behind."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from icn.consensus.v1.block_pb2 import BlockHeader
from icn.ledger.v1.service_pb2 import Account, BlockSummary, GetBlockResponse, GetProofResponse
from icn.ledger.v1.service_pb2 import Entry as ToldEntry
from icn.ledger.v1.state_pb2 import AccountLeaf, Posting
from icn.ledger.v1.transaction_pb2 import KeyScope
from icn_client import stating
from icn_client.keystore import Identity
from icn_client.light.statement import Head
from icn_client.light.verify_statement import verify_statement
from icn_client.stating import write_statement
from icn_client.transactions import KeyPair
from icn_crypto import jcs
from icn_kit.errors import DomainError, FailedPrecondition
from icn_machine.records import Namespace

from libs.client.tests.unit.told import BEN, FAMILY, LAST_MS, MAIN, Told, family
from libs.machine.tests.zone import GENESIS_TIME_MS, TestKey, update_controller

ALL = (MAIN, *FAMILY)
FROM_MS, UNTIL_MS = GENESIS_TIME_MS + 5_000, GENESIS_TIME_MS + 17_000
SPACES = {
    "accounts": Namespace.ACCOUNT,
    "units": Namespace.UNIT,
    "principals": Namespace.CONTROLLER,
}


@pytest.fixture(scope="module")
def told() -> Told:
    return asyncio.run(family())


class Ledger:
    """Answers as a platform's ledger, of a chain in memory."""

    def __init__(self, told: Told) -> None:
        self.told = told
        self.genesis = told.zone.genesis
        self.named: Sequence[bytes] = FAMILY
        """Sub-accounts, as they are listed."""
        self.keeps_past = True
        self.moves = 0
        """By how many blocks the state differs that is shown of others than the account."""

    async def proof_file(self, name: str) -> bytes:
        return jcs.canonicalize(self._proof(name, None))

    async def proof(self, name: str, _from_epoch: int = 0, *, before_time_ms: int = 0) -> Any:
        if not self.keeps_past:
            raise FailedPrecondition("PROOF_NOT_READY", "no state before that time can be proven here")
        headers = [BlockHeader.FromString(one) for one in self.told.chain.headers]
        before = [one.height for one in headers[:-1] if one.time_ms < before_time_ms]
        height = before[-1] - (self.moves if name != f"accounts/{MAIN.hex()}" else 0)
        try:
            found = self._proof(name, height)
        except KeyError:  # not there then
            name = name.replace(name.partition("/")[2], MAIN.hex())
            found = {**self._proof(name, height), "value": ""}
        return GetProofResponse(
            namespace=found["namespace"],
            identifier=bytes.fromhex(found["identifier"]),
            value=bytes.fromhex(found["value"]),
            state_proof=json.dumps(found["state_proof"]),
            header=bytes.fromhex(found["header"]),
            finalization=bytes.fromhex(found["finalization"]),
            validator_set=self.genesis.validator_set,
        )

    def _proof(self, name: str, height: int | None) -> Any:
        collection, _, identifier = name.partition("/")
        return self.told.proof(SPACES[collection], bytes.fromhex(identifier), height)

    async def read(self, call: Callable[[Any], Any]) -> Any:
        async def block(request: Any) -> Any:
            header = self.told.chain.headers[int(request.name.partition("/")[2]) - 1]
            return GetBlockResponse(block=BlockSummary(header=header))

        return await call(SimpleNamespace(GetBlock=block))

    async def statement(self, account: bytes, first: int, end: int) -> AsyncIterator[Any]:
        for one in self.told.entries(account):
            if first <= one.height < end:
                posting = Posting(
                    counter_account=one.counter_account,
                    amount_minor=one.amount_minor,
                    balance_minor=one.balance_minor,
                    kind=one.kind,  # type: ignore[arg-type]
                )
                entry = ToldEntry(
                    number=one.number,
                    height=one.height,
                    block_time_ms=one.block_time_ms,
                    transaction_id=one.transaction_id,
                    posting=posting,
                )
                yield SimpleNamespace(entries=[entry])

    async def sub_accounts(self, _account: bytes) -> AsyncIterator[Account]:
        for account in self.named:
            yield Account(leaf=AccountLeaf(account=account))


def written(
    ledger: Ledger, account: bytes = MAIN, span: tuple[int, int] = (FROM_MS, UNTIL_MS)
) -> list[bytes]:
    out, counts = io.BytesIO(), list[int]()
    head = Head(ledger.genesis.hash, account, *span)
    making = write_statement(ledger, head, out, has_sub_accounts=True, on_entry=counts.append)  # type: ignore[arg-type]
    asyncio.run(making)
    assert counts == list(range(1, len(counts) + 1))
    return out.getvalue().splitlines(keepends=True)


def reason(ledger: Ledger) -> str:
    with pytest.raises(DomainError) as refusal:
        written(ledger)
    return refusal.value.reason


@pytest.mark.parametrize("span", [(0, LAST_MS), (FROM_MS, UNTIL_MS), (UNTIL_MS, LAST_MS)])
@pytest.mark.parametrize("keeps_past", [True, False])
def test_what_is_written_holds_and_is_short_where_the_past_can_be_shown(
    told: Told, span: tuple[int, int], keeps_past: bool
) -> None:
    ledger = Ledger(told)
    if not keeps_past and span[0]:
        ledger.proof = _only_of_closings(ledger, span[0])  # type: ignore[method-assign]
    lines = written(ledger, span=span)
    found = verify_statement(lines, told.zone.genesis)
    assert [one.account for one in found.accounts] == list(ALL)
    whole = verify_statement(told.lines(MAIN, *span, sub_accounts=FAMILY), told.zone.genesis)
    assert (found.accounts, found.sums, found.between_minor) == (
        whole.accounts,
        whole.sums,
        whole.between_minor,
    )
    is_short = bool(span[0]) and keeps_past
    assert any(b'"opening_leaf":' in one for one in lines) == is_short


def _only_of_closings(ledger: Ledger, from_ms: int) -> Any:
    """Proofs of the newest state and of none before a span."""
    asked = ledger.proof

    async def proof(name: str, from_epoch: int = 0, *, before_time_ms: int = 0) -> Any:
        if before_time_ms == from_ms:
            raise FailedPrecondition("PROOF_NOT_READY", "no state before that time can be proven here")
        return await asked(name, from_epoch, before_time_ms=before_time_ms)

    return proof


def test_an_account_without_sub_accounts_has_one_too(told: Told) -> None:
    ledger = Ledger(told)
    found = verify_statement(written(ledger, BEN), told.zone.genesis)
    assert (found.is_family, len(found.accounts)) == (True, 1)


def test_sub_accounts_opened_meanwhile_are_left_for_the_next_statement(told: Told) -> None:
    ledger = Ledger(told)
    ledger.named = (*FAMILY, BEN)
    assert len(verify_statement(written(ledger), told.zone.genesis).accounts) == len(ALL)


def test_who_is_behind_or_tells_another_order_is_found_before_anything_is_told(told: Told) -> None:
    ledger = Ledger(told)
    for named in (FAMILY[:-1], FAMILY[::-1], (), (*FAMILY[:-1], BEN)):
        ledger.named = named
        assert reason(ledger) == "SUB_ACCOUNTS_INCOMPLETE", named


def test_a_state_that_is_kept_no_longer_is_told(told: Told) -> None:
    ledger = Ledger(told)
    ledger.moves = 1
    assert reason(ledger) == "STATE_MOVED"
    ledger.keeps_past = False
    assert reason(ledger) == "PROOF_NOT_READY"


def test_more_sub_accounts_than_a_statement_covers_are_refused(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stating, "SUB_ACCOUNTS_MAX", len(FAMILY))
    assert written(Ledger(told))
    monkeypatch.setattr(stating, "SUB_ACCOUNTS_MAX", len(FAMILY) - 1)
    assert reason(Ledger(told)) == "TOO_MANY_SUB_ACCOUNTS"


def test_it_is_signed_with_a_key_without_scope_although_the_signers_first_key_has_one() -> None:
    told = asyncio.run(family())
    shop, till = told.zone.organizations[1], TestKey("till")
    bounds = KeyScope(message_kinds=[6])
    time_ms = told.chain.ledger.state.newest.time_ms + 1_000
    change = update_controller(1, shop.keys[0], (till, bounds))
    asyncio.run(told.chain.add(told.zone.transaction(shop, change, time_ms=time_ms)))
    asyncio.run(told.chain.add())

    def signed(*keys: TestKey) -> list[bytes]:
        pairs = tuple(KeyPair(key.signing.values()) for key in keys)
        out = io.BytesIO()
        head = Head(told.zone.genesis.hash, MAIN, FROM_MS, UNTIL_MS)
        signer = Identity("shop", shop.principal, 1, pairs)
        try:
            asyncio.run(write_statement(Ledger(told), head, out, signer=signer))  # type: ignore[arg-type]
        except DomainError:
            assert out.getvalue() == b""
            raise
        return out.getvalue().splitlines(keepends=True)

    for keys in ((till, shop.keys[0]), (shop.keys[0], till), (TestKey("of nobody"), shop.keys[0])):
        found = verify_statement(signed(*keys), told.zone.genesis)
        assert (found.signer, found.key_id) == (shop.principal.hex(), shop.keys[0].key_id.hex())
    for keys in ((till,), (TestKey("of nobody"), till)):
        with pytest.raises(DomainError) as refusal:
            signed(*keys)
        assert refusal.value.reason == "NO_UNSCOPED_KEY"
        assert refusal.value.metadata == {"unscoped": 1, "held": len(keys)}
