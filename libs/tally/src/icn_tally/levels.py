"""Votes of several levels: members decide in their units, units in a federation, and so on upwards.

Source: docs/spec/voting.md, "Several levels".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final, Literal, TypeAlias

from icn_crypto.jcs import JsonValue

from icn_tally.ballots import WEIGHT_MAX
from icn_tally.faults import InvalidBallots, InvalidParameter

DEPTH_MAX: Final = 16
NODES_MAX: Final = 1_000_000
CONDITIONS_MAX: Final = 1_000
"""Of one passing rule, one in another."""

Transmission: TypeAlias = Literal["bloc", "split", "pass-through", "bound", "free"]
TRANSMISSIONS: Final[tuple[Transmission, ...]] = ("bloc", "split", "pass-through", "bound", "free")


@dataclass(frozen=True, slots=True)
class Votes:
    """Weights for, against and of abstention; each 0 or more."""

    yes: int = 0
    no: int = 0
    abstain: int = 0

    @property
    def cast(self) -> int:
        """All together."""
        return self.yes + self.no + self.abstain

    def __add__(self, other: Votes) -> Votes:
        return Votes(self.yes + other.yes, self.no + other.no, self.abstain + other.abstain)

    def to_form(self) -> dict[str, JsonValue]:
        """As it stands in results."""
        return {"yes": str(self.yes), "no": str(self.no), "abstain": str(self.abstain)}


@dataclass(frozen=True, slots=True)
class Electorate:
    """What a passing rule looks at: what came to a node, and from whom."""

    votes: Votes
    """Of its own members, and what its children transmitted."""
    eligible: int
    """The weight that all of them could have."""
    members: Votes
    """Votes of the members of the node and of all below it, one level or many, as they were cast."""
    eligible_members: int
    children: Mapping[str, Child]


@dataclass(frozen=True, slots=True)
class Child:
    """A unit as its parent sees it."""

    carried: bool
    eligible_members: int


@dataclass(frozen=True, slots=True)
class Condition:
    """A test that a passing rule makes, and how it is told."""

    name: str
    is_met: Callable[[Electorate], bool]


Rule: TypeAlias = "Condition | AllOf | AnyOf"


@dataclass(frozen=True, slots=True)
class AllOf:
    """Passes when each of several rules does."""

    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Passes when one of several rules does."""

    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Node:
    """A unit: its members' votes, its children, and how it decides and passes its decision on."""

    unit: str
    rule: Rule
    weight: int = 1
    """In its parent: what a bloc or a split has; with delegates how many there are."""
    transmission: Transmission = "bloc"
    own: Votes = Votes()
    """Of members who vote here, not in a child."""
    eligible: int = 0
    """Weight of the members who may vote here."""
    delegates: Votes = Votes()
    """What free delegates vote in the parent."""
    children: tuple[Node, ...] = ()


@dataclass(frozen=True, slots=True)
class Decided:
    """What a node decided, and why."""

    unit: str
    carried: bool
    votes: Votes
    eligible: int
    transmitted: Votes
    conditions: tuple[tuple[str, bool], ...]
    """Each test of the rule, in its order, and whether it was met."""
    members: Votes
    eligible_members: int
    children: tuple[Decided, ...] = field(default=())

    def to_form(self) -> dict[str, JsonValue]:
        """As an object."""
        return {
            "unit": self.unit,
            "carried": self.carried,
            "votes": self.votes.to_form(),
            "eligible": str(self.eligible),
            "transmitted": self.transmitted.to_form(),
            "conditions": [{"condition": name, "met": met} for name, met in self.conditions],
            "children": [child.to_form() for child in self.children],
        }


def share_of(part: int, whole: int, at_least: Fraction, *, strictly: bool = False) -> bool:
    """Whether a part reaches a share of a whole, or exceeds it; nothing is a share of nothing."""
    if whole == 0:
        return False
    left, right = part * at_least.denominator, at_least.numerator * whole
    return left > right if strictly else left >= right


