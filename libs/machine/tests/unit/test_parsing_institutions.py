"""Static rules of memberships, polls and decisions: what the bytes alone show."""

from __future__ import annotations

from typing import Any

import pytest
from icn.ledger.v1 import transaction_pb2 as pb
from icn_crypto import tags
from icn_crypto.hashing import domain_hash, preimage
from icn_machine.limits import DECISION_BYTES_MAX, POLL_MS_MIN_MAX, QUANTITY_MAX
from icn_machine.messages import CastBallot, EnactDecision, OpenPoll, Transaction
from icn_machine.parsing import parse_transaction
from icn_machine.records import AUTHORITY_SHARES, Electorate
from icn_machine.refusals import MALFORMED_TRANSACTION, Malformed

from libs.machine.tests.institutions import (
    DOCUMENT,
    SUBJECT,
    admit,
    allowance_action,
    apply_for_membership,
    cast_ballot,
    decision,
    enact,
    exclude,
    floor_action,
    found,
    open_poll,
    set_rules,
    share,
    vouch_for_applicant,
)
from libs.machine.tests.zone import identifier, make_zone

ZONE = make_zone()
SHOP = ZONE.organizations[0]
A, B = sorted([identifier("a"), identifier("b")])
SHORT = bytes(15)
SIGNED = pb.Countersignature(signer=A, key_id=B, suite=1, signature=bytes(64))
MANY = sorted(identifier(str(number)) for number in range(65))


def read(*messages: pb.Message) -> Transaction:
    return parse_transaction(ZONE.transaction(SHOP, *messages, sequence=1), ZONE.genesis.hash)


def refuse(*messages: pb.Message) -> str:
    with pytest.raises(Malformed) as refusal:
        read(*messages)
    assert refusal.value.reason == MALFORMED_TRANSACTION
    return refusal.value.message


def by(*signers: bytes) -> list[pb.Countersignature]:
    return [pb.Countersignature(signer=signer, key_id=B, suite=1, signature=bytes(64)) for signer in signers]


def test_a_decision_is_named_by_its_bytes_and_signed_under_its_own_tag() -> None:
    body = decision(set_rules(3, 2), poll=B)
    (message,) = read(enact(body, [SIGNED])).messages
    assert isinstance(message, EnactDecision)
    assert message.id == domain_hash(tags.DECISION_ID, ZONE.genesis.hash, body)
    assert message.signed == preimage(tags.DECISION, ZONE.genesis.hash, body)
    assert (message.body, message.poll, message.subject, message.founded) == (body, B, SUBJECT, None)


def test_polls_and_ballots_become_values() -> None:
    messages = read(open_poll(A, B, 7, pb.ELECTORATE_MEMBERS_OF_MEMBERS), cast_ballot(A, SUBJECT, B)).messages
    assert messages == (
        OpenPoll(A, B, Electorate.MEMBERS_OF_MEMBERS, DOCUMENT, 7),
        CastBallot(A, SUBJECT, B),
    )


@pytest.mark.parametrize(
    ("messages", "leaves", "signatures"),
    [
        ([apply_for_membership(A)], 1, 1),
        ([open_poll(A, B, 7), cast_ballot(A, SUBJECT)], 2, 1),
        ([vouch_for_applicant(A, B)], 0, 1),
        ([enact(decision(), by(A))], 1, 2),
        ([enact(decision(admit(A), exclude(B)), by(A, B))], 1, 3),
        ([enact(decision(found([A, B])), by(A, B))], 4, 3),
        ([enact(decision(found(MANY[:64])), by(*MANY[:64])), apply_for_membership(A)], 67, 65),
    ],
)
def test_leaves_and_signatures_are_what_rule_9_charges(
    messages: list[pb.Message], leaves: int, signatures: int
) -> None:
    made = read(*messages)
    assert (made.leaves_made_max, made.signatures_charged) == (leaves, signatures)


def test_an_allowance_that_a_decision_sets_is_judged_like_any_other() -> None:
    actions = [allowance_action(A, state_leaves=1), allowance_action(B), allowance_action(A)]
    assert read(enact(decision(*actions), [SIGNED])).organizations_set == (A, B)


def test_sixteen_actions_and_sixty_four_countersignatures_are_the_most() -> None:
    read(enact(decision(*[set_rules(1)] * 16), by(*MANY[:64])))
    assert "17 actions" in refuse(enact(decision(*[set_rules(1)] * 17), [SIGNED]))
    assert "65 countersignatures" in refuse(enact(decision(), by(*MANY)))
    assert "0 countersignatures" in refuse(enact(decision(), []))


def test_a_transaction_carries_one_decision() -> None:
    assert "one decision" in refuse(enact(decision(), [SIGNED]), enact(decision(poll=A), [SIGNED]))


def test_signers_ascend_and_none_stands_there_twice() -> None:
    read(enact(decision(), by(A, B)))
    for signers in ((A, A), (B, A)):
        message = pb.Message(
            enact_decision=pb.EnactDecision(decision=decision(), countersignatures=by(*signers))
        )
        assert "ascend" in refuse(message)


@pytest.mark.parametrize(
    "change",
    [
        {"signer": SHORT},
        {"key_id": SHORT},
        {"suite": 3},
        {"suite": 2},
        {"signature": bytes(63)},
        {"signature": b""},
    ],
)
def test_a_countersignature_of_a_wrong_shape_is_refused(change: dict[str, Any]) -> None:
    fields = {"signer": A, "key_id": B, "suite": 1, "signature": bytes(64), **change}
    refuse(enact(decision(), [pb.Countersignature(**fields)]))


