"""Events of the ledger and of identity, each with its effect here."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

from icn.identity.v1.events_pb2 import PermissionTupleRemoved, PermissionTupleWritten
from icn.kit.v1.envelope_pb2 import EventEnvelope
from icn.ledger.v1 import events_pb2 as ledger_events
from icn_kit.clock import Clock
from icn_kit.database import Connection

from icn_governance.usecases import follow_ledger
from icn_governance.usecases.ports import UnitOfWork

LEDGER_SUBJECTS = (
    "icn.ledger.v1.membership_changed",
    "icn.ledger.v1.authority_founded",
    "icn.ledger.v1.poll_opened",
    "icn.ledger.v1.ballot_cast",
    "icn.ledger.v1.decision_enacted",
)
IDENTITY_SUBJECTS = (
    "icn.identity.v1.permission_tuple_written",
    "icn.identity.v1.permission_tuple_removed",
)
_OBJECT = re.compile(r"organizations/([0-9a-f]{32})")
_SUBJECT = re.compile(r"principals/([0-9a-f]{32})")
_OFFICE = re.compile(r"office\.([a-z][a-z0-9_-]{0,62})")

MakeUnitOfWork = Callable[[Connection], UnitOfWork]


class Following:
    """Handlers for consumers; each writes with the consumer's own transaction."""

    def __init__(self, make: MakeUnitOfWork, clock: Clock, genesis_hash: bytes) -> None:
        self._make = make
        self._clock = clock
        self._genesis_hash = genesis_hash
        self._of_ledger: dict[str, Callable[[bytes, UnitOfWork], Awaitable[None]]] = dict(
            zip(
                LEDGER_SUBJECTS,
                (self._membership, self._authority, self._poll, self._ballot, self._decision),
                strict=True,
            )
        )

    async def ledger_event(self, envelope: EventEnvelope, connection: Connection) -> None:
        """One event of the ledger."""
        uow = self._make(connection)
        await self._of_ledger[envelope.subject](envelope.payload, uow)
        await uow.commit()

    async def identity_event(self, envelope: EventEnvelope, connection: Connection) -> None:
        """One permission tuple; only offices are shown here."""
        is_held = envelope.subject == IDENTITY_SUBJECTS[0]
        payload_type = PermissionTupleWritten if is_held else PermissionTupleRemoved
        tuple_ = payload_type.FromString(envelope.payload)
        found = (
            _OBJECT.fullmatch(tuple_.object),
            _SUBJECT.fullmatch(tuple_.subject),
            _OFFICE.fullmatch(tuple_.relation),
        )
        organization, member, office = found
        if organization is None or member is None or office is None:
            return
        uow = self._make(connection)
        await uow.records.note_office(
            bytes.fromhex(organization[1]), bytes.fromhex(member[1]), office[1], is_held=is_held
        )
        await uow.commit()

    async def _membership(self, payload: bytes, uow: UnitOfWork) -> None:
        await follow_ledger.membership_changed(ledger_events.MembershipChanged.FromString(payload), uow)

    async def _authority(self, payload: bytes, uow: UnitOfWork) -> None:
        await follow_ledger.authority_founded(ledger_events.AuthorityFounded.FromString(payload), uow)

    async def _poll(self, payload: bytes, uow: UnitOfWork) -> None:
        await follow_ledger.poll_opened(ledger_events.PollOpened.FromString(payload), uow)

    async def _ballot(self, payload: bytes, uow: UnitOfWork) -> None:
        await follow_ledger.ballot_cast(ledger_events.BallotCast.FromString(payload), uow)

    async def _decision(self, payload: bytes, uow: UnitOfWork) -> None:
        await follow_ledger.decision_enacted(
            ledger_events.DecisionEnacted.FromString(payload), uow, self._clock, self._genesis_hash
        )
