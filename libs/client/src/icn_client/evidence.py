"""Evidence against validators: asked of them, checked here, brought to the ledger.

Nothing is believed for who told it: a proof counts when it is signed with the key that the seat had in its
epoch, as genesis and the handovers since say, and an honest one would not have signed it.
Source: docs/spec/consensus.md, "Evidence".
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

from icn.consensus.v1.service_pb2 import ListEvidenceRequest
from icn.ledger.v1.service_pb2 import ListEquivocationsRequest
from icn_chain import evidence
from icn_chain.epochs import EpochSet, first_set
from icn_chain.evidence import Evidence
from icn_chain.grounds import Grounds
from icn_chain.malformed import EvidenceInvalid
from icn_kit.errors import DomainError

from icn_client.seats import proven_sets

if TYPE_CHECKING:
    from icn_chain.validator_set import ValidatorSet
    from icn_kit.genesis import Genesis

    from icn_client.connection import Connection, ValidatorAddress

PAGE_SIZE = 500
TOLD_MAX = 500
"""Read of each validator: ten epochs in which all of fifty seats lie."""
TOLD_PAGES_MAX = 32
"""A page ends at a mebibyte: each proof as large as it may be."""
RECORDED_PAGES_MAX = 100
"""Fifty thousand equivocations; whoever answers with more is not read to the end."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A proof that holds."""

    proof: Evidence
    told_by: tuple[int, ...]
    """Seats that have one of this seat and epoch."""
    is_recorded: bool
    """Whether the ledger has one of this seat and epoch, as more validators say than may lie."""

    @property
    def place(self) -> tuple[int, int]:
        """(epoch, seat): of each, one is recorded."""
        return self.proof.epoch, self.proof.seat

    @property
    def name(self) -> str:
        """Of the leaf that holds it when it is recorded."""
        return f"equivocations/{self.proof.epoch}/{self.proof.seat}"


def check(data: bytes, genesis: Genesis, sets: Sequence[EpochSet] = ()) -> Evidence:
    """Read a proof and check it offline.

    Args:
        data: the proof.
        genesis: of the zone.
        sets: validators of its epochs (`icn_chain.epochs.walk`); those of genesis where left out.

    Raises:
        EvidenceInvalid: it proves nothing in this zone; the message says why.
    """
    proof = evidence.parse(data)
    proof.check(grounds(proof.epoch, genesis, sets))
    return proof


def grounds(epoch: int, genesis: Genesis, sets: Sequence[EpochSet] = ()) -> Grounds:
    """What evidence about an epoch is judged by; sets as in `check`."""
    known = sets or [first_set(genesis.validator_set)]
    return Grounds(genesis, set_of_epoch(epoch, known).validators)


def set_of_epoch(epoch: int, sets: Sequence[EpochSet]) -> EpochSet:
    """The validators of an epoch, or of the last one before it that is known."""
    return max((one for one in sets if one.epoch <= epoch), key=attrgetter("epoch"))


async def seen(connection: Connection, *, with_recorded: bool = True) -> list[Seen]:
    """Every proof that a reachable validator has and that holds, newest epoch first; one per seat and epoch.

    Args:
        connection: to the network.
        with_recorded: also those that are on the ledger. Without them the epochs are walked only when a proof
            is new, or somebody says so.

    Raises:
        DomainError: the ledger cannot be asked, or what it answers about the seats does not hold.
    """
    validators = connection.network.validators
    answers = await asyncio.gather(*(_told_by(connection, one) for one in validators))
    told = [
        (teller, place, data)
        for teller, answer in enumerate(answers)
        for data in answer
        if (place := _place_in(data)) is not None
    ]
    if not told:
        return []
    says = await asyncio.gather(*(_recorded_at(connection, one) for one in validators))
    if not with_recorded and all(place in places for _, place, _ in told for places in says):
        return []
    sets = await proven_sets(connection)
    recorded = recorded_places(validators, says, sets[-1].validators)
    proofs: dict[tuple[int, int], Evidence] = {}
    tellers: dict[tuple[int, int], list[int]] = {}
    for teller, place, data in told:
        if place in recorded and not with_recorded:
            continue
        try:
            proof = check(data, connection.genesis, sets)
        except EvidenceInvalid:
            continue  # a validator may tell anything
        proofs.setdefault(place, proof)
        if teller not in tellers.setdefault(place, []):
            tellers[place].append(teller)
    return [
        Seen(proofs[place], tuple(tellers[place]), place in recorded)
        for place in sorted(proofs, reverse=True)
    ]


def recorded_places(
    validators: Sequence[ValidatorAddress],
    says: Sequence[set[tuple[int, int]]],
    in_force: ValidatorSet,
) -> set[tuple[int, int]]:
    """(epoch, seat) of every equivocation on the ledger, as more of those who decide now say than may lie.

    One that hid or invented one would keep a proof from the ledger. Leaves can be proven besides.

    Args:
        validators: who was asked.
        says: what each says.
        in_force: who decides, proven.
    """
    seated = set(in_force.organizations)
    said = Counter(
        place
        for address, places in zip(validators, says, strict=True)
        if address.organization in seated
        for place in places
    )
    return {place for place, count in said.items() if count > in_force.faults_max}


async def _recorded_at(connection: Connection, address: ValidatorAddress) -> set[tuple[int, int]]:
    """As one validator says; nothing where it does not answer."""
    from icn_client.connection import OPEN_SECONDS, ask

    places: set[tuple[int, int]] = set()
    token = ""
    for _ in range(RECORDED_PAGES_MAX):
        request = ListEquivocationsRequest(page_size=PAGE_SIZE, page_token=token)
        call = connection.ledger(address).ListEquivocations(request, timeout=OPEN_SECONDS)
        try:
            answer = await ask(call)
        except DomainError:
            break
        places.update((leaf.epoch, leaf.seat) for leaf in answer.equivocations)
        token = answer.next_page_token
        if not token:
            break
    return places


def _place_in(data: bytes) -> tuple[int, int] | None:
    """(epoch, seat) that the bytes speak of; None where they are no proof."""
    try:
        proof = evidence.parse(data)
    except EvidenceInvalid:
        return None
    return proof.epoch, proof.seat


async def _told_by(connection: Connection, address: ValidatorAddress) -> Sequence[bytes]:
    from icn_client.connection import OPEN_SECONDS, ask

    stub = connection.consensus(address)
    request = ListEvidenceRequest(page_size=TOLD_MAX)
    told: list[bytes] = []
    for _ in range(TOLD_PAGES_MAX):
        try:
            answer = await ask(stub.ListEvidence(request, timeout=OPEN_SECONDS))
        except DomainError:
            break
        told += [one.proof for one in answer.evidence]
        request.page_token = answer.next_page_token
        if not answer.next_page_token:
            break
    return told[:TOLD_MAX]
