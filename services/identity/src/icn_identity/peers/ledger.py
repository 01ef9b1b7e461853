"""What the ledger knows of principals, as f + 1 validators have it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from icn.ledger.v1 import state_pb2
from icn.ledger.v1.service_pb2 import GetEventsEndRequest, GetEventsEndResponse
from icn_crypto.suites import Suite, key_id
from icn_kit.errors import NotFound
from icn_kit.ledger_reads import LedgerReads
from icn_kit.validators import Validators

from icn_identity.domain.principals import Controller, ControllerKey, Membership, Person, Recovery
from icn_identity.usecases.ports import EventsEnd

MEMBERSHIPS_MAX = 100
"""Shown of one principal."""

_STATUSES = {
    state_pb2.MEMBERSHIP_STATUS_APPLIED: "applied",
    state_pb2.MEMBERSHIP_STATUS_ACTIVE: "active",
    state_pb2.MEMBERSHIP_STATUS_ENDED: "ended",
}


class ValidatorsLedger:
    """Implements `icn_identity.usecases.ports.Ledger`."""

    def __init__(self, ledger: LedgerReads) -> None:
        self._ledger = ledger

    async def controller(self, principal: bytes) -> Controller | None:
        """See the port."""
        try:
            answer = await self._ledger.get_controller(f"principals/{principal.hex()}")
        except NotFound:
            return None
        return controller_of(answer.controller)

    async def membership(self, organization: bytes, member: bytes) -> Membership | None:
        """See the port."""
        try:
            answer = await self._ledger.get_membership(f"memberships/{organization.hex()}/{member.hex()}")
        except NotFound:
            return None
        return replace(_membership(answer.membership), height=answer.height)

    async def person(self, principal: bytes) -> Person | None:
        """See the port."""
        controller = await self.controller(principal)
        if controller is None:
            return None
        recovery = await self._recovery(principal) if controller.is_being_recovered else None
        page = await self._ledger.list_memberships(
            member=f"principals/{principal.hex()}", page_size=MEMBERSHIPS_MAX
        )
        return Person(controller, recovery, tuple(_membership(leaf) for leaf in page.memberships))

    async def _recovery(self, principal: bytes) -> Recovery | None:
        try:
            answer = await self._ledger.get_recovery(f"recoveries/{principal.hex()}")
        except NotFound:
            return None  # it ended between the two questions
        leaf = answer.recovery
        return Recovery(leaf.guardian, leaf.ready_time_ms, _keys(leaf.keys))


class ValidatorsOutboxes:
    """Implements `icn_identity.usecases.ports.Outboxes`."""

    def __init__(self, validators: Validators) -> None:
        self._validators = validators

    @property
    def needed(self) -> int:
        """See the port."""
        return self._validators.faulty_max + 1

    async def ends(self) -> Sequence[EventsEnd]:
        """See the port."""
        answers = await self._validators.ask_several(GetEventsEndRequest(), self._validators.size)
        return [
            EventsEnd(answer.height, answer.event_id, answer.event_height)
            for answer in answers
            if isinstance(answer, GetEventsEndResponse)
        ]


def controller_of(leaf: state_pb2.ControllerLeaf) -> Controller:
    """A controller's leaf as the rules want it."""
    return Controller(
        principal=leaf.principal,
        threshold=leaf.threshold,
        keys=_keys(leaf.keys),
        guardian=leaf.recovery.guardian,
        recovery_delay_ms=leaf.recovery.delay_ms,
        is_being_recovered=leaf.is_being_recovered,
    )


def _keys(keys: object) -> dict[bytes, ControllerKey]:
    found = {}
    for key in keys:  # type: ignore[attr-defined]  # a repeated field of protobuf
        public_keys = {entry.suite: entry.public_key for entry in key.public_keys}
        named = key_id({Suite(suite): public_key for suite, public_key in public_keys.items()})
        found[named] = ControllerKey(public_keys, key.HasField("scope"))
    return found


def _membership(leaf: state_pb2.MembershipLeaf) -> Membership:
    return Membership(leaf.organization, leaf.member, _STATUSES.get(leaf.status, ""), leaf.since_time_ms)
