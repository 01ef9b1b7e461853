from __future__ import annotations

from itertools import pairwise

import pytest
from icn_chain.protocols import (
    FIRST_PROTOCOL,
    KNOWN_PROTOCOLS,
    NEWEST_PROTOCOL,
    held_protocol,
    is_protocol_step,
    known_protocols,
    unknown_protocol,
)


def test_who_knows_a_version_knows_all_before_it() -> None:
    assert list(KNOWN_PROTOCOLS) == list(range(FIRST_PROTOCOL, NEWEST_PROTOCOL + 1))


def test_every_version_differs_from_the_one_before_it() -> None:
    rules = list(KNOWN_PROTOCOLS.values())
    assert all(before != after for before, after in pairwise(rules))


@pytest.mark.parametrize(
    ("before", "after", "expected"), [(1, 1, True), (1, 2, True), (1, 3, False), (2, 1, False), (2, 3, True)]
)
def test_a_version_is_followed_by_itself_or_the_next(before: int, after: int, expected: bool) -> None:
    assert is_protocol_step(before, after) is expected


@pytest.mark.parametrize(
    ("newest", "known"),
    [
        (1, "this release knows 1: upgrade icn"),
        (2, "this release knows 1 and 2: upgrade icn"),
        (4, "this release knows 1, 2, 3 and 4: upgrade icn"),
    ],
)
def test_the_sentence_says_what_is_known_and_what_to_do(newest: int, known: str) -> None:
    assert known_protocols(newest) == known


def test_the_sentences_say_where_a_version_begins_or_was_met() -> None:
    assert unknown_protocol(3, 120, 2) == (
        "protocol version 3 is in force from height 120 on; this release knows 1 and 2: upgrade icn"
    )
    assert held_protocol(2, 130, 1) == (
        "block 130 in this database is of protocol version 2; this release knows 1: upgrade icn "
        "(nothing was changed: the newer release goes on from here)"
    )
