"""Duty evidence: counted from final blocks alone, written when the next epoch begins."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn_kit.errors import InvalidArgument
from icn_machine.blocks.final_block import FinalBlock
from icn_machine.duty import DutyCounts, duty_identifier
from icn_machine.records import Duty

from libs.machine.tests.zone import EPOCH_MS, Ledger, create_unit, identifier, parent_certificate

SEATS = 4
blocks = st.lists(st.tuples(st.integers(0, 2**62), st.sets(st.integers(0, SEATS - 1))), max_size=30)


@given(blocks)
def test_every_block_counts_once_for_its_leader_and_once_for_each_signer(
    drawn: list[tuple[int, set[int]]],
) -> None:
    counts = DutyCounts.start(7, SEATS)
    for view, signers in drawn:
        counts = counts.with_block(view, signers)
    assert (counts.epoch, counts.blocks) == (7, len(drawn))
    for seat in range(SEATS):
        assert counts.proposed[seat] == sum(view % SEATS == seat for view, _ in drawn)
        assert counts.signed[seat] == sum(seat in signers for _, signers in drawn)
    assert sum(counts.proposed) == counts.blocks


def test_an_epoch_without_blocks_leaves_no_evidence() -> None:
    organizations = [identifier(str(seat)) for seat in range(SEATS)]
    assert DutyCounts.start(7, SEATS).evidence(organizations) == []
    one = DutyCounts.start(7, SEATS).with_block(5, [0, 3]).evidence(organizations)
    assert one == [
        Duty(organizations[0], 7, 1, 0, 1),
        Duty(organizations[1], 7, 1, 1, 0),
        Duty(organizations[2], 7, 1, 0, 0),
        Duty(organizations[3], 7, 1, 0, 1),
    ]


def duties(ledger: Ledger) -> dict[bytes, Duty]:
    found = ledger.state.records[-1].duties
    return {key: duty for key, duty in found.items() if duty is not None}


async def test_evidence_is_written_by_the_first_block_of_the_next_epoch(ledger: Ledger) -> None:
    zone = ledger.zone
    seats = [seat.organization for seat in zone.genesis.validators]
    await ledger.execute(view=1)
    await ledger.execute(view=2, signers=[0, 1, 2])
    # The edge: its time lies in the next epoch, it is still of the first.
    execution = await ledger.execute(view=7, signers=[0, 2, 3], after_ms=EPOCH_MS)
    assert not duties(ledger) and not execution.block.has_changed_state
    execution = await ledger.execute(
        zone.transaction(zone.organizations[0], create_unit(identifier("unit"))),
        view=8,
        signers=[0, 1, 2, 3],
    )
    assert execution.block.epoch == 1
    assert duties(ledger) == {
        duty_identifier(seats[0], 0): Duty(seats[0], 0, 3, 0, 2),
        duty_identifier(seats[1], 0): Duty(seats[1], 0, 3, 1, 1),
        duty_identifier(seats[2], 0): Duty(seats[2], 0, 3, 1, 2),
        duty_identifier(seats[3], 0): Duty(seats[3], 0, 3, 1, 1),
    }
    assert ledger.state.duty == DutyCounts(1, 1, (1, 0, 0, 0), (1, 1, 1, 1))
    assert ledger.halts == []


async def test_epochs_that_nobody_made_a_block_in_have_none(ledger: Ledger) -> None:
    await ledger.execute(view=1, after_ms=5 * EPOCH_MS)
    await ledger.execute(view=2, signers=[1, 2, 3], after_ms=EPOCH_MS)
    await ledger.execute(view=3, signers=[1, 2, 3])
    assert {(duty.epoch, duty.blocks) for duty in duties(ledger).values()} == {(0, 1), (5, 1)}


async def test_while_an_epoch_runs_an_empty_block_changes_no_state(ledger: Ledger) -> None:
    await ledger.execute(view=1)
    for view in range(2, 6):
        execution = await ledger.execute(view=view, signers=[0, 1, 2])
        assert not execution.block.has_changed_state
    assert ledger.state.duty.blocks == 5


async def test_a_certificate_that_the_header_does_not_name_is_refused(ledger: Ledger) -> None:
    await ledger.execute(view=1)
    good, other = parent_certificate([0, 1, 2]), parent_certificate([0, 1, 3])
    header = ledger.header([], parent_certificate_digest=sha256(good).digest())
    for given_ in (b"", other):
        with pytest.raises(InvalidArgument) as refusal:
            await ledger.executor.execute(FinalBlock(header, [], b"x", (), given_))
        assert refusal.value.reason == "PARENT_CERTIFICATE_MISMATCH"
    with pytest.raises(InvalidArgument) as refusal:
        await ledger.executor.execute(FinalBlock(ledger.header([]), [], b"x", (), good))
    assert refusal.value.reason == "PARENT_CERTIFICATE_MISMATCH"
    await ledger.executor.execute(FinalBlock(header, [], b"x", (), good))


@pytest.mark.parametrize(
    "certificate",
    [
        b"\xff",
        parent_certificate([0, 1]) + b"\x78\x01",
        parent_certificate([1, 0]),
        parent_certificate([1, 1]),
        parent_certificate([0, 4]),
        bytes(8_193),
    ],
)
async def test_a_certificate_out_of_form_is_refused(ledger: Ledger, certificate: bytes) -> None:
    header = ledger.header([], parent_certificate_digest=sha256(certificate).digest())
    with pytest.raises(InvalidArgument) as refusal:
        await ledger.executor.execute(FinalBlock(header, [], b"x", (), certificate))
    assert refusal.value.reason == "MALFORMED_CERTIFICATE"
    assert ledger.state.newest.height == 0
