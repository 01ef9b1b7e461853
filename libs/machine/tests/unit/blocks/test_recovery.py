"""A chain that is started again by its organizations: which certificate does, and what it leaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from icn_chain.malformed import MalformedMessage
from icn_chain.recovery import RecoveryCertificate, parse_recovery, recovery_digest
from icn_kit.errors import DomainError
from icn_machine.blocks.branches import Branch
from icn_machine.blocks.check_recovery import check_recovery
from icn_machine.blocks.check_transactions import check_transactions
from icn_machine.blocks.execute_block import Execution, Halted
from icn_machine.blocks.final_block import FinalBlock
from icn_machine.blocks.validate_block import validate_block
from icn_machine.records import VALIDATORS_IDENTIFIER, ZONE_IDENTIFIER
from icn_machine.validity import Moment
from icn_sim.memory_state import MemoryState

from libs.machine.tests.recoveries import executed_height, new_keys, prove_in, recovery
from libs.machine.tests.seats import activate_protocol, ed25519, rekey
from libs.machine.tests.zone import (
    EPOCH_MS,
    PLENTY,
    FixedClock,
    Ledger,
    create_unit,
    identifier,
    set_allowance,
)

HASHES = [bytes([number]) * 32 for number in (7, 8)]


@dataclass
class Stopped:
    """A chain of a few blocks whose validators are gone."""

    ledger: Ledger

    def certificate(self, **changes: Any) -> RecoveryCertificate:
        state = self.ledger.state
        assert isinstance(state, MemoryState)
        prove = changes.pop("prove", None) or prove_in(state, executed_height(state.newest))
        return recovery(self.ledger.zone, state.newest, prove, **changes)

    async def judge(self, certificate: RecoveryCertificate, epoch: int | None = None) -> str:
        """Why a first block with this certificate is not valid; empty when it is."""
        ledger, newest = self.ledger, self.ledger.state.newest
        judgement = await validate_block(
            HASHES[0],
            Branch(newest.height, ()),
            Moment(certificate.epoch if epoch is None else epoch, newest.time_ms + 1_000),
            [],
            recovery=certificate.data,
            genesis=ledger.zone.genesis,
            state=ledger.state,
            cache=ledger.cache,
            branches=ledger.branches,
        )
        return judgement.reason

    async def check(self, data: bytes) -> str:
        """Why nobody should begin an epoch with these bytes; empty when one may."""
        try:
            await check_recovery(data, self.ledger.zone.genesis, self.ledger.state)
        except DomainError as refusal:
            return refusal.reason
        return ""

    async def execute(self, certificate: RecoveryCertificate, **changes: Any) -> Execution:
        genesis = self.ledger.zone.genesis
        set_hash = certificate.validators.hash
        fields = {
            "epoch": certificate.epoch,
            "validator_set_hash": set_hash,
            "next_validator_set_hash": set_hash,
            "finalization_digest": recovery_digest(genesis.hash, certificate.data),
        }
        header = self.ledger.header((), **{**fields, **changes})
        return await self.ledger.executor.execute(
            FinalBlock(header, (), b"\x08\x03", (), b"", certificate.data)
        )


@pytest.fixture
async def stopped(ledger: Ledger) -> Stopped:
    for _ in range(3):
        await ledger.execute()
    return Stopped(ledger)


async def test_the_chain_goes_on_at_the_same_root_with_other_keys(stopped: Stopped) -> None:
    ledger = stopped.ledger
    before = ledger.state.newest
    certificate = stopped.certificate()
    assert await stopped.judge(certificate) == ""
    await stopped.execute(certificate)
    state = ledger.state
    assert isinstance(state, MemoryState)
    records = state.records[-1]
    validators = records.validators[VALIDATORS_IDENTIFIER]
    zone = records.zones[ZONE_IDENTIFIER]
    assert validators is not None and zone is not None
    assert validators.set_hash == validators.next_hash == zone.validator_set_hash
    assert validators.set_hash == certificate.validators.hash != ledger.zone.genesis.validator_set_hash
    assert validators.since_epoch == certificate.epoch == before.epoch + 1
    named = [records.consensus_keys[ed25519(name)] for name in new_keys(ledger.zone)]
    assert {(key.height, key.epoch) for key in named if key is not None} == {(4, certificate.epoch)}
    assert None not in named
    # The epoch lasts until its time is past, and then ends as every other.
    own = {"epoch": certificate.epoch}
    await ledger.execute(**own)
    set_hash = certificate.validators.hash
    await ledger.execute(**own, after_ms=2 * EPOCH_MS, next_validator_set_hash=set_hash)
    assert (await ledger.execute()).block.epoch == certificate.epoch + 1


async def test_the_pool_counts_allowances_of_the_epoch_that_began_ahead_of_its_time(stopped: Stopped) -> None:
    ledger, zone = stopped.ledger, stopped.ledger.zone
    certificate = stopped.certificate()
    await stopped.execute(certificate)
    shop = zone.organizations[0]
    limits = {**PLENTY, "signatures_per_epoch": 2}
    await ledger.execute(
        zone.transaction(zone.authority, set_allowance(shop.principal, **limits)), epoch=certificate.epoch
    )
    await ledger.execute(
        *(zone.transaction(shop, create_unit(identifier(name))) for name in ("one", "two")),
        epoch=certificate.epoch,
    )
    clock = FixedClock(ledger.state.newest.time_ms)
    (checked,) = await check_transactions(
        [zone.transaction(shop, create_unit(identifier("three")))],
        zone.genesis,
        ledger.state,
        ledger.cache,
        clock,
    )
    assert checked.reason == "ALLOWANCE_EXCEEDED"


async def test_what_was_pending_is_void(stopped: Stopped) -> None:
    ledger, zone = stopped.ledger, stopped.ledger.zone
    acting = zone.organizations[1]
    await ledger.execute(zone.transaction(acting, rekey(zone, acting.principal, "pending")))
    assert ledger.state.newest.next_validator_set_hash != zone.genesis.validator_set_hash
    await ledger.execute()
    names = [*new_keys(zone)[:3], "pending"]
    used = stopped.certificate(keys=names)
    assert await stopped.judge(used) == await stopped.check(used.data) == "CONSENSUS_KEY_USED"
    certificate = stopped.certificate()
    assert await stopped.check(certificate.data) == ""
    above = stopped.certificate(height=ledger.state.newest.height + 1)
    assert await stopped.check(above.data) == "STATE_BEHIND"
    assert await stopped.check(certificate.data[:-1]) == "MALFORMED_RECOVERY"
    await stopped.execute(certificate)
    assert ledger.state.newest.next_validator_set_hash == certificate.validators.hash


async def test_a_protocol_version_that_waits_at_the_edge_is_void(stopped: Stopped) -> None:
    """The way back of a zone in which no quorum knows what was activated."""
    ledger, zone = stopped.ledger, stopped.ledger.zone
    time_ms = ledger.state.newest.time_ms + 1_000
    await ledger.execute(zone.transaction(zone.authority, activate_protocol(2), time_ms=time_ms))
    await ledger.execute(after_ms=EPOCH_MS)
    assert await ledger.protocol_version() == 2, "so the first block behind the edge would be"
    certificate = stopped.certificate()
    assert await stopped.judge(certificate) == ""
    await stopped.execute(certificate)
    state = ledger.state
    assert isinstance(state, MemoryState)
    leaf, validators = (
        state.records[-1].zones[ZONE_IDENTIFIER],
        state.records[-1].validators[VALIDATORS_IDENTIFIER],
    )
    assert leaf is not None and validators is not None
    assert (leaf.protocol_version, validators.pending) == (1, ())
    assert await ledger.protocol_version() == 1


async def test_it_is_repeated_without_effect_and_used_once(stopped: Stopped) -> None:
    certificate = stopped.certificate()
    first = await stopped.execute(certificate)
    assert await stopped.judge(stopped.certificate(height=3)) == "RECOVERY_OTHER_BLOCK"
    again = stopped.certificate(keys=new_keys(stopped.ledger.zone))
    assert await stopped.judge(again) == "CONSENSUS_KEY_USED", "keys of a void epoch stay void"
    assert stopped.ledger.state.newest == first.block


def spoiled_signature(_stopped: Stopped, certificate: RecoveryCertificate) -> RecoveryCertificate:
    data = certificate.data
    signature = certificate.endorsements[0].signatures[0].signature
    other = bytes([signature[0] ^ 1]) + signature[1:]
    return parse_recovery(data.replace(signature, other))


def spoiled_possession(stopped: Stopped, certificate: RecoveryCertificate) -> RecoveryCertificate:
    possessions = [certificate.possessions[2], *certificate.possessions[1:]]
    return stopped.certificate(possessions=possessions)


BREAKS: dict[str, tuple[Callable[[Stopped], RecoveryCertificate], str]] = {
    "one organization too few": (
        lambda s: s.certificate(signers=s.ledger.zone.organizations[:2]),
        "RECOVERY_QUORUM_NOT_MET",
    ),
    "another root": (lambda s: s.certificate(state_root=HASHES[1]), "RECOVERY_OTHER_ROOT"),
    "another block": (lambda s: s.certificate(block_hash=HASHES[1]), "RECOVERY_OTHER_BLOCK"),
    "a lower height": (lambda s: s.certificate(height=2), "RECOVERY_OTHER_BLOCK"),
    "other rules": (lambda s: s.certificate(protocol_version=2), "PROTOCOL_VERSION_UNKNOWN"),
    "a set of other rules": (
        lambda s: s.certificate(validator_set=s.certificate().validators.under(2).data),
        "PROTOCOL_VERSION_UNKNOWN",
    ),
    "a key of genesis": (
        lambda s: s.certificate(keys=["seat 0", *new_keys(s.ledger.zone)[1:]]),
        "CONSENSUS_KEY_USED",
    ),
    "one key twice": (
        lambda s: s.certificate(keys=[new_keys(s.ledger.zone)[1], *new_keys(s.ledger.zone)[1:]]),
        "MALFORMED_RECOVERY",
    ),
    "somebody without a seat": (
        lambda s: s.certificate(signers=[*s.ledger.zone.organizations[:2], s.ledger.zone.authority]),
        "NOT_SEATED",
    ),
    "controllers of another state": (
        lambda s: s.certificate(prove=prove_in(changed(s), 0)),
        "RECOVERY_CONTROLLER_UNPROVEN",
    ),
    "a signature of something else": (lambda s: spoiled_signature(s, s.certificate()), "SIGNATURE_INVALID"),
    "a key nobody has": (lambda s: spoiled_possession(s, s.certificate()), "POSSESSION_UNPROVEN"),
}


def changed(stopped: Stopped) -> MemoryState:
    """The same state but for one leaf."""
    state = stopped.ledger.state
    assert isinstance(state, MemoryState)
    other = MemoryState(state.commits[0])
    other.records[-1].validators[VALIDATORS_IDENTIFIER] = None
    return other


@pytest.mark.parametrize("name", BREAKS)
async def test_a_certificate_that_breaks_a_rule_begins_nothing(stopped: Stopped, name: str) -> None:
    make, reason = BREAKS[name]
    try:
        certificate = make(stopped)
    except MalformedMessage:
        assert reason == "MALFORMED_RECOVERY"
        return
    assert await stopped.judge(certificate) == reason
    with pytest.raises(Halted):
        await stopped.execute(certificate)


async def test_the_epoch_is_later_than_the_one_the_block_leads_to(stopped: Stopped) -> None:
    await stopped.ledger.execute(after_ms=EPOCH_MS)
    assert await stopped.judge(stopped.certificate(epoch=1)) == "RECOVERY_EPOCH_INVALID"
    certificate = stopped.certificate(epoch=2)
    assert await stopped.judge(certificate) == ""
    await stopped.execute(certificate)


async def test_it_begins_the_epoch_of_its_block_and_no_other(stopped: Stopped) -> None:
    certificate = stopped.certificate()
    assert await stopped.judge(certificate, certificate.epoch + 1) == "RECOVERY_EPOCH_INVALID"


@pytest.mark.parametrize("cut", [0, 1, -1])
async def test_bytes_that_are_no_certificate_begin_nothing(stopped: Stopped, cut: int) -> None:
    certificate = stopped.certificate()
    data = certificate.data[: cut or None] if cut else b"\xff"
    with pytest.raises(MalformedMessage):
        parse_recovery(data)
