"""Small inputs of every reader of `reader_targets.py`, to begin a search with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from icn_tally import plain_decision, runoff, scores, scottish_stv, tallies
from icn_tally.polls.commitments import ballot_bytes
from icn_tally.tallies import read_parameters


def written(*forms: object) -> tuple[bytes, ...]:
    return tuple(json.dumps(form, separators=(",", ":"), ensure_ascii=False).encode() for form in forms)


BLT: Final = b'3 2\n4 1 2 0\n2 3 0\n1 0\n0\n"Ana"\nBert # the second\n"C"\nBoard\n'
OPTIONS: Final = b"4 1\n-4\n[nick a b c d]\n[withdrawn c]\n[tie d c b a]\n2 a=2 4 0\n1 c b 0\n0\nA\nB\nC\nD\n"
HEAD: Final = (
    b"# TITLE: Board\n# DATA TYPE: %s\n# NUMBER ALTERNATIVES: 3\n# NUMBER VOTERS: 5\n"
    b"# NUMBER UNIQUE ORDERS: 2\n# ALTERNATIVE NAME 1: Ana\n"
    b"# ALTERNATIVE NAME 2: Bert\n# ALTERNATIVE NAME 3: C\n"
)
ORDERS: Final = {
    "soc": b"3: 1,2,3\n2: 3,1,2\n",
    "soi": b"3: 1,2\n2: 3\n",
    "toc": b"3: 1,{2,3}\n2: {1,2,3}\n",
    "toi": b"3: {3,2}, 1\n2: {1, 2}\n",
}
RECORDS: Final = (
    b"rank1,rank2,rank3\nAna,Bert,undervote\novervote,Ana,\nUWI,UWI,Bert\n",
    b'count,rank1,rank2\n3,"Ana",Bert\n2,,Ana\n1,Bert,Bert\n',
)
PB: Final = (
    b"META\nkey;value\nbudget;%s\nvote_type;%s\nrule;equalshares/add1\nnum_projects;3\nnum_votes;2\n"
    b"max_length;3\nmin_project_score_threshold;1\nPROJECTS\nproject_id;cost;name\nA;3.5;Well\nB;4;Path\n"
    b'C;2,25;"Tree; house"\nVOTES\nvoter_id;vote;points\n1;%s;2,1\n2;%s;3\n'
)
YAML: Final = (
    b"num_cand: 4\ncommitteesize: 2\nprofile: [[0, 1], [2], [], [0, 3]]\n",
    b"# two\ndescription: board\nnum_cand: 3\nprofile:\n- [0]\n- [1, 2]\n- &a [2]\ncompute: []\n",
)
RULES: Final[dict[str, Any]] = {
    "candidates": ["Ana", "Bert", "Cleo"],
    "labels": {"overvote": "overvote", "skipped": "undervote", "undeclared_write_in": "UWI"},
    "rules": {
        "winnerElectionMode": "singleWinnerMajority",
        "tiebreakMode": "useCandidateOrder",
        "overvoteRule": "alwaysSkipToNextRank",
        "numberOfWinners": 1,
        "decimalPlacesForVoteArithmetic": "4",
        "minimumVoteThreshold": "0",
        "maxSkippedRanksAllowed": "1",
        "maxRankingsAllowed": "max",
        "nonIntegerWinningThreshold": False,
        "hareQuota": False,
        "batchElimination": True,
        "continueUntilTwoCandidatesRemain": False,
        "exhaustOnDuplicateCandidate": False,
        "treatBlankAsUndeclaredWriteIn": False,
        "doesFirstRoundDetermineThreshold": False,
        "randomSeed": "",
        "rulesDescription": "",
    },
}
SEVERAL: Final = {
    **RULES["rules"],
    "winnerElectionMode": "multiWinnerAllowMultipleWinnersPerRound",
    "numberOfWinners": "2",
    "overvoteRule": "exhaustImmediately",
    "treatBlankAsUndeclaredWriteIn": True,
}
ID: Final = "11" * 16
POLICY: Final[dict[str, Any]] = {
    "growth_ppm": 500_000,
    "soft_ppm": 0,
    "fee_ppm": 2_500,
    "demurrage_ppm": 10_000,
    **dict.fromkeys(("growth_max_minor", "counterparty_max_minor", "fee_fixed_minor", "fee_max_minor"), "5"),
    "demurrage_free_minor": "100",
    "demurrage_days": 30,
    "fund": ID,
    "freezer": "",
}
KEYS: Final = {
    "organization": ID,
    "public_keys": {"ed25519": "22" * 32, "ml_dsa_65": "33" * 1952},
    "possession": {"ed25519": "44" * 64, "ml_dsa_65": "55" * 3309},
}
ACTIONS: Final[list[dict[str, Any]]] = [
    {"kind": "admit-member", "member": ID},
    {"kind": "end-membership", "member": ID},
    {"kind": "set-floor", "account": ID, "floor_minor": "-120000"},
    {
        "kind": "set-allowance",
        "organization": ID,
        **dict.fromkeys(("bytes_per_epoch", "signatures_per_epoch", "state_leaves"), "100"),
        **dict.fromkeys(("fuel_per_epoch", "new_leaves_per_epoch"), "0"),
    },
    {
        "kind": "set-rules",
        "threshold": 3,
        "vouches_min": 1,
        "poll_ms_min": 0,
        "quorum": "1/2",
        "majority": "2/3",
        "constitutional_quorum": "",
        "constitutional_majority": "",
    },
    {"kind": "set-unit-policy", "unit": ID, "policy": POLICY},
    {"kind": "freeze-account", "account": ID, "until_time_ms": 1_800_000_000_000},
    {"kind": "write-off", "account": ID, "amount_minor": "1250", "memo_hash": "44" * 32},
    {"kind": "close-account", "account": ID},
    {"kind": "confirm-openings", "unit": ID, "accounts": [ID, "22" * 16]},
    {"kind": "close-period", "unit": ID, "end_time_ms": 1_790_000_000_000, "digest": "55" * 32},
    {
        "kind": "change-validators",
        "validator_set_hash": "66" * 32,
        "changes": [{"kind": "add", "seat": KEYS}, {"kind": "remove", "organization": "22" * 16}],
    },
    {
        "kind": "change-validators",
        "validator_set_hash": "66" * 32,
        "changes": [{"kind": "replace", "organization": ID, "seat": KEYS}],
    },
]
DRAFT: Final[dict[str, Any]] = {
    "form": "icn/proposal-draft/v1",
    "organization": "66" * 16,
    "electorate": "members",
    "title": "Raise the floor",
    "question": "Shall Harvest Farm owe more?\nIt buys seed.",
    "rule": "plain-decision",
    "parameters": plain_decision.PlainDecision(9).to_form(),
    "candidates": [*plain_decision.CHOICES],
    "tellers": [],
    "opening_ms": 60_000,
    "actions": ACTIONS[:5],
}
ELECTION: Final = {
    **DRAFT,
    "electorate": "members-of-members",
    "rule": "scottish-stv",
    "parameters": scottish_stv.ScottishStv(1).to_form(),
    "candidates": ["Ana", "Ben", "Cleo"],
    "tellers": [ID, "22" * 16],
    "actions": [],
}
DOCUMENT: Final = {
    "form": "icn/poll-document/v1",
    "genesis": "77" * 32,
    "poll": "88" * 16,
    "draft": ELECTION,
    "lot_commitments": ["99" * 32, "aa" * 32],
    "close_time_ms": 1_800_000_000_000,
}
LEVELS: Final = {
    "unit": "federation",
    "rule": "double",
    "share": [1, 2],
    "own": [1, 0, 0],
    "eligible": 2,
    "children": [
        {"unit": "a", "transmission": "split", "weight": 3, "own": [2, 1, 1], "eligible": 5, "share": [1, 2]},
        {"unit": "b", "transmission": "free", "weight": 2, "delegates": [1, 1, 0], "rule": "turnout"},
        {"unit": "c", "transmission": "pass-through", "rule": "veto", "own": [1, 2], "eligible": 3},
    ],
}

SEEDS: Final[Mapping[str, tuple[bytes, ...]]] = {
    "blt": (BLT, OPTIONS),
    **{kind: (HEAD % kind.encode() + orders,) for kind, orders in ORDERS.items()},
    **dict.fromkeys(("csv-as-named", "csv-declared", "csv-strict"), RECORDS),
    "points": (b"count,Ana,Bert,Cleo\n3,5,-4,\n2,,7,0\n", b'"A",B\n1,1\n0,5\n'),
    "parties": (b'name,votes\n"North, upper",53\nSouth,24\nWest,23\n',),
    "pool": (
        b"name,age\nAna,old\nBert,old\nCleo,young\nDora,old\n\n"
        b"feature,value,min,max\nage,old,1,1\nage,young,1,1\n",
    ),
    "pabulib": tuple(
        PB % (budget, kind, first, chosen)
        for kind, budget, first, chosen in (
            (b"approval", b"7.5", b"A,B", b"C,A"),
            (b"choose-1", b"7", b"A", b"C"),
            (b"cumulative", b"5,5", b"A,B", b"C"),
            (b"scoring", b"7", b"B,A", b"B"),
            (b"ordinal", b"100", b"B,A", b"C,A,B"),
        )
    ),
    "approvals": YAML,
    "counting-rules": written(RULES, {**RULES, "rules": SEVERAL}),
    "draft": written(
        DRAFT,
        ELECTION,
        *({**DRAFT, "actions": ACTIONS[at : at + 3]} for at in range(5, len(ACTIONS), 3)),
    ),
    "document": written(DOCUMENT, {**DOCUMENT, "draft": DRAFT, "lot_commitments": []}),
    "decision-text": written(
        {"form": "icn/decision-text/v1", "authority": ID, "title": "Admit", "text": "A\nB"}
    ),
    "ballot": (ballot_bytes([[2], [1, 3]]), ballot_bytes([])),
    "parameters": written(
        *(
            {"rule": rule, "parameters": read_parameters(rule, given).to_form()}
            for rules, given in (
                (tallies.WITH_TRANSFERS, {"seats": 2}),
                (tallies.IN_PAIRS, {}),
                (runoff.RULES, {}),
                ((scores.APPROVAL, scores.BUCKLIN), {}),
                ((scores.SCORE, scores.STAR, scores.MAJORITY_JUDGMENT), {"highest": 5}),
                ((scores.CUMULATIVE,), {"points": 9}),
                ((scores.QUADRATIC,), {"credits": 41}),
                (tallies.OF_COMMITTEES, {"size": 2}),
            )
            for rule in rules
        ),
        {"rule": "plain-decision", "parameters": DRAFT["parameters"]},
        {"rule": "equal-shares", "parameters": {"completion": "add1", "utility": "cost"}},
        {"rule": "hamilton", "parameters": {"seats": 7, "votes": [5, 4, 4]}},
        {"rule": "adams", "parameters": {"seats": 7, "votes": [5, 4, 4]}},
    ),
    "delegations": written(
        {
            "voted": [True, False, False, False],
            "weights": [1, 2, 3, 4],
            "delegations": [
                {"voter": 1, "delegate": 0},
                {"voter": 2, "delegate": 3, "rank": 1, "scope": ["food"], "expires_at": 10},
                {"voter": 2, "delegate": 1, "rank": 2},
                {"voter": 3, "delegate": 2},
            ],
            "topic": ["food", "seed"],
            "at": 5,
            "depth_max": 3,
            "weight_max": 7,
        }
    ),
    "levels": written(LEVELS),
    "panel": written(
        {
            "rows": [{"age": "old"}, {"age": "young"}, {"age": "young"}, {"age": "old"}],
            "quotas": {"age": {"old": [1, 1], "young": [0, 2]}},
            "size": 2,
        }
    ),
}
