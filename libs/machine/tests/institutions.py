"""Messages about memberships, polls and decisions, and a federation of the four founders to play them in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from icn.ledger.v1 import transaction_pb2 as pb
from icn_crypto import tags
from icn_crypto.hashing import domain_hash, preimage
from icn_crypto.suites import Suite
from icn_machine.records import Authority, Ballot, Decision, Membership, Poll

from libs.machine.tests.scene import Scene
from libs.machine.tests.zone import Member, TestKey, Zone, identifier, sorted_keys

FEDERATION = identifier("federation")
POLL = identifier("poll")
DOCUMENT = bytes([1]) * 32
SUBJECT = bytes([2]) * 32
FOR_EVER = 2**62
ENACT_DECISION = 16


def apply_for_membership(organization: bytes) -> pb.Message:
    return pb.Message(apply_for_membership=pb.ApplyForMembership(organization=organization))


def vouch_for_applicant(organization: bytes, applicant: bytes) -> pb.Message:
    return pb.Message(
        vouch_for_applicant=pb.VouchForApplicant(organization=organization, applicant=applicant)
    )


def admit_member(applicant: bytes) -> pb.Message:
    return pb.Message(admit_member=pb.AdmitMember(applicant=applicant))


def end_membership(organization: bytes, member: bytes) -> pb.Message:
    return pb.Message(end_membership=pb.EndMembership(organization=organization, member=member))


def open_poll(
    poll: bytes,
    organization: bytes,
    close_time_ms: int,
    electorate: pb.Electorate = pb.ELECTORATE_MEMBERS,
    document: bytes = DOCUMENT,
) -> pb.Message:
    return pb.Message(
        open_poll=pb.OpenPoll(
            poll=poll,
            organization=organization,
            electorate=electorate,
            document=document,
            close_time_ms=close_time_ms,
        )
    )


def cast_ballot(poll: bytes, commitment: bytes, through: bytes = b"") -> pb.Message:
    return pb.Message(cast_ballot=pb.CastBallot(poll=poll, commitment=commitment, through=through))


def set_zone_authority(authority: bytes) -> pb.Message:
    return pb.Message(set_zone_authority=pb.SetZoneAuthority(authority=authority))


POLL_MS_MIN = 1
"""What authorities of tests say that a poll must be open; a block passes no 72 hours."""


def rules_of(threshold: int = 0, vouches_min: int = 0, **others: Any) -> pb.AuthorityRules:
    return pb.AuthorityRules(
        threshold=threshold, vouches_min=vouches_min, **{"poll_ms_min": POLL_MS_MIN, **others}
    )


def share(numerator: int, denominator: int) -> pb.Share:
    return pb.Share(numerator=numerator, denominator=denominator)


def found(members: Iterable[bytes], threshold: int = 0, vouches_min: int = 0) -> pb.DecisionAction:
    rules = rules_of(threshold, vouches_min)
    return pb.DecisionAction(found_authority=pb.FoundAuthority(members=sorted(members), rules=rules))


def admit(member: bytes) -> pb.DecisionAction:
    return pb.DecisionAction(admit_member=pb.AdmitToAuthority(member=member))


def exclude(member: bytes) -> pb.DecisionAction:
    return pb.DecisionAction(end_membership=pb.EndMembershipOfAuthority(member=member))


def set_rules(threshold: int, vouches_min: int = 0, **others: Any) -> pb.DecisionAction:
    return pb.DecisionAction(set_rules=rules_of(threshold, vouches_min, **others))


def floor_action(account: bytes, floor_minor: int) -> pb.DecisionAction:
    return pb.DecisionAction(set_floor=pb.SetFloor(account=account, floor_minor=floor_minor))


def allowance_action(organization: bytes, **limits: int) -> pb.DecisionAction:
    return pb.DecisionAction(
        set_allowance=pb.SetAllowance(organization=organization, limits=pb.AllowanceLimits(**limits))
    )


def decision(
    *actions: pb.DecisionAction,
    authority: bytes = FEDERATION,
    poll: bytes = b"",
    subject: bytes = SUBJECT,
    expire_time_ms: int = FOR_EVER,
) -> bytes:
    """Canonical bytes of a decision."""
    return pb.Decision(
        authority=authority,
        poll=poll,
        subject=subject,
        expire_time_ms=expire_time_ms,
        actions=actions,
    ).SerializeToString(deterministic=True)


def decision_id(zone: Zone, body: bytes) -> bytes:
    return domain_hash(tags.DECISION_ID, zone.genesis.hash, body)


def countersign(
    zone: Zone,
    body: bytes,
    signer: bytes,
    key: TestKey,
    suite: Suite = Suite.ED25519,
    tag: str = tags.DECISION,
) -> pb.Countersignature:
    message = preimage(tag, zone.genesis.hash, body)
    return pb.Countersignature(
        signer=signer, key_id=key.key_id, suite=int(suite), signature=key.signing[suite].sign(message)
    )


def enact(body: bytes, countersignatures: Iterable[pb.Countersignature]) -> pb.Message:
    ordered = sorted(countersignatures, key=lambda one: one.signer)  # type: ignore[no-any-return]
    return pb.Message(enact_decision=pb.EnactDecision(decision=body, countersignatures=ordered))


def steward(organization: Member) -> TestKey:
    """The organization's key for countersigning."""
    return TestKey(f"steward of {organization.principal.hex()}")


