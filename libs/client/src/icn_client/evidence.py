"""Proofs that validators equivocated: asked of them, checked here, brought to the ledger.

Nothing is believed for who told it: a proof counts when it is signed with the key of the seat in genesis.
Source: docs/spec/consensus.md, "Evidence".
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from icn.consensus.v1.service_pb2 import ListEvidenceRequest
from icn.ledger.v1.service_pb2 import ListEquivocationsRequest
from icn_crypto import equivocation
from icn_crypto.equivocation import Equivocation, EquivocationInvalid
from icn_crypto.suites import Suite
from icn_kit.errors import DomainError

if TYPE_CHECKING:
    from icn_kit.genesis import Genesis

    from icn_client.connection import Connection, ValidatorAddress

PAGE_SIZE = 500
"""One page of each validator: ten epochs in which all of fifty seats lie."""
RECORDED_PAGES_MAX = 100
"""Fifty thousand equivocations; whoever answers with more is not read to the end."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A proof that holds."""

    proof: Equivocation
    told_by: tuple[int, ...]
    """Seats that have one of this seat and epoch."""
    is_recorded: bool
    """Whether the ledger has one of this seat and epoch, as one validator says."""


def check(data: bytes, genesis: Genesis) -> Equivocation:
    """Read a proof and check it offline.

    Raises:
        EquivocationInvalid: it proves nothing in this zone; the message says why.
    """
    proof = equivocation.parse(data)
    if proof.seat >= len(genesis.validators):
        raise EquivocationInvalid(f"seat {proof.seat} of {len(genesis.validators)}")
    if not proof.is_signed(genesis.hash, genesis.validators[proof.seat].public_keys[Suite.ED25519]):
        raise EquivocationInvalid(f"not signed with the key of seat {proof.seat} in this zone")
    return proof


async def seen(connection: Connection) -> list[Seen]:
    """Every proof that a reachable validator has and that holds, newest epoch first; one per seat and epoch.

    Raises:
        DomainError: the ledger cannot be asked.
    """
    answers = await asyncio.gather(*(_told_by(connection, one) for one in connection.network.validators))
    proofs: dict[tuple[int, int], Equivocation] = {}
    tellers: dict[tuple[int, int], list[int]] = {}
    for teller, answer in enumerate(answers):
        for data in answer:
            try:
                proof = check(data, connection.genesis)
            except EquivocationInvalid:
                continue  # a validator may tell anything
            place = proof.epoch, proof.seat
            proofs.setdefault(place, proof)
            if teller not in tellers.setdefault(place, []):
                tellers[place].append(teller)
    recorded = await recorded_places(connection) if proofs else set()
    return [
        Seen(proofs[place], tuple(tellers[place]), place in recorded)
        for place in sorted(proofs, reverse=True)
    ]


async def recorded_places(connection: Connection) -> set[tuple[int, int]]:
    """(epoch, seat) of every equivocation on the ledger, as one validator says; leaves can be proven."""
    places: set[tuple[int, int]] = set()
    token = ""
    for _ in range(RECORDED_PAGES_MAX):
        request = ListEquivocationsRequest(page_size=PAGE_SIZE, page_token=token)

        def ask(stub: Any, request: ListEquivocationsRequest = request) -> Any:
            return stub.ListEquivocations(request)

        answer = await connection.read(ask)
        places.update((leaf.epoch, leaf.seat) for leaf in answer.equivocations)
        token = answer.next_page_token
        if not token:
            break
    return places


async def _told_by(connection: Connection, address: ValidatorAddress) -> Sequence[bytes]:
    from icn_client.connection import OPEN_SECONDS, ask

    stub = connection.consensus(address)
    try:
        answer = await ask(stub.ListEvidence(ListEvidenceRequest(page_size=PAGE_SIZE), timeout=OPEN_SECONDS))
    except DomainError:
        return ()
    return [one.proof for one in answer.evidence[:PAGE_SIZE]]
