"""The golden chain: the committed blocks come to the committed roots, and hold everything there is."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, get_args

import pytest
from icn.consensus.v1.block_pb2 import BlockHeader
from icn.ledger.v1.state_pb2 import RECEIPT_STATUS_APPLIED, Receipt
from icn_machine.entries import PostingKind
from icn_machine.events import Event, Movement
from icn_machine.messages import (
    KIND_NUMBERS,
    ChangeValidators,
    DecisionAction,
    EnactDecision,
    RekeySeat,
    SetRules,
    Transaction,
)
from icn_machine.parsing import parse_transaction
from icn_machine.records import Namespace

from libs.machine.tests.golden_chain import (
    STORIES,
    committed_blocks,
    committed_roots,
    committed_zone,
    ledger_in_memory,
    played,
    told,
    verdicts,
)
from libs.machine.tests.zone import Ledger, Zone, make_zone

REPOSITORY = Path(__file__).parents[4]


class Played(NamedTuple):
    """A transaction of the chain and what became of it."""

    transaction: Transaction
    receipt: Receipt

    @property
    def is_applied(self) -> bool:
        return self.receipt.status == RECEIPT_STATUS_APPLIED

    def refused_of(self, decision: EnactDecision) -> DecisionAction | None:
        """The action for which the decision was refused; a founding one is refused as a whole."""
        at = next((figure.value for figure in self.receipt.figures if figure.name == "action"), None)
        return decision.founded if at is None else decision.actions[at]


class ByVersion(NamedTuple):
    """The receipts of a block, and by the rules of which version they came to be."""

    version: int
    receipts: list[Receipt]


class Chain(NamedTuple):
    """The committed chain, executed."""

    ledger: Ledger
    transactions: list[Played]

    def decisions(self) -> Iterator[tuple[Played, EnactDecision]]:
        for one in self.transactions:
            for message in one.transaction.messages:
                if isinstance(message, EnactDecision):
                    yield one, message

    def blocks(self) -> Iterator[ByVersion]:
        for commit in self.ledger.state.commits[1:]:  # type: ignore[attr-defined]
            version = BlockHeader.FromString(commit.block.header).protocol_version
            yield ByVersion(version, [Receipt.FromString(data) for data in commit.receipts])

    def events(self) -> Iterator[Event]:
        for commit in self.ledger.state.commits:  # type: ignore[attr-defined]
            yield from commit.events


@pytest.fixture(scope="module")
def chain() -> Chain:
    return asyncio.run(play_all("chain"))


@pytest.fixture(scope="module")
def upgrade() -> Chain:
    return asyncio.run(play_all("chain-2"))


async def play_all(name: str) -> Chain:
    ledger = ledger_in_memory(committed_zone(name))
    transactions = []
    for block in committed_blocks(name):
        execution = await block.play(ledger)
        for data, (_, receipt) in zip(block.transactions, execution.outcomes, strict=True):
            read = parse_transaction(data, ledger.zone.genesis.hash)
            transactions.append(Played(read, Receipt.FromString(receipt)))
    return Chain(ledger, transactions)


@pytest.mark.parametrize(("name", "heights_min"), [("chain", 40), ("chain-2", 8)])
async def test_every_height_comes_to_the_committed_roots(name: str, heights_min: int) -> None:
    committed = committed_roots(name).splitlines()
    assert len(committed) == len(committed_blocks(name)) > heights_min
    heights = iter(committed)
    async for line in played(name):
        assert line == next(heights), "a rule has changed: docs/spec/block.md, 'The golden chains'"


@pytest.mark.parametrize("name", STORIES)
@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_the_roots_do_not_depend_on_the_hash_seed(hash_seed: str, name: str) -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "libs.machine.tests.golden_chain", "print", name],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert printed == committed_roots(name)


def test_every_kind_of_message_is_applied_and_refused(chain: Chain, upgrade: Chain) -> None:
    transactions = chain.transactions + upgrade.transactions
    applied = {
        type(message) for one in transactions if one.is_applied for message in one.transaction.messages
    }
    refused = {
        type(one.transaction.messages[one.receipt.message_index])
        for one in transactions
        if not one.is_applied
    }
    assert applied == set(KIND_NUMBERS)
    assert refused == set(KIND_NUMBERS)


def test_every_action_of_a_decision_is_carried_out_and_refused(chain: Chain, upgrade: Chain) -> None:
    decisions = [*chain.decisions(), *upgrade.decisions()]
    applied = {type(action) for one, decision in decisions if one.is_applied for action in decision.actions}
    refused = {type(one.refused_of(decision)) for one, decision in decisions if not one.is_applied}
    assert applied == set(get_args(DecisionAction))
    # Rules are never refused, and a decision without actions may be.
    assert refused == set(get_args(DecisionAction)) - {SetRules} | {type(None)}


def test_every_event_and_every_kind_of_posting_is_in_it(chain: Chain) -> None:
    events = list(chain.events())
    assert {type(event) for event in events} == set(get_args(Event))
    assert {event.kind for event in events if isinstance(event, Movement)} == set(PostingKind)


def test_leaves_of_every_namespace_are_written(chain: Chain) -> None:
    written = {
        namespace
        for commit in chain.ledger.state.commits  # type: ignore[attr-defined]
        for namespace, _, record in commit.changes
        if record is not None
    }
    assert written == set(Namespace)


def test_a_version_changes_the_receipts_of_the_same_refusal(upgrade: Chain) -> None:
    told_by_version: dict[int, set[int]] = {1: set(), 2: set()}
    reasons = {"ANCHOR_EXISTS", "EQUIVOCATION_RECORDED", "DECISION_EXISTS"}
    version = 1
    for block in upgrade.blocks():
        version = block.version
        for receipt in block.receipts:
            if receipt.reason in reasons:
                told_by_version[version].add(len(receipt.figures))
    assert version == 2
    assert told_by_version == {1: {0}, 2: {1}}


@pytest.mark.parametrize("name", STORIES)
async def test_the_story_tells_the_committed_blocks(name: str) -> None:
    zone = committed_zone(name)
    assert zone.genesis.hash == make_zone().genesis.hash
    lines = committed_roots(name).splitlines()
    committed = iter(zip(committed_blocks(name), map(json.loads, lines), strict=True))
    async for block, execution in told(name):
        expected, roots = next(committed)
        assert (block.after_ms, block.signers) == (expected.after_ms, expected.signers)
        assert verdicts(execution) == roots["verdicts"]
        for made, kept in zip(block.transactions, expected.transactions, strict=True):
            assert made == kept or offers_seats(kept, zone)
    assert next(committed, None) is None


def offers_seats(data: bytes, zone: Zone) -> bool:
    """Whether it holds proofs of possession, which come out differently each time."""
    messages = parse_transaction(data, zone.genesis.hash).messages
    return any(
        isinstance(message, RekeySeat)
        or (isinstance(message, ChangeValidators | EnactDecision) and bool(message.offers))
        for message in messages
    )