def majority(
    share: Fraction, *, of: Literal["yes-no", "cast", "eligible"] = "yes-no", strictly: bool = True
) -> Condition:
    """Yes is more than a share of yes and no, of what was cast or of what could have been; or at least it."""

    def is_met(seen: Electorate) -> bool:
        base = {
            "yes-no": seen.votes.yes + seen.votes.no,
            "cast": seen.votes.cast,
            "eligible": seen.eligible,
        }[of]
        return seen.votes.yes > 0 and share_of(seen.votes.yes, base, share, strictly=strictly)

    return Condition(f"majority {'>' if strictly else '≥'} {share} of {of}", is_met)


def turnout(share: Fraction, *, of: Literal["here", "members"] = "here") -> Condition:
    """At least a share of what could have been cast here was cast; or of the votes of all members below."""

    def is_met(seen: Electorate) -> bool:
        if of == "here":
            return share_of(seen.votes.cast, seen.eligible, share)
        return share_of(seen.members.cast, seen.eligible_members, share)

    return Condition(f"turnout ≥ {share} ({of})", is_met)


def units_carry(share: Fraction, *, strictly: bool = True) -> Condition:
    """More than a share of the children carried it, or at least it: with a majority of members a double
    one."""

    def is_met(seen: Electorate) -> bool:
        carried = sum(child.carried for child in seen.children.values())
        return share_of(carried, len(seen.children), share, strictly=strictly)

    return Condition(f"units {'>' if strictly else '≥'} {share}", is_met)


def members_carry(share: Fraction, *, strictly: bool = True) -> Condition:
    """Of all members below, as they voted, more than a share of yes and no is yes, or at least it."""

    def is_met(seen: Electorate) -> bool:
        base = seen.members.yes + seen.members.no
        return seen.members.yes > 0 and share_of(seen.members.yes, base, share, strictly=strictly)

    return Condition(f"members {'>' if strictly else '≥'} {share}", is_met)


def no_blocking_minority(units: int, share: Fraction) -> Condition:
    """Not so many children refuse it that have, together, more than a share of all eligible members."""

    def is_met(seen: Electorate) -> bool:
        against = [child for child in seen.children.values() if not child.carried]
        weight = sum(child.eligible_members for child in against)
        return not (len(against) >= units and share_of(weight, seen.eligible_members, share, strictly=True))

    return Condition(f"no {units} units with more than {share} of the members against", is_met)


def no_veto(*units: str) -> Condition:
    """None of these children refuses it."""

    def is_met(seen: Electorate) -> bool:
        return all(seen.children[unit].carried for unit in units if unit in seen.children)

    return Condition(f"no veto of {', '.join(units)}", is_met)


def scaled_majority(at_none: Fraction, at_all: Fraction) -> Condition:
    """Yes is more than a share of yes and no that goes in a line from one where nobody votes to another where
    all do."""

    def is_met(seen: Electorate) -> bool:
        if seen.eligible == 0:
            return False
        part = Fraction(min(seen.votes.cast, seen.eligible), seen.eligible)
        needed = at_none + (at_all - at_none) * part
        return seen.votes.yes > 0 and share_of(
            seen.votes.yes, seen.votes.yes + seen.votes.no, needed, strictly=True
        )

    return Condition(f"majority > {at_none} to {at_all} by turnout", is_met)


def adaptive_quorum(bias: Literal["for", "against"]) -> Condition:
    """Bias against: no ÷ √turnout < yes ÷ √electorate, so that few voters need nearly all of them; bias for:
    no ÷ √electorate < yes ÷ √turnout, so that few need only some (adaptive quorum biasing of the Polkadot
    network)."""

    def is_met(seen: Electorate) -> bool:
        yes, no = seen.votes.yes, seen.votes.no
        voting = yes + no
        if bias == "against":
            return no * no * seen.eligible < yes * yes * voting
        return no * no * voting < yes * yes * seen.eligible

    return Condition(f"adaptive quorum, bias {bias}", is_met)


def decide(root: Node) -> Decided:
    """Decide every unit, from the lowest up.

    Raises:
        InvalidBallots: a tree, a weight or votes are out of limits; the unit is named.
        InvalidParameter: a passing rule has too many conditions.
    """
    _check(root)
    return _decide(root)


