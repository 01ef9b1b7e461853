"""Comparisons in pairs, scores, and plain decisions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from icn_tally import comparisons, scores
from icn_tally.comparisons import Compared
from icn_tally.explanations.words import amount, named
from icn_tally.plain_decision import Decision, Share
from icn_tally.scores import Scored
from icn_tally.sheets import Row, Sheet

PAIRS_TOLD_MAX: Final = 50
"""In sentences; the table has them all."""

_COMPARED: Final[Mapping[str, str]] = {
    comparisons.BORDA: "A ballot counts 1 for a candidate for each other that it ranks below, and 1 against "
    "it for each above; the highest sum wins.",
    comparisons.COPELAND: "A candidate has 2 points for each other whom it beats in the pair, and 1 for each "
    "tie; the most points win.",
    comparisons.MINIMAX: "A candidate's score is minus its heaviest defeat in a pair; the highest wins.",
    comparisons.SCHULZE: "A chain of victories is as strong as its weakest; who has a stronger chain to each "
    "other, or one as strong, than back, wins. The score is how many have a weaker one back.",
    comparisons.RANKED_PAIRS: "Victories in pairs are locked from the heaviest down, except where one would "
    "close a circle; who has no locked victory against it wins.",
    comparisons.SPLIT_CYCLE: "From every circle of victories its lightest are dropped; who has none left "
    "against it wins.",
    comparisons.KEMENY: "The winner leads an order of all candidates with which the ballots agree in most "
    "pairs; the score is in how many.",
    comparisons.NANSON: "In each round all below the mean Borda score of those left are excluded.",
    comparisons.BALDWIN: "In each round who has the lowest Borda score among those left is excluded.",
}
_SCORED: Final[Mapping[str, str]] = {
    scores.APPROVAL: "A candidate's score is how many ballots approve of it.",
    scores.SCORE: "A candidate's score is the sum of what ballots give it, 0 to {limit} each.",
    scores.STAR: "Ballots give 0 to {limit} each; the two with the highest sums are compared, and whom more "
    "ballots score higher wins.",
    scores.MAJORITY_JUDGMENT: "Ballots grade from 0 to {limit}; a candidate's score is its middle grade: at "
    "least half of the ballots give it or more; between equal ones the next grades from the middle decide.",
    scores.BUCKLIN: "First choices are counted; without a majority second ones are added, and so on.",
    scores.CUMULATIVE: "A ballot has up to {limit} points to give; a candidate's score is the sum.",
    scores.QUADRATIC: "A ballot has {limit} credits, and pays the square of its votes for each one; its "
    "score is the sum of votes for and against.",
}


def explain_comparison(compared: Compared, names: Sequence[str]) -> Sheet:
    """How the winners stand against each other candidate, what was locked or excluded, and the lots; a column
    for each candidate with how many ballots put the row's above it."""
    has_scores = len(compared.scores) == len(compared.candidates)
    rows = tuple(
        Row(
            names[number - 1],
            (*map(str, above), *([str(compared.scores[place])] if has_scores else [])),
            "elected" if number in compared.winners else "",
        )
        for place, (number, above) in enumerate(zip(compared.candidates, compared.above, strict=True))
    )
    over = [f"above {names[number - 1]}" for number in compared.candidates]
    header = (*over, "score") if has_scores else tuple(over)
    return Sheet(tuple(_compared_told(compared, names)), header, rows)


def _compared_told(compared: Compared, names: Sequence[str]) -> Iterator[str]:
    yield _COMPARED[compared.parameters.rule]
    for winner in compared.winners[:PAIRS_TOLD_MAX]:
        yield _pairs_told(compared, winner, names)
    for round_number, excluded in enumerate(compared.rounds, start=1):
        yield f"Round {round_number} excludes {named(excluded, names)}."
    place_of = {number: place for place, number in enumerate(compared.candidates)}
    for winner, loser in compared.locked[:PAIRS_TOLD_MAX]:
        one, other = place_of[winner], place_of[loser]
        yield (
            f"The victory of {names[winner - 1]} over {names[loser - 1]}, {compared.above[one][other]} to "
            f"{compared.above[other][one]}, stands."
        )
    if len(compared.locked) > PAIRS_TOLD_MAX:
        yield f"So do {amount(len(compared.locked) - PAIRS_TOLD_MAX, 'other')}."
    for tie in compared.ties:
        if tie.candidates:
            yield f"Nobody stands above {named(tie.candidates, names)}: a lot decided between them."
        else:
            told = [f"{names[winner - 1]} over {names[loser - 1]}" for winner, loser in tie.pairs]
            yield f"A lot put victories of one weight in order: {', '.join(told)}."
    if len(compared.winners) == 1:
        yield f"Elected: {named(compared.winners, names)}."
    else:
        yield f"Tied for the first place: {named(compared.winners, names)}."


