"""What an authority's rules ask for: the defaults, the exact borders, and that no draft slips through."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn.ledger.v1 import transaction_pb2 as pb
from icn_tally.ballots import ranked_ballots
from icn_tally.plain_decision import BASES, CHOICES, TURNOUTS, PlainDecision, Share, decide
from icn_tally.polls.actions import read_actions
from icn_tally.polls.documents import Draft
from icn_tally.polls.rules import (
    POLL_MS_MIN_DEFAULT,
    draft_shortfall,
    is_constitutional,
    outcome_shortfall,
    poll_ms_min,
    rule_of,
    rules_text,
    shares_needed,
    time_shortfall,
)

from .samples import document_of, election_draft, plain_draft

NOTHING = pb.AuthorityRules()
FLOOR = {"kind": "set-floor", "account": "aa" * 16, "floor_minor": "-1"}
ADMISSION = {"kind": "admit-member", "member": "bb" * 16}
ALLOWANCE = {
    "kind": "set-allowance",
    "organization": "dd" * 16,
    **dict.fromkeys(pb.AllowanceLimits.DESCRIPTOR.fields_by_name, "0"),
}
ANY = Share("at-least", 0, 1)


def share(numerator: int, denominator: int) -> pb.Share:
    return pb.Share(numerator=numerator, denominator=denominator)


def draft_of(rule: PlainDecision, *actions: dict[str, Any], **changes: Any) -> Draft:
    return plain_draft(actions=actions, parameters=rule.to_form(), **changes)


def shortfall(draft: Draft, members: int = 4, rules: pb.AuthorityRules = NOTHING) -> str:
    found = draft_shortfall(draft, rules, members)
    return "" if found is None else found.message


def outcome(draft: Draft, yes: int, no: int, abstain: int = 0, rules: pb.AuthorityRules = NOTHING) -> str:
    bundles = [(((choice,),), votes) for choice, votes in enumerate((yes, no, abstain), start=1) if votes]
    counted = decide(PlainDecision.from_form(draft.parameters), ranked_ballots(CHOICES, bundles))
    found = outcome_shortfall(document_of(draft), counted, rules)
    return "" if found is None else found.message


def test_what_nothing_is_said_about_is_safe() -> None:
    needed = shares_needed(NOTHING, read_actions([FLOOR], "actions"))
    assert (needed.quorum, needed.majority) == (Share("more-than", 1, 2), Share("more-than", 1, 2))
    needed = shares_needed(NOTHING, read_actions([FLOOR, ADMISSION], "actions"))
    assert (needed.quorum, needed.majority) == (Share("more-than", 2, 3), Share("more-than", 2, 3))
    assert poll_ms_min(NOTHING) == POLL_MS_MIN_DEFAULT == 72 * 60 * 60 * 1000


@pytest.mark.parametrize(
    ("action", "expected"), [(FLOOR, False), (ADMISSION, True), (ALLOWANCE, True)], ids=str
)
def test_what_changes_the_authority_itself_needs_more(action: dict[str, str], expected: bool) -> None:
    assert is_constitutional(read_actions([action], "actions")) is expected


def test_ordinary_shares_that_are_larger_hold_for_what_changes_the_authority_too() -> None:
    rules = pb.AuthorityRules(quorum=share(9, 10), majority=share(3, 5))
    needed = shares_needed(rules, read_actions([ADMISSION], "actions"))
    assert (needed.quorum, needed.majority) == (Share("more-than", 9, 10), Share("more-than", 2, 3))


def test_the_draft_of_the_flash_poll_falls_short() -> None:
    """Quorum and majority of at least nothing: one vote would have carried it."""
    flash = PlainDecision(4, ANY, "cast", ANY)
    assert shortfall(draft_of(flash, FLOOR)) == "a quorum of at least 0/1, the rules ask for more than 1/2"
    half = Share("more-than", 1, 2)
    assert "of yes-no, the rules ask for more than 1/2" in shortfall(draft_of(PlainDecision(4, half), FLOOR))
    small = PlainDecision(3, half, "cast", half, "eligible")
    assert shortfall(draft_of(small, FLOOR)) == "the draft counts on 3 voters, the authority has 4 members"
    fair = PlainDecision(4, half, "cast", half, "eligible")
    assert shortfall(draft_of(fair, FLOOR)) == ""
    assert shortfall(draft_of(fair, ADMISSION)) == (
        "a quorum of more than 1/2, the rules ask for more than 2/3"
    )


def test_only_members_enact() -> None:
    rule = PlainDecision(12)
    indirect = draft_of(rule, FLOOR, electorate="members-of-members")
    assert "only the members decide what is enacted" in shortfall(indirect)
    assert "only the members decide what is enacted" in outcome(indirect, 12, 0)
    asked = draft_of(rule, electorate="members-of-members")
    assert shortfall(asked) == outcome(asked, 1, 0) == ""
    assert shortfall(election_draft(electorate="members")) == ""


@pytest.mark.parametrize(
    ("votes", "actions", "said"),
    [
        ((3, 0), [FLOOR], ""),
        ((3, 1), [ADMISSION], ""),
        ((2, 2), [FLOOR], "2 of 4 voted yes, the rules ask for more than 1/2"),
        ((1, 0), [FLOOR], "1 of 4 voted, the rules ask for more than 1/2"),
        ((1, 0, 3), [FLOOR], "1 of 4 voted yes, the rules ask for more than 1/2"),
        ((2, 0), [ADMISSION], "2 of 4 voted, the rules ask for more than 2/3"),
        ((2, 1), [ADMISSION], "2 of 4 voted yes, the rules ask for more than 2/3"),
    ],
)
def test_a_count_is_held_to_the_rules_whatever_the_draft_asked_for(
    votes: tuple[int, ...], actions: list[dict[str, str]], said: str
) -> None:
    assert outcome(draft_of(PlainDecision(4, ANY, "cast", ANY), *actions), *votes) == said


def test_a_poll_is_long_enough_to_the_millisecond() -> None:
    rules = pb.AuthorityRules(poll_ms_min=60_000)
    assert time_shortfall(60_000, rules) is None
    found = time_shortfall(59_999, rules)
    assert found is not None and found.figures == {"open_ms": 59_999, "poll_ms_min": 60_000}


fractions = st.integers(1, 12).flatmap(
    lambda denominator: st.tuples(st.integers(0, denominator - 1), st.just(denominator))
)
some_rules = st.builds(
    lambda quorum, majority, other, another: pb.AuthorityRules(
        quorum=share(*quorum),
        majority=share(max(majority[0], (majority[1] + 2) // 2), majority[1] + 1),
        constitutional_quorum=share(*other),
        constitutional_majority=share(max(another[0], (another[1] + 2) // 2), another[1] + 1),
    ),
    fractions,
    fractions,
    fractions,
    fractions,
)
some_shares = st.builds(
    lambda comparison, fraction: Share(comparison, *fraction),
    st.sampled_from(["more-than", "at-least"]),
    fractions,
)


@given(
    some_rules,
    st.builds(
        PlainDecision,
        st.integers(1, 12),
        some_shares,
        st.sampled_from(TURNOUTS),
        some_shares,
        st.sampled_from(BASES),
    ),
    st.sampled_from([FLOOR, ADMISSION]),
    st.data(),
)
def test_a_draft_that_is_accepted_is_carried_by_what_the_rules_ask_for(
    rules: pb.AuthorityRules, rule: PlainDecision, action: dict[str, str], data: st.DataObject
) -> None:
    draft = draft_of(rule, action)
    yes = data.draw(st.integers(0, rule.eligible))
    no = data.draw(st.integers(0, rule.eligible - yes))
    abstain = data.draw(st.integers(0, rule.eligible - yes - no))
    bundles = [(((choice,),), votes) for choice, votes in enumerate((yes, no, abstain), start=1) if votes]
    is_carried = decide(rule, ranked_ballots(CHOICES, bundles)).is_carried
    if is_carried and not shortfall(draft, rule.eligible, rules):
        assert outcome(draft, yes, no, abstain, rules) == ""


@given(some_rules, st.integers(1, 64), st.sampled_from([FLOOR, ADMISSION]))
def test_a_draft_made_from_the_rules_meets_them(
    rules: pb.AuthorityRules, members: int, action: dict[str, str]
) -> None:
    rule = rule_of(rules, read_actions([action], "actions"), members)
    assert shortfall(draft_of(rule, action), members, rules) == ""
    assert rules_text(rules)