def _check(root: Node) -> None:
    open_nodes = [(root, 1)]
    amount = total = 0
    while open_nodes:
        node, depth = open_nodes.pop()
        amount += 1
        name = node.unit[:40]
        if depth > DEPTH_MAX:
            raise InvalidBallots(f"{name}: more than {DEPTH_MAX} levels")
        if amount > NODES_MAX:
            raise InvalidBallots(f"more than {NODES_MAX} units")
        if len({child.unit for child in node.children}) < len(node.children):
            raise InvalidBallots(f"{name}: two children have one name")
        for votes in (node.own, node.delegates):
            if min(votes.yes, votes.no, votes.abstain) < 0:
                raise InvalidBallots(f"{name}: votes are 0 or more")
        if node.own.cast > node.eligible:
            raise InvalidBallots(f"{name}: {node.own.cast} votes of {node.eligible} eligible")
        if node.weight < 0 or (node.transmission == "free" and node.delegates.cast > node.weight):
            raise InvalidBallots(f"{name}: {node.delegates.cast} delegates voted of {node.weight}")
        total += node.eligible + node.weight
        if total > WEIGHT_MAX:
            raise InvalidBallots(f"{name}: all weights together are more than {WEIGHT_MAX}")
        if sum(1 for _ in _conditions(node.rule)) > CONDITIONS_MAX:
            raise InvalidParameter("rule", f"{name}: more than {CONDITIONS_MAX} conditions")
        open_nodes += ((child, depth + 1) for child in node.children)


def _conditions(rule: Rule) -> Iterator[Condition]:
    if isinstance(rule, Condition):
        yield rule
    else:
        for part in rule.rules:
            yield from _conditions(part)


def _passes(rule: Rule, seen: Electorate) -> bool:
    if isinstance(rule, Condition):
        return rule.is_met(seen)
    if isinstance(rule, AllOf):
        return all(_passes(part, seen) for part in rule.rules)
    return any(_passes(part, seen) for part in rule.rules)


def _decide(node: Node) -> Decided:
    children = tuple(_decide(child) for child in node.children)
    votes, members = node.own, node.own
    eligible = eligible_members = node.eligible
    seen_children: dict[str, Child] = {}
    for child, found in zip(node.children, children, strict=True):
        votes += found.transmitted
        members += found.members
        eligible_members += found.eligible_members
        eligible += found.eligible if child.transmission == "pass-through" else child.weight
        seen_children[child.unit] = Child(found.carried, found.eligible_members)
    seen = Electorate(votes, eligible, members, eligible_members, seen_children)
    carried = _passes(node.rule, seen)
    return Decided(
        node.unit,
        carried,
        votes,
        eligible,
        _transmitted(node, votes, carried),
        tuple((condition.name, condition.is_met(seen)) for condition in _conditions(node.rule)),
        members,
        eligible_members,
        children,
    )


def _transmitted(node: Node, votes: Votes, carried: bool) -> Votes:
    """What the unit's parent counts."""
    if node.transmission == "pass-through":
        return votes
    if node.transmission == "free":
        return node.delegates
    if votes.cast == 0:
        return Votes()
    if node.transmission == "split":
        return _split(node.weight, votes)
    # A bloc and delegates bound by their unit's decision vote alike; what was not carried is a no.
    return Votes(yes=node.weight) if carried else Votes(no=node.weight)


def _split(weight: int, votes: Votes) -> Votes:
    """A weight in proportion to votes, what is left over to the largest remainders: of equal ones to no, then
    to abstention, so that nothing is carried by rounding."""
    shares = {"no": votes.no, "abstain": votes.abstain, "yes": votes.yes}
    parts = {name: weight * share // votes.cast for name, share in shares.items()}
    order = sorted(shares, key=lambda name: -(weight * shares[name] % votes.cast))
    for name in order[: weight - sum(parts.values())]:
        parts[name] += 1
    return Votes(**parts)
