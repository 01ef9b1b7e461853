"""One door to the explanation of whatever `tally` counts."""

from __future__ import annotations

from icn_tally.ballots import Ballots
from icn_tally.committees.elect import Elected
from icn_tally.comparisons import Compared
from icn_tally.explanations.shares import explain_committee
from icn_tally.explanations.stages import explain_stages
from icn_tally.explanations.winners import explain_comparison, explain_decision, explain_scores
from icn_tally.explanations.words import told_apart
from icn_tally.scores import Scored
from icn_tally.sheets import Sheet
from icn_tally.stages import Count
from icn_tally.tallies import Outcome


def explain(outcome: Outcome, ballots: Ballots) -> Sheet:
    """A result of these ballots for people."""
    names = told_apart(ballots.candidates)
    match outcome:
        case Count():
            return explain_stages(outcome, names)
        case Compared():
            return explain_comparison(outcome, names)
        case Scored():
            return explain_scores(outcome, names)
        case Elected():
            return explain_committee(outcome, ballots, names)
    return explain_decision(outcome)
