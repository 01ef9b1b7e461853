"""What an authority's rules ask of its polls, and in what a draft or a count falls short of them.

The ledger knows neither votes nor questions: it holds polls to their shortest time, and whoever countersigns
a decision compares the rest.

Source: docs/spec/governance.md, "Rules of an authority".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from icn.ledger.v1.transaction_pb2 import AuthorityRules, DecisionAction

from icn_tally import plain_decision
from icn_tally.plain_decision import PlainDecision, Share

if TYPE_CHECKING:
    from icn_tally.polls.documents import Draft, PollDocument

POLL_MS_MIN_DEFAULT: Final = 259_200_000
"""72 hours, the ledger's: a weekend is not enough to miss a poll."""
CONSTITUTIONAL: Final = frozenset(
    {
        "found_authority",
        "admit_member",
        "end_membership",
        "set_allowance",
        "set_rules",
        "change_validators",
        "activate_protocol",
    }
)
"""Actions that change the authority itself: who belongs to it, who may use or validates its zone and by which
rules, and how it decides."""
_HALF, _TWO_THIRDS = Fraction(1, 2), Fraction(2, 3)


@dataclass(frozen=True, slots=True)
class Shares:
    """Both of all members of the authority, and more than them."""

    quorum: Share
    """Must have voted yes, no or abstain."""
    majority: Share
    """Must have voted yes."""


@dataclass(frozen=True, slots=True)
class Shortfall:
    """In what the rules are not met."""

    message: str
    """For people, with the numbers compared."""
    figures: dict[str, int | str]


def poll_ms_min(rules: AuthorityRules) -> int:
    """How long a poll must be open at least, milliseconds."""
    return rules.poll_ms_min or POLL_MS_MIN_DEFAULT


def is_constitutional(actions: Iterable[DecisionAction]) -> bool:
    """Whether the actions change the authority itself."""
    return any(action.WhichOneof("kind") in CONSTITUTIONAL for action in actions)


def shares_needed(rules: AuthorityRules, actions: Iterable[DecisionAction]) -> Shares:
    """What a decision with these actions needs."""
    quorum = _share(rules, "quorum", _HALF)
    majority = _share(rules, "majority", _HALF)
    if is_constitutional(actions):
        quorum = max(quorum, _share(rules, "constitutional_quorum", _TWO_THIRDS))
        majority = max(majority, _share(rules, "constitutional_majority", _TWO_THIRDS))
    return Shares(_more_than(quorum), _more_than(majority))


def rule_of(rules: AuthorityRules, actions: Iterable[DecisionAction], eligible: int) -> PlainDecision:
    """Parameters of a decision that meet the rules and ask no more than they do."""
    needed = shares_needed(rules, actions)
    return PlainDecision(eligible, needed.quorum, "cast", needed.majority, "eligible")


def draft_shortfall(draft: Draft, rules: AuthorityRules, members: int) -> Shortfall | None:
    """In what a draft could be carried and not meet the rules; None where it could not.

    Args:
        draft: of the authority.
        rules: the authority's.
        members: how many active ones it has.
    """
    if draft.electorate != "members":
        return _actions_shortfall(draft)
    if draft.rule != plain_decision.RULE:
        return None
    asked, needed = PlainDecision.from_form(draft.parameters), shares_needed(rules, draft.actions)
    if asked.eligible < members:
        return Shortfall(
            f"the draft counts on {asked.eligible} voters, the authority has {members} members",
            {"eligible": asked.eligible, "members": members},
        )
    if not _asks_for(asked.quorum, needed.quorum):
        return Shortfall(
            f"a quorum of {share_text(asked.quorum)}, the rules ask for {share_text(needed.quorum)}",
            {"quorum": share_text(asked.quorum), "quorum_needed": share_text(needed.quorum)},
        )
    if asked.majority_of != "eligible" or not _asks_for(asked.majority, needed.majority):
        return Shortfall(
            f"a majority of {share_text(asked.majority)} of {asked.majority_of}, the rules ask for "
            f"{share_text(needed.majority)} of eligible",
            {
                "majority": share_text(asked.majority),
                "majority_of": asked.majority_of,
                "majority_needed": share_text(needed.majority),
            },
        )
    return None


def time_shortfall(open_ms: int, rules: AuthorityRules) -> Shortfall | None:
    """In what a poll is open too short, None where it is not."""
    least_ms = poll_ms_min(rules)
    if open_ms >= least_ms:
        return None
    return Shortfall(
        f"the poll is open {open_ms} ms, the rules ask for {least_ms}",
        {"open_ms": open_ms, "poll_ms_min": least_ms},
    )


def outcome_shortfall(
    document: PollDocument, counted: plain_decision.Decision, rules: AuthorityRules
) -> Shortfall | None:
    """In what a carried decision does not meet the rules, whatever its draft asked for; None where it does.

    The document's ``eligible`` stands for all members; that it is no smaller has been checked.
    """
    draft = document.draft
    if draft.electorate != "members":
        return _actions_shortfall(draft)
    needed, members = shares_needed(rules, draft.actions), counted.parameters.eligible
    voted = counted.yes + counted.no + counted.abstain
    for what, part, share in (("voted", voted, needed.quorum), ("voted yes", counted.yes, needed.majority)):
        if not share.is_reached(part, members):
            return Shortfall(
                f"{part} of {members} {what}, the rules ask for {share_text(share)}",
                {"part": part, "members": members, "needed": share_text(share)},
            )
    return None


def share_text(share: Share) -> str:
    """``more than 2/3``."""
    return f"{share.comparison.replace('-', ' ')} {share.numerator}/{share.denominator}"


def rules_text(rules: AuthorityRules) -> str:
    """Rules in one line for people."""
    ordinary = shares_needed(rules, ())
    itself = shares_needed(rules, [DecisionAction(set_rules=AuthorityRules())])
    threshold = "more than two thirds of the members"
    if rules.threshold:
        threshold += f" and {rules.threshold}"
    return (
        f"{threshold} must countersign, {rules.vouches_min} vouch for an applicant; polls are open "
        f"{poll_ms_min(rules)} ms at least; {share_text(ordinary.quorum)} of all members must vote and "
        f"{share_text(ordinary.majority)} vote yes, for what changes the authority itself "
        f"{share_text(itself.quorum)} and {share_text(itself.majority)}"
    )


def _actions_shortfall(draft: Draft) -> Shortfall | None:
    """What people who are not members decide is recorded, and enacts nothing."""
    if not draft.actions:
        return None
    return Shortfall(
        f"only the members decide what is enacted: {len(draft.actions)} actions, the electorate is "
        f"{draft.electorate}",
        {"actions": len(draft.actions), "electorate": draft.electorate},
    )


def _share(rules: AuthorityRules, name: str, otherwise: Fraction) -> Fraction:
    if not rules.HasField(name):
        return otherwise
    share = getattr(rules, name)
    return Fraction(share.numerator, share.denominator)


def _more_than(fraction: Fraction) -> Share:
    return Share("more-than", fraction.numerator, fraction.denominator)


def _asks_for(asked: Share, needed: Share) -> bool:
    """Whether what reaches ``asked`` reaches ``needed``, which is a more-than."""
    left, right = asked.numerator * needed.denominator, needed.numerator * asked.denominator
    return left >= right if asked.comparison == "more-than" else left > right
