"""The work of `icn steward`: look at what waits, recount, countersign, and enact once enough have.

The rules are in `icn_client.steward`; this talks to governance, the validators and the ledger. It is never
started by the platform, and its key is in a keystore of its own.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from icn.governance.v1.service_pb2 import DECISION_STATE_PROPOSED
from icn.ledger.v1.state_pb2 import MEMBERSHIP_STATUS_ACTIVE
from icn.ledger.v1.transaction_pb2 import Countersignature
from icn_kit.errors import DomainError, InvalidArgument, NotFound
from icn_tally.polls.decisions import decision_id

from icn_client.acting import TransactionRefused, find_actor, perform
from icn_client.decisions import DECIDED, countersign, enact_decision, is_countersigned, with_steward_key
from icn_client.governance import Governance, proposal_name
from icn_client.keystore import Identity
from icn_client.names import identifier_in
from icn_client.proven_ledger import ConnectionLedger
from icn_client.steward import ProvenLedger, StewardRefuses, examine, is_decided, shown_from
from icn_client.submitter import NobodyAnswers, Submitter
from icn_client.transactions import update_controller

if TYPE_CHECKING:
    from icn_client.acting import Actor
    from icn_client.connection import Connection

STEWARD_LANE: Final = 15
"""So that the steward never takes a number from the organization's other devices."""


ERROR_CHARACTERS_MAX: Final = 300
"""Of an unexpected error; what a host serves may be in it."""


@dataclass(frozen=True, slots=True)
class Step:
    """What a steward did about one decision."""

    decision: str
    """``decisions/…``."""
    proposal: str
    outcome: str
    """``countersigned``, ``refused``, ``waiting`` (countersigned before, too few have), ``enacted`` or
    ``failed`` (somebody did not answer, or the ledger refused)."""
    reason: str = ""
    message: str = ""
    countersignatures: int = 0

    @property
    def subject(self) -> str:
        """What it is about."""
        return self.decision

    @property
    def headline(self) -> str:
        """In a line, without the reason."""
        signed = f" ({self.countersignatures} have)" if self.countersignatures else ""
        return f"{self.proposal}  {self.outcome}{signed}"

    def document(self) -> dict[str, Any]:
        """As JSON shows it."""
        return asdict(self)


