"""What `scripts/fuzz_readers.py` begins with and every input that was found bad, through the same targets."""

from __future__ import annotations

import json

import pytest
from icn_tally.ballots import BALLOTS_MAX
from icn_tally.faults import InvalidFile

from libs.client.tests.reader_seeds import RULES, SEEDS
from libs.client.tests.reader_targets import TARGETS, took

LABELLED = {**RULES, "labels": {"undeclared_write_in": "Bert"}}
UNWRITABLE = {**RULES, "labels": {"undeclared_write_in": "x" * 1_001}}
TWICE = "".join(f'"{number}":0,' for number in range(7_000)) + '"6999":0'
BAD = [
    ("approvals", b"num_cand: !!int ''\n"),
    ("approvals", b"num_cand: !!float ''\n"),
    ("approvals", b"num_cand: !!bool x\n"),
    ("approvals", b"num_cand: !!timestamp x\n"),
    ("approvals", b"# nothing\n"),
    ("approvals", b"num_cand: 2\nprofile: &a [*a]\n"),
    ("approvals", b"? [num_cand]\n: 2\n"),
    ("approvals", b"? {a: b}\n: 2\n"),
    ("approvals", b"num_cand: 2\n---\nprofile: []\n"),
    ("approvals", b"profile: " + b"[" * 900 + b"]" * 900),
    ("approvals", b'"\\e[2J": 2\n'),
    ("approvals", b"num_cand: 4\nc"),
    ("panel", b'{"rows":[{"age":"old"}],"quotas":{"ace":{"y\x7fws":[0,1]}},"size":1}'),
    ("approvals", b"num_cand: 4\n\xff"),
    ("approvals", "\ufeffnum_cand: 4\n\n\n&a [".encode("utf-16-le")),
    ("counting-rules", json.dumps(LABELLED).encode()),
    ("counting-rules", json.dumps(UNWRITABLE).encode()),
    ("counting-rules", json.dumps({**RULES, "rules": {"minge\x7f": 1}}).encode()),
    ("counting-rules", json.dumps({**RULES, "rules": {"": 1}}).encode()),
    ("counting-rules", b"[" * 60_000),
    ("counting-rules", b'{"' + b"x" * 60_000 + b'":1,"' + b"x" * 60_000 + b'":1}'),
    ("draft", f"{{{TWICE}}}".encode()),
    ("draft", b'{"":0,' + SEEDS["draft"][0][1:]),
    ("draft", SEEDS["draft"][0].replace(b'"majority":', b'"majorit\x7f":', 1)),
]


@pytest.mark.parametrize("reader", TARGETS)
def test_every_reader_takes_what_a_search_begins_with(reader: str) -> None:
    assert SEEDS[reader]
    assert [content for content in SEEDS[reader] if not took(TARGETS[reader], content)] == []


@pytest.mark.parametrize("reader", TARGETS)
def test_a_reader_keeps_its_promises_wherever_its_input_ends(reader: str) -> None:
    for content in SEEDS[reader]:
        ends = range(0, len(content), max(1, len(content) // 40))
        assert not took(TARGETS[reader], content[: ends[0]])
        for end in ends[1:]:
            took(TARGETS[reader], content[:end])


@pytest.mark.parametrize(("reader", "content"), BAD, ids=range(len(BAD)))
def test_an_input_that_was_found_bad_is_refused_within_the_promises(reader: str, content: bytes) -> None:
    assert not took(TARGETS[reader], content)


def leave(error: Exception) -> None:
    raise error


@pytest.mark.parametrize(
    "error",
    [
        KeyError("x"),
        InvalidFile(0, "below the first line"),
        InvalidFile(3, "beyond the last line"),
        InvalidFile(1, "\x1b[2J"),
        InvalidFile(1, "x" * 1_001),
    ],
    ids=str,
)
def test_a_target_notices_a_broken_promise(error: Exception) -> None:
    with pytest.raises((AssertionError, KeyError)):
        took(lambda _: leave(error), b"a\nb")
    assert not took(lambda _: leave(InvalidFile(2, "the last line")), b"a\nb")


def test_more_lines_than_ballots_are_refused_before_they_are_taken_apart() -> None:
    from icn_tally.contest import lines_of

    with pytest.raises(InvalidFile, match="more lines than ballots"):
        lines_of(b"\n" * (2 * BALLOTS_MAX))