def test_a_decision_is_canonical_and_at_most_16384_bytes() -> None:
    body = decision(set_rules(1))
    refuse(enact(body + b"\x48\x01", [SIGNED]))
    refuse(enact(b"", [SIGNED]))
    refuse(enact(bytes(DECISION_BYTES_MAX + 1), [SIGNED]))
    # Lane-like defaults written out, here an empty poll.
    written = body[:18] + b"\x12\x00" + body[18:]
    assert pb.Decision.FromString(written) == pb.Decision.FromString(body)
    refuse(enact(written, [SIGNED]))


@pytest.mark.parametrize(
    "change",
    [
        {"authority": SHORT},
        {"authority": b""},
        {"poll": SHORT},
        {"subject": bytes(31)},
        {"subject": b""},
        {"expire_time_ms": QUANTITY_MAX + 1},
    ],
)
def test_a_decision_outside_of_its_limits_is_refused(change: dict[str, Any]) -> None:
    refuse(enact(decision(**change), [SIGNED]))


@pytest.mark.parametrize(
    "actions",
    [
        [pb.DecisionAction()],
        [set_rules(1), found([A])],
        [found([A]), found([B])],
        [found([])],
        [found([SHORT])],
        [found([A, A])],
        [found(MANY)],
        [found([A], threshold=65)],
        [found([A], vouches_min=17)],
        [pb.DecisionAction(found_authority=pb.FoundAuthority(members=[B, A], rules=pb.AuthorityRules()))],
        [pb.DecisionAction(found_authority=pb.FoundAuthority(members=[A]))],
        [set_rules(65)],
        [set_rules(0, 17)],
        [set_rules(0, poll_ms_min=POLL_MS_MIN_MAX + 1)],
        *([set_rules(0, **{name: pb.Share()})] for name in AUTHORITY_SHARES),
        *([set_rules(0, **{name: share(1, 1_001)})] for name in AUTHORITY_SHARES),
        *([set_rules(0, **{name: share(3, 3)})] for name in AUTHORITY_SHARES),
        [set_rules(0, majority=share(499, 999))],
        [set_rules(0, constitutional_majority=share(0, 1))],
        [admit(SHORT)],
        [exclude(SHORT)],
        [floor_action(SHORT, 0)],
        [floor_action(A, 1)],
        [pb.DecisionAction(set_allowance=pb.SetAllowance(organization=A))],
        [allowance_action(A, state_leaves=2**40 + 1)],
        [pb.DecisionAction(change_validators=pb.ChangeValidators())],
        [pb.DecisionAction(change_validators=pb.ChangeValidators(validator_set_hash=bytes(32)))],
    ],
)
def test_an_action_outside_of_its_limits_is_refused(actions: list[pb.DecisionAction]) -> None:
    refuse(enact(decision(*actions), [SIGNED]))


@pytest.mark.parametrize(
    "actions",
    [
        [],
        [found([A], threshold=64, vouches_min=16)],
        [found(MANY[:64])],
        [set_rules(64, 16)],
        [set_rules(0, poll_ms_min=POLL_MS_MIN_MAX)],
        [set_rules(0, quorum=share(0, 1), constitutional_quorum=share(999, 1_000))],
        [set_rules(0, majority=share(1, 2), constitutional_majority=share(500, 999))],
        [found([A]), set_rules(0)],
    ],
)
def test_an_action_at_its_limits_is_accepted(actions: list[pb.DecisionAction]) -> None:
    (message,) = read(enact(decision(*actions), [SIGNED])).messages
    assert isinstance(message, EnactDecision)
    assert len(message.actions) == len(actions)


def test_an_authority_that_is_founded_has_no_poll_yet() -> None:
    assert "no poll" in refuse(enact(decision(found([A]), poll=B), [SIGNED]))


def test_nobody_is_their_own_member() -> None:
    assert "its own member" in refuse(apply_for_membership(SHOP.principal))
    read(apply_for_membership(A))


@pytest.mark.parametrize(
    "message",
    [
        apply_for_membership(SHORT),
        vouch_for_applicant(SHORT, A),
        vouch_for_applicant(A, SHORT),
        pb.Message(admit_member=pb.AdmitMember(applicant=SHORT)),
        pb.Message(end_membership=pb.EndMembership(organization=SHORT, member=A)),
        pb.Message(end_membership=pb.EndMembership(organization=A, member=SHORT)),
        open_poll(SHORT, B, 7),
        open_poll(A, SHORT, 7),
        open_poll(A, B, QUANTITY_MAX + 1),
        open_poll(A, B, 7, pb.ELECTORATE_UNSPECIFIED),
        open_poll(A, B, 7, 3),  # type: ignore[arg-type]
        open_poll(A, B, 7, document=bytes(31)),
        cast_ballot(SHORT, SUBJECT),
        cast_ballot(A, bytes(33)),
        cast_ballot(A, b""),
        cast_ballot(A, SUBJECT, SHORT),
        pb.Message(set_zone_authority=pb.SetZoneAuthority(authority=SHORT)),
        pb.Message(create_unit=pb.CreateUnit(unit=A, code="HOUR", authority=SHORT)),
    ],
)
def test_a_message_outside_of_its_limits_is_refused(message: pb.Message) -> None:
    refuse(message)
