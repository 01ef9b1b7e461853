"""Drafts, poll documents and texts: what is read is what was written, and nothing else is."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from icn.ledger.v1.transaction_pb2 import AllowanceLimits
from icn_crypto.jcs import canonicalize
from icn_tally.polls.actions import (
    FUEL_MAX,
    POLL_MS_MIN_MAX,
    QUANTITY_MAX,
    SHARES,
    describe_action,
    read_actions,
    write_action,
)
from icn_tally.polls.documents import (
    CANDIDATES_MAX,
    OPENING_MS_MAX,
    DecisionText,
    checked_draft,
    read_document,
    read_draft,
    read_text,
)
from icn_tally.polls.forms import InvalidDocument

from .credit_samples import CREDIT_ACTIONS
from .samples import ACTION, FEDERATION, GENESIS, TELLERS, document_of, election_draft, plain_draft

RULES: dict[str, Any] = {
    "kind": "set-rules",
    "threshold": 0,
    "vouches_min": 2,
    "poll_ms_min": 0,
    "quorum": "",
    "majority": "1/2",
    "constitutional_quorum": "2/3",
    "constitutional_majority": "",
}
SEAT: dict[str, Any] = {
    "organization": "ee" * 16,
    "public_keys": {"ed25519": "01" * 32, "ml_dsa_65": "02" * 1952},
    "possession": {"ed25519": "03" * 64, "ml_dsa_65": "04" * 3309},
}
CHANGES: list[dict[str, Any]] = [
    {"kind": "add", "seat": SEAT},
    {"kind": "remove", "organization": "aa" * 16},
    {"kind": "replace", "organization": "bb" * 16, "seat": SEAT},
]
VALIDATORS: dict[str, Any] = {
    "kind": "change-validators",
    "validator_set_hash": "ff" * 32,
    "changes": CHANGES,
}
ALLOWANCE: dict[str, Any] = {
    "kind": "set-allowance",
    "organization": "dd" * 16,
    "bytes_per_epoch": "1048576",
    "signatures_per_epoch": "5000",
    "state_leaves": "100",
    "fuel_per_epoch": "0",
    "new_leaves_per_epoch": "250",
}
ACTIONS = [
    ACTION,
    VALIDATORS,
    {"kind": "activate-protocol", "protocol_version": 2},
    {"kind": "admit-member", "member": "bb" * 16},
    {"kind": "end-membership", "member": "cc" * 16},
    ALLOWANCE,
    RULES,
    {**RULES, "poll_ms_min": 60_000, "quorum": "0/1", "constitutional_majority": "3/4"},
    *CREDIT_ACTIONS,
]


@pytest.mark.parametrize("draft", [plain_draft(), election_draft(), plain_draft(actions=ACTIONS)])
def test_a_draft_reads_back_as_it_was_written(draft: Any) -> None:
    assert read_draft(draft.to_bytes()) == draft
    document = document_of(draft)
    assert read_document(document.to_bytes()) == document


def test_every_action_is_written_as_it_was_read_and_can_be_told() -> None:
    actions = read_actions(ACTIONS, "actions")
    assert [write_action(action) for action in actions] == ACTIONS
    assert len({describe_action(action) for action in actions}) == len(ACTIONS)


def test_an_allowance_has_every_limit_that_the_ledger_has() -> None:
    (action,) = read_actions([ALLOWANCE], "actions")
    limits = action.set_allowance.limits
    assert {"kind", "organization", *limits.DESCRIPTOR.fields_by_name} == set(ALLOWANCE)
    for name in limits.DESCRIPTOR.fields_by_name:
        assert getattr(limits, name) == int(ALLOWANCE[name])
        assert f"{name.replace('_', ' ')} {ALLOWANCE[name]}" in describe_action(action)
        without = {key: value for key, value in ALLOWANCE.items() if key != name}
        with pytest.raises(InvalidDocument) as refusal:
            read_actions([without], "actions")
        assert refusal.value.place == f"actions[0].{name}"


@pytest.mark.parametrize("name", AllowanceLimits.DESCRIPTOR.fields_by_name)
def test_limits_of_an_allowance_end_where_the_ledger_ends_them(name: str) -> None:
    highest = FUEL_MAX if name == "fuel_per_epoch" else QUANTITY_MAX
    (action,) = read_actions([{**ALLOWANCE, name: str(highest)}], "actions")
    assert getattr(action.set_allowance.limits, name) == highest
    with pytest.raises(InvalidDocument):
        read_actions([{**ALLOWANCE, name: str(highest + 1)}], "actions")


def test_each_change_of_the_validators_is_told() -> None:
    told = describe_action(read_actions([VALIDATORS], "actions")[0])
    for part in (
        f"add principals/{'ee' * 16}",
        f"remove principals/{'aa' * 16}",
        f"put principals/{'ee' * 16} in the place of principals/{'bb' * 16}",
    ):
        assert part in told
    same = {"kind": "replace", "organization": "ee" * 16, "seat": SEAT}
    told = describe_action(read_actions([{**VALIDATORS, "changes": [same]}], "actions")[0])
    assert told == f"change the validators: give principals/{'ee' * 16} other keys"


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"kind": "swap"}, ".kind"),
        ([], ".kind"),
        ({"kind": "add"}, ".seat"),
        ({"kind": "remove", "organization": "aa"}, ".organization"),
        ({"kind": "remove", "organization": "aa" * 16, "seat": SEAT}, ".seat"),
        ({"kind": "add", "seat": {**SEAT, "genesis": "00"}}, ".seat.genesis"),
        (
            {"kind": "add", "seat": {**SEAT, "public_keys": {"ed25519": "01" * 32}}},
            ".seat.public_keys.ml_dsa_65",
        ),
        (
            {"kind": "add", "seat": {**SEAT, "possession": {**SEAT["possession"], "ed25519": "03" * 63}}},
            ".seat.possession.ed25519",
        ),
    ],
)
def test_a_change_of_the_validators_that_is_none_is_refused(change: Any, place: str) -> None:
    with pytest.raises(InvalidDocument) as refusal:
        read_actions([{**VALIDATORS, "changes": [change]}], "actions")
    assert refusal.value.place == f"actions[0].changes[0]{place}"


@pytest.mark.parametrize("changes", [[], [CHANGES[1]] * 17, None, "all"])
def test_so_many_changes_of_the_validators_are_refused(changes: Any) -> None:
    with pytest.raises(InvalidDocument, match="1 to 16"):
        read_actions([{**VALIDATORS, "changes": changes}], "actions")


@pytest.mark.parametrize(
    "change",
    [
        {"poll_ms_min": -1},
        {"poll_ms_min": POLL_MS_MIN_MAX + 1},
        *({name: value} for name in SHARES for value in ("2/2", "1/1001", "1", "01/2", "-1/2", "1/0", None)),
        {"majority": "499/999"},
        {"constitutional_majority": "0/1"},
    ],
    ids=str,
)
def test_rules_out_of_their_limits_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidDocument) as refusal:
        read_actions([{**RULES, **change}], "actions")
    (name,) = change
    assert refusal.value.place == f"actions[0].{name}"


def test_the_digest_changes_with_every_part_of_the_document() -> None:
    digests = {
        document_of(draft).digest()
        for draft in (
            plain_draft(),
            plain_draft(title="Another"),
            plain_draft(eligible=10),
            plain_draft(actions=()),
            plain_draft(opening_ms=0),
            election_draft(),
        )
    }
    assert len(digests) == 6


WRONG: list[tuple[str, Callable[[dict[str, Any]], Any], str]] = [
    ("unknown member", lambda form: form.update(more=1), "more"),
    ("missing member", lambda form: form.pop("title"), "title"),
    ("another form", lambda form: form.update(form="icn/proposal-draft/v2"), "form"),
    ("an id too short", lambda form: form.update(organization="ab"), "organization"),
    ("an id in capitals", lambda form: form.update(organization="AB" * 16), "organization"),
    ("an electorate of others", lambda form: form.update(electorate="everybody"), "electorate"),
    ("an empty title", lambda form: form.update(title=""), "title"),
    ("a title of two lines", lambda form: form.update(title="a\nb"), "title"),
    ("a title too long", lambda form: form.update(title="a" * 201), "title"),
    ("a question with a bell", lambda form: form.update(question="a\x07"), "question"),
    ("a question too long", lambda form: form.update(question="a" * 8_001), "question"),
    ("a question that is none", lambda form: form.update(question=3), "question"),
    ("an unknown rule", lambda form: form.update(rule="borda"), "rule"),
    ("a parameter left out", lambda form: form["parameters"].pop("quorum"), "parameters"),
    ("no electorate", lambda form: form["parameters"].update(eligible=0), "parameters.eligible"),
    ("other choices", lambda form: form.update(candidates=["yes", "no"]), "candidates"),
    ("tellers of a plain decision", lambda form: form.update(tellers=["aa" * 16]), "tellers"),
    ("no time", lambda form: form.update(opening_ms=-1), "opening_ms"),
    ("too much time", lambda form: form.update(opening_ms=OPENING_MS_MAX + 1), "opening_ms"),
    ("a time that is true", lambda form: form.update(opening_ms=True), "opening_ms"),
    ("too many actions", lambda form: form.update(actions=[ACTION] * 17), "actions"),
    ("an action of no kind", lambda form: form.update(actions=[{}]), "actions[0].kind"),
    ("founding", lambda form: form.update(actions=[{"kind": "found-authority"}]), "actions[0].kind"),
    (
        "a floor above zero",
        lambda form: form.update(actions=[{**ACTION, "floor_minor": "1"}]),
        "actions[0].floor_minor",
    ),
    (
        "a floor as a number",
        lambda form: form.update(actions=[{**ACTION, "floor_minor": -5}]),
        "actions[0].floor_minor",
    ),
    (
        "a floor with a zero before it",
        lambda form: form.update(actions=[{**ACTION, "floor_minor": "-05"}]),
        "actions[0].floor_minor",
    ),
]


@pytest.mark.parametrize(("_name", "spoil", "place"), WRONG, ids=[wrong[0] for wrong in WRONG])
def test_a_wrong_draft_is_refused_with_its_place(_name: str, spoil: Any, place: str) -> None:
    form = json.loads(plain_draft().to_bytes())
    spoil(form)
    with pytest.raises(InvalidDocument) as refused:
        read_draft(canonicalize(form))
    assert refused.value.place == place


@pytest.mark.parametrize(
    ("rule", "parameters", "place"),
    [
        ("meek", {"seats": 4}, "parameters.seats"),
        ("irv", {"first_excluded": [1]}, "parameters.first_excluded"),
        ("wigm", {"seats": 1, "quota": "hare"}, "parameters.quota"),
        ("plurality", {"places": 5}, "parameters.places"),
    ],
)
def test_an_election_by_any_rule_is_held_to_its_parameters(
    rule: str, parameters: dict[str, Any], place: str
) -> None:
    form = json.loads(election_draft().to_bytes())
    form |= {"rule": rule, "parameters": parameters}
    with pytest.raises(InvalidDocument) as refused:
        read_draft(canonicalize(form))
    assert refused.value.place == place
    form["parameters"] = {"seats": 1} if rule != "coombs" else {}
    with pytest.raises(InvalidDocument, match="left to defaults"):
        read_draft(canonicalize(form))


def test_an_election_names_no_actions_and_orders_its_tellers() -> None:
    for changes, place in (
        ({"actions": [ACTION]}, "actions"),
        ({"tellers": tuple(sorted(TELLERS, reverse=True))}, "tellers"),
        ({"tellers": (bytes(16), bytes(16))}, "tellers"),
        ({"candidates": ("Ana", "")}, "candidates[1]"),
        ({"candidates": tuple(str(n) for n in range(CANDIDATES_MAX + 1))}, "candidates"),
        ({"parameters": {"seats": 4, "places": 5, "ties": "narrowing"}}, "parameters.seats"),
    ):
        with pytest.raises(InvalidDocument) as refused:
            checked_draft(election_draft(**changes))
        assert refused.value.place == place
    assert checked_draft(election_draft(names=[str(n) for n in range(CANDIDATES_MAX)]))


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b'{"a":1,"a":1}', b"\xff", b"null", b"{ }", b"1" * 70_000, b"[" * 3_000]
)
def test_bytes_that_are_no_document_are_refused(data: bytes) -> None:
    for read in (read_draft, read_document, read_text):
        with pytest.raises(InvalidDocument):
            read(data)


def test_a_document_in_another_order_of_members_is_refused() -> None:
    form = json.loads(document_of(plain_draft()).to_bytes())
    shuffled = json.dumps(dict(reversed(form.items())), separators=(",", ":"), ensure_ascii=False).encode()
    with pytest.raises(InvalidDocument, match="RFC 8785"):
        read_document(shuffled)


def test_a_document_has_one_commitment_for_each_teller() -> None:
    form = json.loads(document_of(election_draft()).to_bytes())
    form["lot_commitments"].pop()
    with pytest.raises(InvalidDocument) as refused:
        read_document(canonicalize(form))
    assert refused.value.place == "lot_commitments"


def test_a_draft_with_half_a_character_has_no_canonical_form() -> None:
    with pytest.raises(InvalidDocument):
        checked_draft(plain_draft(title="\ud800"))


def test_a_text_reads_back_and_is_bound_to_its_zone() -> None:
    text = DecisionText(FEDERATION, "Founding", "We found the federation.\nAll of us.")
    assert read_text(text.to_bytes()) == text
    assert text.digest(GENESIS) != text.digest(bytes(32))
