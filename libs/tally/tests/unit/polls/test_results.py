"""Results: the same for whoever recounts, and different as soon as anything is missing or changed."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn.ledger.v1.transaction_pb2 import AuthorityRules
from icn_crypto.hashing import domain_hash
from icn_tally.plain_decision import PlainDecision, Share
from icn_tally.polls.commitments import Opening, ballot_bytes, commitments_root, lot_beacon, read_ballot
from icn_tally.polls.decisions import (
    DECISION_LIFETIME_MS,
    countersignatures_needed,
    decision_bytes,
    decision_id,
    decision_of,
)
from icn_tally.polls.documents import read_draft
from icn_tally.polls.forms import InvalidDocument
from icn_tally.polls.results import (
    LOTS_MISSING,
    NO_VALID_BALLOT,
    TOO_MANY_BALLOTS,
    PollResult,
    count_poll,
    valid_secrets,
)
from icn_tally.runoff import COOMBS
from icn_tally.tallies import IN_STAGES, read_parameters

from .samples import (
    GENESIS,
    POLL,
    TELLERS,
    document_of,
    election_draft,
    leaf_of,
    opening,
    plain_draft,
    voter,
    votes,
)

YES, NO, ABSTAIN, BLANK = [[1]], [[2]], [[3]], []
Cast = Sequence[Sequence[Sequence[int]]]


def counted(*rankings: Sequence[Sequence[int]], opened: int | None = None, eligible: int = 9) -> PollResult:
    leaves, openings = votes(*rankings)
    return count_poll(document_of(plain_draft(eligible)), leaves, openings[:opened], {})


def test_a_plain_decision_is_counted_and_names_what_is_missing() -> None:
    result = counted(YES, YES, NO, BLANK, YES, opened=4)
    form = json.loads(result.to_bytes())
    assert form["ballots"] == {"cast": 5, "opened": 4, "malformed": 0, "unopened": 1}
    assert form["unopened"] == [voter(5).hex()]
    assert (form["tally"]["result"]["yes"], form["is_carried"], form["lots"]["state"]) == (
        *("2", True, "not-needed"),
    )


def test_the_result_depends_on_neither_order_nor_openings_of_nobody() -> None:
    leaves, openings = votes(YES, NO, YES, ABSTAIN)
    document = document_of(plain_draft())
    result = count_poll(document, leaves, openings, {}).to_bytes()
    strangers = [opening(77, YES), Opening(voter(1), bytes(32), ballot_bytes(NO))]
    assert count_poll(document, reversed(leaves), [*strangers, *reversed(openings)], {}).to_bytes() == result


rankings = st.lists(st.sampled_from([YES, NO, ABSTAIN, BLANK, [[1, 2]]]), min_size=1, max_size=9)


@given(rankings, st.data())
def test_any_opening_that_is_dropped_or_changed_is_noticed(cast: Cast, data: st.DataObject) -> None:
    leaves, openings = votes(*cast)
    document = document_of(plain_draft())
    whole = count_poll(document, leaves, openings, {})
    place = data.draw(st.integers(0, len(openings) - 1))
    kept = [*openings[:place], *openings[place + 1 :]]
    other = data.draw(st.sampled_from([YES, NO, ABSTAIN, BLANK, [[1, 2]]]).filter(lambda r: r != cast[place]))
    forged = Opening(openings[place].voter, openings[place].salt, ballot_bytes(other))
    for shown in (kept, [*kept, forged]):
        recounted = count_poll(document, leaves, shown, {})
        assert recounted.unopened == (openings[place].voter,)
        assert recounted.to_bytes() != whole.to_bytes()
        assert recounted.digest() != whole.digest()
    fewer = [*leaves[:place], *leaves[place + 1 :]]
    assert count_poll(document, fewer, openings, {}).to_bytes() != whole.to_bytes()


@given(rankings, st.integers(0, 9), st.sampled_from(["cast", "yes-no", "yes"]), st.data())
def test_unopened_ballots_are_safe_only_when_no_way_of_voting_changes_the_outcome(
    cast: Cast, missing: int, quorum_counts: str, data: st.DataObject
) -> None:
    eligible = len(cast) + missing
    rule = PlainDecision(
        eligible,
        quorum=Share("at-least", data.draw(st.integers(0, 4)), 4),
        quorum_counts=quorum_counts,  # type: ignore[arg-type]
        majority_of=data.draw(st.sampled_from(["yes-no", "cast", "eligible"])),
    )
    document = document_of(plain_draft(parameters=rule.to_form()))
    ways = [[way] * missing for way in (YES, NO, ABSTAIN, BLANK)]
    ways.append(
        data.draw(st.lists(st.sampled_from([YES, NO, ABSTAIN, BLANK]), min_size=missing, max_size=missing))
    )
    outcomes = set()
    for way in ways:
        leaves, openings = votes(*cast, *way)
        outcomes.add(count_poll(document, leaves, openings, {}).is_carried)
        partly = count_poll(document, leaves, openings[: len(cast)], {})
    if len(outcomes | {partly.is_carried}) > 1:
        assert partly.could_unopened_decide
    if missing == 0:
        assert not partly.could_unopened_decide


def test_more_ballots_than_voters_are_not_counted() -> None:
    result = counted(YES, YES, YES, eligible=2)
    assert (result.form["fault"], result.is_carried, result.is_complete) == (TOO_MANY_BALLOTS, False, True)


MALFORMED = [
    b"",
    b"{}",
    b'{"form":"icn/ballot/v1","ranking":[[1]] }',
    b'{"form":"icn/ballot/v1","ranking":[[4]]}',
    b'{"form":"icn/ballot/v1","ranking":[[0]]}',
    b'{"form":"icn/ballot/v1","ranking":[[2,1]]}',
    b'{"form":"icn/ballot/v1","ranking":[[1],[1]]}',
    b'{"form":"icn/ballot/v1","ranking":[[]]}',
    b'{"form":"icn/ballot/v1","ranking":[1]}',
    b'{"form":"icn/ballot/v1","ranking":[["1"]]}',
    b'{"form":"icn/ballot/v1","ranking":[[true]]}',
    b'{"form":"icn/ballot/v1","ranking":[[1]],"x":1}',
    b'{"form":"icn/ballot/v2","ranking":[[1]]}',
    b"x" * 4_097,
]


@pytest.mark.parametrize("raw", MALFORMED)
def test_a_ballot_that_is_none_is_malformed_and_counts_nowhere(raw: bytes) -> None:
    with pytest.raises(InvalidDocument):
        read_ballot(raw, 3)
    openings = [opening(1, YES), opening(2, raw=raw)]
    result = count_poll(document_of(plain_draft()), map(leaf_of, openings), openings, {})
    assert result.form["malformed"] == [voter(2).hex()]
    assert result.form["ballots"] == {"cast": 2, "opened": 2, "malformed": 1, "unopened": 0}
    assert result.is_carried


def election(cast: Cast, secrets: dict[bytes, bytes], tellers: bool = True) -> PollResult:
    leaves, openings = votes(*cast)
    draft = election_draft() if tellers else election_draft(tellers=())
    return count_poll(document_of(draft), leaves, openings, secrets)


TIE = [[[1]], [[2]], [[3]]]


def test_an_election_without_a_tie_uses_no_secret() -> None:
    cast = [[[2], [1]], [[2]], [[1]]]
    assert election(cast, {}).to_bytes() == election(cast, TELLERS).to_bytes()
    assert election(cast, {}).winners == (2,)


def test_a_tie_is_decided_by_all_secrets_together_and_by_nothing_less() -> None:
    drawn = election(TIE, TELLERS)
    assert (drawn.is_complete, drawn.is_carried, len(drawn.winners)) == (True, True, 1)
    lots = drawn.form["lots"]
    assert isinstance(lots, dict)
    leaves, _ = votes(*TIE)
    beacon = lot_beacon(GENESIS, POLL, commitments_root(leaves), [TELLERS[t] for t in sorted(TELLERS)])
    assert lots == {
        "state": "drawn",
        "beacon": beacon.hex(),
        "secrets": [TELLERS[t].hex() for t in sorted(TELLERS)],
    }
    first = min(TELLERS)
    for secrets in ({}, {k: v for k, v in TELLERS.items() if k != first}, {**TELLERS, first: bytes(32)}):
        lacking = election(TIE, secrets)
        assert (lacking.form["fault"], lacking.is_complete, lacking.winners) == (LOTS_MISSING, False, ())
        named = lacking.form["lots"]
        assert isinstance(named, dict)
        assert first.hex() in named["tellers"]  # type: ignore[operator]


def test_the_order_of_lots_does_not_depend_on_which_ballots_are_opened() -> None:
    leaves, openings = votes(*TIE, [[9, 1]])
    openings[3] = opening(4, raw=b"spoilt")
    leaves[3] = leaf_of(openings[3])
    document = document_of(election_draft())
    with_all = count_poll(document, leaves, openings, TELLERS).form["lots"]
    assert with_all == count_poll(document, leaves, openings[:3], TELLERS).form["lots"]


@pytest.mark.parametrize("rule", IN_STAGES)
def test_elections_are_counted_by_each_rule_in_stages_and_draw_lots_only_for_ties(rule: str) -> None:
    seats = {} if rule == COOMBS else {"seats": 1}
    draft = election_draft(rule=rule, parameters=read_parameters(rule, seats).to_form())
    assert read_draft(draft.to_bytes()).seats == 1
    leaves, openings = votes([[2], [1], [3]], [[2], [3], [1]], [[1], [2], [3]])
    result = count_poll(document_of(draft), leaves, openings, {})
    assert (result.winners, result.form["lots"]) == ((2,), {"state": "not-needed"})
    leaves, openings = votes(*TIE)
    assert count_poll(document_of(draft), leaves, openings, {}).form["fault"] == LOTS_MISSING
    drawn = count_poll(document_of(draft), leaves, openings, TELLERS)
    assert (drawn.is_carried, len(drawn.winners)) == (True, 1)
    assert drawn.to_bytes() == count_poll(document_of(draft), leaves, openings[::-1], TELLERS).to_bytes()


def test_one_ballot_with_many_orders_voids_no_count_by_meek() -> None:
    names = [f"c{number}" for number in range(1, 8)]
    draft = election_draft(names, rule="meek", parameters=read_parameters("meek", {"seats": 2}).to_form())
    leaves, openings = votes(
        [[1], [2]], [[2], [1]], [[1, 2, 3, 4], [5]], [[1, 2, 3, 4, 5]], [[1, 2, 3], [4, 5, 6]]
    )
    result = count_poll(document_of(draft), leaves, openings, {})
    assert (result.winners, result.form["malformed"]) == ((1, 2), [voter(4).hex(), voter(5).hex()])
    stv = election_draft(names)
    assert count_poll(document_of(stv), leaves, openings, {}).form["malformed"] == []


def test_a_tie_without_tellers_can_never_be_completed() -> None:
    result = election(TIE, {}, tellers=False)
    assert (result.is_complete, result.form["lots"]) == (False, {"state": "missing", "tellers": []})


def test_an_election_without_a_valid_ballot_has_a_result_that_carries_nothing() -> None:
    for cast in ([], [[]], [[[1, 2]]]):
        result = election(cast, TELLERS)
        assert (result.form["fault"], result.is_complete, result.is_carried) == (NO_VALID_BALLOT, True, False)


def test_any_unopened_ballot_could_decide_an_election() -> None:
    leaves, openings = votes([[1]], [[1]], [[1]])
    assert count_poll(document_of(election_draft()), leaves, openings[:2], {}).could_unopened_decide
    assert not count_poll(document_of(election_draft()), leaves, openings, {}).could_unopened_decide


def test_a_secret_that_was_not_committed_to_is_passed_over() -> None:
    document = document_of(election_draft())
    assert valid_secrets(document, TELLERS) == TELLERS
    assert valid_secrets(document, {teller: bytes(32) for teller in TELLERS} | {b"x" * 16: bytes(32)}) == {}


def test_a_decision_enacts_what_was_carried_and_only_records_what_was_not() -> None:
    document = document_of(plain_draft())
    carried, lost = counted(YES, YES, NO), counted(NO)
    decision = decision_of(document, carried)
    assert list(decision.actions) == list(document.draft.actions)
    assert decision.subject == carried.digest()
    assert decision.expire_time_ms == document.close_time_ms + 60_000 + DECISION_LIFETIME_MS
    assert not decision_of(document, lost).actions
    body = decision_bytes(decision)
    assert decision_id(GENESIS, body) == domain_hash("icn/decision-id/v1", GENESIS, body)


@pytest.mark.parametrize(
    ("members", "needed"), [(1, 1), (2, 2), (3, 3), (4, 3), (5, 4), (6, 5), (7, 5), (64, 43)]
)
def test_more_than_two_thirds_must_countersign(members: int, needed: int) -> None:
    assert countersignatures_needed(AuthorityRules(), members) == needed
    assert 3 * needed > 2 * members
    assert 3 * (needed - 1) <= 2 * members
    for threshold in (1, 2, 5, 64):
        raised = countersignatures_needed(AuthorityRules(threshold=threshold), members)
        assert raised == max(needed, min(threshold, members)), "a threshold never lowers it"