class Federation(Scene):
    """The scene, four founders with a steward's key each, and their federation."""

    async def set_up(self) -> Federation:
        await super().set_up()
        self.founders = self.zone.organizations
        for founder in self.founders:
            await self.register_steward(founder)
        await self.applied(self.shop, self.decided(found(self.members), by=self.founders))
        return self

    @property
    def members(self) -> list[bytes]:
        return sorted(founder.principal for founder in self.founders)

    async def register_steward(
        self, organization: Member, kinds: Sequence[int] = (ENACT_DECISION,), expire_time_ms: int = 0
    ) -> None:
        scope = pb.KeyScope(message_kinds=kinds, expire_time_ms=expire_time_ms)
        keys = sorted_keys(organization.keys[0], (steward(organization), scope))
        message = pb.Message(update_controller=pb.UpdateController(threshold=1, keys=keys))
        await self.applied(organization, message)

    def decided(
        self,
        *actions: pb.DecisionAction,
        by: Sequence[Member] | None = None,
        poll: bytes = b"",
        subject: bytes = SUBJECT,
        authority: bytes = FEDERATION,
        expire_time_ms: int = FOR_EVER,
    ) -> pb.Message:
        """A decision that stewards countersigned; three of the four unless said otherwise."""
        body = decision(
            *actions, authority=authority, poll=poll, subject=subject, expire_time_ms=expire_time_ms
        )
        signers = self.founders[:3] if by is None else by
        return enact(
            body,
            [countersign(self.zone, body, one.principal, steward(one)) for one in signers],
        )

    async def joined(self, member: Member, organization: Member) -> None:
        """Make somebody a member of a founder's."""
        await self.applied(member, apply_for_membership(organization.principal))
        await self.applied(organization, admit_member(member.principal))

    @property
    def authority(self) -> Authority:
        record: Authority = self.ledger.state.records[-1].authorities[FEDERATION]
        return record

    def membership(self, organization: bytes, member: bytes) -> Membership:
        record: Membership = self.ledger.state.records[-1].memberships[organization + member]
        return record

    def poll(self, poll: bytes = POLL) -> Poll:
        record: Poll = self.ledger.state.records[-1].polls[poll]
        return record

    def ballot(self, voter: bytes, poll: bytes = POLL) -> Ballot:
        record: Ballot = self.ledger.state.records[-1].ballots[poll + voter]
        return record

    def decision_leaf(self, identifier_: bytes) -> Decision | None:
        return self.ledger.state.records[-1].decisions.get(identifier_)

    @property
    def last_time_ms(self) -> int:
        """Block time of the newest block."""
        return self.ledger.state.newest.time_ms
