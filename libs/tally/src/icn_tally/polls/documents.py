"""Drafts, poll documents and the texts of decisions: read strictly, written canonically.

Source: docs/spec/governance.md, "Draft", "Poll document", "Decision".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from icn.ledger.v1.transaction_pb2 import DecisionAction, Electorate
from icn_crypto import tags
from icn_crypto.hashing import domain_hash
from icn_crypto.jcs import JsonValue, canonicalize

from icn_tally import plain_decision
from icn_tally.ballots import name_fault
from icn_tally.faults import InvalidParameter
from icn_tally.polls.actions import ACTIONS_MAX, read_actions, write_action
from icn_tally.polls.forms import (
    HASH_BYTES,
    IDENTIFIER_BYTES,
    Form,
    InvalidDocument,
    hex_bytes,
    line_of,
    read_canonical,
)
from icn_tally.tallies import IN_STAGES, read_parameters

POLL_RULES: Final = (plain_decision.RULE, *IN_STAGES)
DRAFT_FORM: Final = "icn/proposal-draft/v1"
DOCUMENT_FORM: Final = "icn/poll-document/v1"
TEXT_FORM: Final = "icn/decision-text/v1"
DRAFT_BYTES_MAX: Final = 49_152
DOCUMENT_BYTES_MAX: Final = 61_440
"""A draft, its lot commitments and the rest; a request with it stays below a transaction's size."""
TEXT_BYTES_MAX: Final = 16_384
TITLE_CHARACTERS_MAX: Final = 200
QUESTION_CHARACTERS_MAX: Final = 8_000
CANDIDATES_MAX: Final = 64
"""A member ranks so many in one sitting at most; a result with all its stages stays below 100 KB."""
NAME_CHARACTERS_MAX: Final = 200
TELLERS_MAX: Final = 16
OPENING_MS_MAX: Final = 7 * 24 * 60 * 60 * 1000
TIME_MS_MAX: Final = 2**53 - 1
ELECTORATES: Final = ("members", "members-of-members")
_ELECTORATES: Final = {
    "members": Electorate.ELECTORATE_MEMBERS,
    "members-of-members": Electorate.ELECTORATE_MEMBERS_OF_MEMBERS,
}
_DRAFT_MEMBERS: Final = (
    *("form", "organization", "electorate", "title", "question", "rule", "parameters", "candidates"),
    *("tellers", "opening_ms", "actions"),
)


@dataclass(frozen=True, slots=True)
class Draft:
    """What is asked of whom, how it is counted, and what a carried result enacts."""

    organization: bytes
    """16 bytes."""
    electorate: str
    """One of ELECTORATES."""
    title: str
    question: str
    rule: str
    """One of POLL_RULES."""
    parameters: Mapping[str, Any]
    """Of the rule, nothing left to defaults."""
    candidates: tuple[str, ...]
    tellers: tuple[bytes, ...]
    """Principals, ascending."""
    opening_ms: int
    """How long after the close missing openings are waited for."""
    actions: tuple[DecisionAction, ...]

    @property
    def ledger_electorate(self) -> Electorate:
        """The electorate as the ledger names it."""
        return _ELECTORATES[self.electorate]

    @property
    def seats(self) -> int:
        """Vacancies; 0 for a plain decision."""
        return 0 if self.rule == plain_decision.RULE else int(self.parameters.get("seats", 1))

    def to_form(self) -> dict[str, JsonValue]:
        """As an object."""
        return {
            "form": DRAFT_FORM,
            "organization": self.organization.hex(),
            "electorate": self.electorate,
            "title": self.title,
            "question": self.question,
            "rule": self.rule,
            "parameters": dict(self.parameters),
            "candidates": [*self.candidates],
            "tellers": [teller.hex() for teller in self.tellers],
            "opening_ms": self.opening_ms,
            "actions": [write_action(action) for action in self.actions],
        }

    def to_bytes(self) -> bytes:
        """Canonical bytes."""
        return canonicalize(self.to_form())


@dataclass(frozen=True, slots=True)
class PollDocument:
    """What a poll on the ledger is about."""

    genesis: bytes
    """Hash of the zone's genesis, 32 bytes."""
    poll: bytes
    """16 bytes; the proposal's id."""
    draft: Draft
    lot_commitments: tuple[bytes, ...]
    """One for each teller, in their order, 32 bytes."""
    close_time_ms: int
    """First block time at which no ballot is taken any more, unix milliseconds."""

    @property
    def opening_time_ms(self) -> int:
        """Block time from which missing openings are not waited for any more."""
        return self.close_time_ms + self.draft.opening_ms

    def to_bytes(self) -> bytes:
        """Canonical bytes."""
        return canonicalize(
            {
                "form": DOCUMENT_FORM,
                "genesis": self.genesis.hex(),
                "poll": self.poll.hex(),
                "draft": self.draft.to_form(),
                "lot_commitments": [commitment.hex() for commitment in self.lot_commitments],
                "close_time_ms": self.close_time_ms,
            }
        )

    def digest(self) -> bytes:
        """What ``OpenPoll.document`` is, 32 bytes."""
        return domain_hash(tags.POLL_DOCUMENT, self.genesis, self.to_bytes())