def _pairs_told(compared: Compared, winner: int, names: Sequence[str]) -> str:
    here = compared.candidates.index(winner)
    pairs = [
        (number, compared.above[here][place], compared.above[place][here])
        for place, number in enumerate(compared.candidates)
        if number != winner
    ]
    name, lost = names[winner - 1], [pair for pair in pairs if pair[1] <= pair[2]]
    if pairs and not lost:
        closest = min(pairs, key=lambda pair: pair[1] - pair[2])
        return (
            f"{name} beats each other candidate in the pair; the closest is {names[closest[0] - 1]}, "
            f"{closest[1]} to {closest[2]}."
        )
    told = [
        f"{'loses to' if more > fewer else 'ties with'} {names[number - 1]}, {fewer} to {more}"
        for number, fewer, more in lost[:PAIRS_TOLD_MAX]
    ]
    beaten = f"{name} beats {amount(len(pairs) - len(lost), 'other')} in the pair"
    return f"{beaten}; it {', '.join(told)}." if told else f"{beaten}."


def explain_scores(scored: Scored, names: Sequence[str]) -> Sheet:
    """The highest scores, who was compared at the end, and the lots; a column with the scores."""
    rows = tuple(
        Row(names[number - 1], (str(score),), "elected" if number in scored.winners else "")
        for number, score in zip(scored.candidates, scored.scores, strict=True)
    )
    return Sheet(tuple(_scored_told(scored, names)), ("score",), rows)


def _scored_told(scored: Scored, names: Sequence[str]) -> Iterator[str]:
    yield _SCORED[scored.parameters.rule].format(limit=scored.parameters.limit)
    if scored.invalid:
        yield f"Invalid, and counted nowhere: {amount(scored.invalid, 'ballot')} beyond this limit."
    score_of = dict(zip(scored.candidates, scored.scores, strict=True))
    elected = ", ".join(f"{names[number - 1]} has {score_of[number]}" for number in scored.winners)
    others = [number for number in scored.candidates if number not in scored.winners]
    if others:
        best = max(others, key=score_of.__getitem__)
        yield f"{elected}; of the others {names[best - 1]} has the most, {score_of[best]}."
    if scored.finalists:
        (one, for_one), (other, for_other) = scored.finalists
        yield (
            f"{names[one - 1]} and {names[other - 1]} have the highest sums; {amount(for_one, 'ballot')} "
            f"score {names[one - 1]} higher, {for_other} {names[other - 1]}."
        )
    for tie in scored.ties:
        yield f"{named(tie, names)} were tied: a lot decided between them."
    yield f"Elected: {named(scored.winners, names)}."


def explain_decision(decision: Decision) -> Sheet:
    """Both comparisons with their numbers; a row for each choice and for what counts nowhere."""
    counted = {
        "yes": decision.yes,
        "no": decision.no,
        "abstain": decision.abstain,
        "blank": decision.blank,
        "invalid": decision.invalid,
    }
    rows = tuple(Row(name, (str(votes),)) for name, votes in counted.items())
    rule = decision.parameters
    turnout = {"cast": "yes, no or abstain", "yes-no": "yes or no", "yes": "yes"}[rule.quorum_counts]
    base = {"yes-no": "yes and no", "cast": "all cast", "eligible": "all eligible"}[rule.majority_of]
    uncounted = f"; {decision.blank} blank and {decision.invalid} invalid ones count nowhere"
    sentences = (
        f"{decision.yes} yes, {decision.no} no, {decision.abstain} abstain"
        f"{uncounted if decision.blank or decision.invalid else ''}.",
        f"Quorum {_met(decision.has_quorum)}: {decision.turnout} of {rule.eligible} eligible said {turnout}; "
        f"needed is {_share(rule.quorum)}.",
        f"Majority {_met(decision.has_majority)}: {decision.yes} yes of {decision.base} ({base}); needed is "
        f"{_share(rule.majority)}.",
        "Carried." if decision.is_carried else "Not carried.",
    )
    return Sheet(sentences, ("votes",), rows)


def _met(is_met: bool) -> str:
    return "reached" if is_met else "missed"


def _share(share: Share) -> str:
    words = "more than" if share.comparison == "more-than" else "at least"
    return f"{words} {share.numerator}/{share.denominator}"