class StewardProgram:
    """One organization's steward on a connection.

    Args:
        connection: to the network.
        submitter: sends an enactment.
        steward: the organization's principal with its steward's key and no other.
        accepts_unopened: proposals whose missing openings people of the organization have looked into.
        ledger: proven leaves; from the connection where left out.
    """

    def __init__(
        self,
        connection: Connection,
        submitter: Submitter,
        steward: Identity,
        *,
        accepts_unopened: Collection[bytes] = (),
        ledger: ProvenLedger | None = None,
    ) -> None:
        self._connection = connection
        self._submitter = submitter
        self._steward = steward
        self._accepts_unopened = frozenset(accepts_unopened)
        self._governance = Governance(connection)
        self._ledger = ledger or ConnectionLedger(connection)

    async def look(self, only: bytes | None = None) -> list[Step]:
        """Deal once with every decision that waits, or with that of one proposal. Decisions without a poll,
        and those of authorities the organization does not belong to, are left alone.

        Raises:
            DomainError: governance does not answer.
        """
        steps = []
        waiting = [one async for one in self._governance.decisions(DECISION_STATE_PROPOSED)]
        for decision in reversed(waiting):
            if not decision.proposal:
                continue
            if only is not None and decision.proposal != proposal_name(only):
                continue
            try:
                step = await self._deal_with(decision)
            except StewardRefuses as refusal:
                step = _step(decision, "refused", refusal.reason, str(refusal))
            except TransactionRefused as refusal:
                step = _step(decision, "failed", refusal.reason, str(refusal))
            except NobodyAnswers as error:
                step = _step(decision, "failed", "NOBODY_ANSWERS", str(error))
            except DomainError as error:
                step = _step(decision, "failed", error.reason, error.message)
            except Exception as error:  # noqa: BLE001 - whatever a host serves, the others are dealt with
                said = f"{type(error).__name__}: {error}"[:ERROR_CHARACTERS_MAX]
                step = _step(decision, "refused", "ANSWER_MALFORMED", said)
            if step is not None:
                steps.append(step)
        return steps

    async def _deal_with(self, decision: Any) -> Step | None:
        organization = self._steward.principal
        authority = identifier_in(decision.authority, "organizations")
        membership = await self._ledger.membership(authority, organization)
        if membership is None or membership.status != MEMBERSHIP_STATUS_ACTIVE:
            return None
        genesis_hash = self._connection.genesis.hash
        identifier = decision_id(genesis_hash, decision.body)
        has_signed = organization in {
            one.signer for one in await self._governance.countersignatures(identifier)
        }
        if not has_signed:
            proposal = identifier_in(decision.proposal, "proposals")
            body = await self._examine(decision, proposal)
            await self._governance.submit(
                identifier, countersign(genesis_hash, body, organization, self._steward.keys[0])
            )
        valid = await self.valid_countersignatures(identifier, decision.body)
        if await is_decided(decision.body, valid, self._ledger):
            await self._enact(decision.body, valid)
            return _step(decision, "enacted", count=len(valid))
        return _step(decision, "waiting" if has_signed else "countersigned", count=len(valid))

    async def valid_countersignatures(self, identifier: bytes, body: bytes) -> list[Countersignature]:
        """What governance shows, without those that would void the enactment."""
        return await valid_countersignatures(self._governance, identifier, body)

    async def _examine(self, decision: Any, proposal: bytes) -> bytes:
        governance = self._governance
        shown = shown_from(
            await governance.proposal(proposal),
            await governance.openings(proposal),
            await governance.result(proposal),
            decision.body,
            proposal,
        )
        return await examine(
            shown,
            self._steward.principal,
            self._ledger,
            self._connection.genesis.hash,
            accepts_unopened=proposal in self._accepts_unopened,
        )

    async def _enact(self, body: bytes, countersignatures: list[Countersignature]) -> None:
        actor = await find_actor(
            self._connection, self._steward.principal, self._steward.keys[:1], STEWARD_LANE
        )
        await enact(self._submitter, actor, body, countersignatures)


async def valid_countersignatures(
    governance: Governance, identifier: bytes, body: bytes
) -> list[Countersignature]:
    """The countersignatures of a decision that the ledger would take."""
    connection = governance.connection
    found = []
    for one in await governance.countersignatures(identifier):
        try:
            controller = await connection.controller(one.signer)
        except (NotFound, InvalidArgument):  # of nobody: somebody made it up
            continue
        if is_countersigned(connection.genesis.hash, body, one, controller):
            found.append(one)
    return found


async def enact(
    submitter: Submitter, actor: Actor, body: bytes, countersignatures: list[Countersignature]
) -> int:
    """Bring a decision to the ledger; the height, 0 when somebody else was first.

    Raises:
        TransactionRefused: it has no effect, for another reason than that it is enacted.
        NobodyAnswers: the outcome is unknown.
    """
    try:
        outcome, _ = await perform(submitter, actor, [enact_decision(body, countersignatures)])
    except TransactionRefused as refusal:
        if refusal.reason in DECIDED:
            return 0
        raise
    return outcome.height


async def register_steward(
    connection: Connection, submitter: Submitter, actor: Actor, steward: Identity
) -> int:
    """Put the steward's key, scoped to what stewards do, beside the organization's own; the height, 0 when it
    is there. One that was registered with a narrower scope gets the whole.

    Raises:
        TransactionRefused: the ledger's reason.
    """
    controller = await connection.controller(actor.principal)
    keys = with_steward_key(controller, steward.keys[0])
    if sorted(key.SerializeToString(deterministic=True) for key in keys) == sorted(
        key.SerializeToString(deterministic=True) for key in controller.keys
    ):
        return 0
    outcome, _ = await perform(submitter, actor, [update_controller(controller.threshold, keys)])
    return outcome.height


def _step(decision: Any, outcome: str, reason: str = "", message: str = "", count: int = 0) -> Step:
    return Step(decision.name, decision.proposal, outcome, reason, message, count)