@dataclass(frozen=True, slots=True)
class DecisionText:
    """What a decision without a poll says, and why."""

    authority: bytes
    """16 bytes."""
    title: str
    text: str

    def to_bytes(self) -> bytes:
        """Canonical bytes."""
        return canonicalize(
            {"form": TEXT_FORM, "authority": self.authority.hex(), "title": self.title, "text": self.text}
        )

    def digest(self, genesis_hash: bytes) -> bytes:
        """What ``Decision.subject`` is, 32 bytes."""
        return domain_hash(tags.DECISION_TEXT, genesis_hash, self.to_bytes())


def read_draft(data: bytes) -> Draft:
    """The draft with these canonical bytes.

    Raises:
        InvalidDocument: it is none.
    """
    return _draft(read_canonical(data, DRAFT_BYTES_MAX), "")


def checked_draft(draft: Draft) -> Draft:
    """The same draft, once it has been read as others will read it.

    Raises:
        InvalidDocument: a limit is broken.
    """
    try:
        data = draft.to_bytes()
    except ValueError as error:  # what has no canonical form: a lone surrogate, say
        raise InvalidDocument("", str(error)) from None
    return read_draft(data)


def read_document(data: bytes) -> PollDocument:
    """The poll document with these canonical bytes.

    Raises:
        InvalidDocument: it is none.
    """
    form = Form(
        read_canonical(data, DOCUMENT_BYTES_MAX),
        "",
        ("form", "genesis", "poll", "draft", "lot_commitments", "close_time_ms"),
    )
    form.constant("form", DOCUMENT_FORM)
    draft = _draft(form.raw("draft"), "draft")
    commitments = form.list("lot_commitments", len(draft.tellers), len(draft.tellers))
    return PollDocument(
        genesis=form.hex("genesis", HASH_BYTES),
        poll=form.hex("poll", IDENTIFIER_BYTES),
        draft=draft,
        lot_commitments=tuple(
            hex_bytes(value, f"lot_commitments[{number}]", HASH_BYTES)
            for number, value in enumerate(commitments)
        ),
        close_time_ms=form.integer("close_time_ms", 1, TIME_MS_MAX),
    )


def read_text(data: bytes) -> DecisionText:
    """The decision text with these canonical bytes.

    Raises:
        InvalidDocument: it is none.
    """
    form = Form(read_canonical(data, TEXT_BYTES_MAX), "", ("form", "authority", "title", "text"))
    form.constant("form", TEXT_FORM)
    return DecisionText(
        form.hex("authority", IDENTIFIER_BYTES),
        form.line("title", TITLE_CHARACTERS_MAX),
        form.text("text", QUESTION_CHARACTERS_MAX),
    )


def _draft(value: JsonValue, place: str) -> Draft:
    form = Form(value, place, _DRAFT_MEMBERS)
    form.constant("form", DRAFT_FORM)
    rule = form.choice("rule", POLL_RULES)
    candidates = _candidates(form, rule)
    parameters = _parameters(form, rule, len(candidates))
    is_plain = rule == plain_decision.RULE
    return Draft(
        organization=form.hex("organization", IDENTIFIER_BYTES),
        electorate=form.choice("electorate", ELECTORATES),
        title=form.line("title", TITLE_CHARACTERS_MAX),
        question=form.text("question", QUESTION_CHARACTERS_MAX),
        rule=rule,
        parameters=parameters,
        candidates=candidates,
        tellers=_tellers(form, 0 if is_plain else TELLERS_MAX),
        opening_ms=form.integer("opening_ms", 0, OPENING_MS_MAX),
        actions=read_actions(form.list("actions", 0, ACTIONS_MAX if is_plain else 0), form.place("actions")),
    )


def _candidates(form: Form, rule: str) -> tuple[str, ...]:
    names = form.list("candidates", 1, CANDIDATES_MAX)
    place = form.place("candidates")
    for number, name in enumerate(names):
        line_of(name, f"{place}[{number}]", NAME_CHARACTERS_MAX)
        if fault := name_fault(name):
            raise InvalidDocument(f"{place}[{number}]", fault)
    if rule == plain_decision.RULE and tuple(names) != plain_decision.CHOICES:
        raise InvalidDocument(place, f"a plain decision has {', '.join(plain_decision.CHOICES)}")
    return tuple(names)


def _parameters(form: Form, rule: str, candidates: int) -> dict[str, Any]:
    value, place = form.raw("parameters"), form.place("parameters")
    if not isinstance(value, dict):
        raise InvalidDocument(place, "an object is expected")
    try:
        read = read_parameters(rule, value).to_form()
        seats = read.get("seats", 1)
        if rule != plain_decision.RULE and isinstance(seats, int) and seats > candidates:
            raise InvalidParameter("seats", f"{seats} seats for {candidates} candidates")
        if read.get("first_excluded"):
            raise InvalidParameter("first_excluded", "a poll has no undeclared write-ins")
    except InvalidParameter as error:
        raise InvalidDocument(f"{place}.{error.name}", error.fault) from None
    if read != value:
        raise InvalidDocument(place, "something is left to defaults")
    return value


def _tellers(form: Form, tellers_max: int) -> tuple[bytes, ...]:
    place = form.place("tellers")
    tellers = tuple(
        hex_bytes(value, f"{place}[{number}]", IDENTIFIER_BYTES)
        for number, value in enumerate(form.list("tellers", 0, tellers_max))
    )
    if list(tellers) != sorted(set(tellers)):
        raise InvalidDocument(place, "ids ascend, none stands twice")
    return tellers
