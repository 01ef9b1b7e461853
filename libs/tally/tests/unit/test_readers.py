"""Files of ballots: what is read, what is refused and where, and garbage."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn_tally.blt import read_blt
from icn_tally.faults import InvalidFile
from icn_tally.points import read_points
from icn_tally.preflib import FORMATS, read_preflib

BLT = b"""3 2
4 1 2 0
2 3 0
1 0
0
"Ana"
Bert # the second
"C"
Board
remarks 1 2
"""
TOI = b"""# FILE NAME: x.toi
# TITLE: Board
# DATA TYPE: toi
# NUMBER ALTERNATIVES: 3
# NUMBER VOTERS: 6
# NUMBER UNIQUE ORDERS: 3
# ALTERNATIVE NAME 1: Ana
# ALTERNATIVE NAME 2: Bert: of Bonn
# ALTERNATIVE NAME 3: C
3: 1,{3,2}
2: {1, 2},3
1: 3
"""


def test_a_blt_file_is_read_with_seats_names_and_title() -> None:
    contest = read_blt(BLT)
    assert (contest.seats, contest.title, contest.lot_order) == (2, "Board", None)
    assert contest.ballots.candidates == ("Ana", "Bert # the second", "C")
    assert [*contest.ballots.bundles()] == [(((1,), (2,)), 4), (((3,),), 2), ((), 1)]


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + BLT,
        BLT.replace(b"\n", b"\r\n"),
        BLT.replace(b"2 3 0", b"  2\t3   0  # late"),
        BLT.replace(b"2 3 0", b"# alone\n\n2 3 0"),
        BLT.rstrip(b"\n"),
    ],
    ids=["byte order mark", "CR LF", "blanks", "comment and empty line", "no end of line"],
)
def test_blanks_marks_and_comments_change_nothing(content: bytes) -> None:
    assert read_blt(content).ballots == read_blt(BLT).ballots


def test_options_of_a_blt_file_are_read() -> None:
    content = b"4 1\n-4\n[nick a b c d]\n[withdrawn c]\n[tie d c b a]\n2 a=2 4 0\n1 c b 0\n0\nA\nB\nC\nD\n"
    contest = read_blt(content)
    assert contest.ballots.withdrawn == {3, 4} and contest.lot_order == (4, 3, 2, 1)
    assert [*contest.ballots.rankings] == [((1, 2), (4,)), ((3,), (2,))]
    assert [*contest.ballots.bundles()] == [(((1, 2),), 2), (((2,),), 1)]
    assert contest.title == ""


@pytest.mark.parametrize(
    ("content", "line", "fault"),
    [
        (b"", 1, "empty"),
        (b" \n\n", 1, "empty"),
        (b"3\n", 1, "number of candidates"),
        (b"three 2\n", 1, "candidates: a whole number"),
        (b"1000000 2\n", 1, "1000000 candidates"),
        (b"9999999999999999999999 2\n", 1, "too large"),
        (b"0 0\n", 1, "0 candidates"),
        (b"3 4\n", 1, "4 seats for 3 candidates"),
        (b"3 0\n", 1, "0 seats"),
        (b"\n3 2\n", 3, "ends before its ballots"),
        (b"3 2\n4 1 2\n0\n", 2, "ends with 0"),
        (b"3 2\n4\n", 2, "ends with 0"),
        (b"3 2\n1 1 0\n4 1 1 0\n", 3, "candidate 1 is ranked twice"),
        (b"3 2\n4 1=1 0\n", 2, "candidate 1 is ranked twice"),
        (b"3 2\n4 4 0\n", 2, "no candidate '4'"),
        (b"3 2\n4 1 0 2 0\n", 2, "no candidate '0'"),
        (b"3 2\n4 1 - 2 0\n", 2, "a skipped rank, -, is not read"),
        (b"3 2\n4 1= 0\n", 2, "no candidate ''"),
        (b"3 2\n4 1_0 0\n", 2, "no candidate '1_0'"),
        (b"3 2\n0 1 0\n", 2, "a weight goes from 1"),
        (b"3 2\n1 1 0\n-4 1 0\n", 3, "weight: a whole number"),
        (b"3 2\n-1 2 0\n", 2, "a weight of 1 or more, not '-1'"),
        (b"3 2\n-1\n\n0\nA\nB\nC\n", 4, "no ballot before this line"),
        (b"3 2\n1.5 1 0\n", 2, "weight: a whole number"),
        (b"3 2\n99999999999999999 1 0\n", 2, "too large"),
        (b"3 2\n9007199254740991 1 0\n1 1 0\n0\n", 4, "all weights together"),
        (b"3 2\n4 1 0\n", 3, "ends before the line 0"),
        (b"3 2\n4 1 0\n0\nA\nB\n", 6, "ends after 2 of 3 names"),
        (b'3 2\n4 1 0\n0\nA\n""\nC\n', 5, "a name has 1 to"),
        (b"3 2\n4 1 0\n0\nA\n\xff\nC\n", 5, "not UTF-8 at byte 1"),
        (b"3 2\n[tie 1 2]\n", 2, "names each candidate once"),
        (b"3 2\n[tie 1 2 3]\n[tie 1 2 3]\n", 3, "stands twice"),
        (b"3 2\n[nick a b]\n", 2, "2 short names"),
        (b"3 2\n[nick a a b]\n", 2, "stands twice"),
        (b"3 2\n[nick a b\n", 2, "ends on its line"),
        (b"3 2\n[]\n", 2, "unknown option"),
        (b"3 2\n[precision 5]\n", 2, "unknown option 'precision'"),
        (b"3 2\n-1 -1\n", 2, "withdrawn twice"),
        (b"3 2\n-1 4\n", 2, "no candidate '4'"),
        (b"2 1\n-1 -2\n1 1 0\n0\nA\nB\n", 1, "withdrawn: all candidates"),
        (b"3 2\n" + b"1 " * 40_000 + b"0\n", 2, "longer than 65536 bytes"),
        (b"3 2\n" + b"1" * 4_400 + b" 1 0\n", 2, "too large"),
    ],
)
def test_a_blt_file_out_of_form_is_refused_with_line_and_reason(
    content: bytes, line: int, fault: str
) -> None:
    with pytest.raises(InvalidFile) as caught:
        read_blt(content)
    assert fault in str(caught.value)
    assert caught.value.line == line and str(caught.value).startswith(f"line {line}: ")


def test_many_comments_are_read_in_one_go() -> None:
    content = BLT.replace(b"2 3 0", b"# x\n" * 200_000 + b"2 3 0")
    assert read_blt(content).ballots == read_blt(BLT).ballots


def test_a_preflib_file_is_read_with_names_and_equal_ranks() -> None:
    contest = read_preflib(TOI, "toi")
    assert (contest.seats, contest.title) == (None, "Board")
    assert contest.ballots.candidates == ("Ana", "Bert: of Bonn", "C")
    assert [*contest.ballots.bundles()] == [(((1,), (2, 3)), 3), (((1, 2), (3,)), 2), (((3,),), 1)]


@pytest.mark.parametrize(
    ("kind", "content", "line", "fault"),
    [
        ("toi", b"", 1, "empty"),
        ("toi", b"1: 1\n", 1, "lacks NUMBER ALTERNATIVES"),
        ("toi", TOI.replace(b"ALTERNATIVES: 3", b"ALTERNATIVES: x"), 4, "a whole number"),
        ("toi", TOI.replace(b"ALTERNATIVES: 3", b"ALTERNATIVES: 1000000"), 4, "1000000 alternatives"),
        ("toi", TOI.replace(b"ALTERNATIVES: 3", b"ALTERNATIVES: 0"), 4, "0 alternatives"),
        ("toi", TOI.replace(b"ALTERNATIVES: 3", b"ALTERNATIVES: 4"), 4, "number 4 has no name"),
        ("toi", TOI.replace(b"ALTERNATIVES: 3", b"ALTERNATIVES: 2"), 4, "3 have names"),
        ("toi", TOI.replace(b"NAME 3", b"NAME 999999999"), 9, "alternative 999999999"),
        ("toi", TOI.replace(b"NAME 3", b"NAME 2"), 9, "stands twice"),
        ("toi", TOI.replace(b"NAME 3", b"NAME 02"), 9, "named twice"),
        ("toi", TOI.replace(b"NAME 3: C", b"NAME 3:"), 9, "a name has 1 to"),
        ("toi", TOI.replace(b"# TITLE: Board", b"# TITLE"), 2, "KEY: value"),
        ("soi", TOI, 3, "DATA TYPE is 'toi'"),
        ("soi", TOI.replace(b"TYPE: toi", b"TYPE: soi"), 10, "no equal ranks"),
        ("toc", TOI.replace(b"TYPE: toi", b"TYPE: toc"), 12, "ranks every alternative, this 1 of 3"),
        ("toi", TOI.replace(b"VOTERS: 6", b"VOTERS: 7"), 5, "the ballots come to 6"),
        ("toi", TOI.replace(b"ORDERS: 3", b"ORDERS: 4"), 6, "the ballots come to 3"),
        ("toi", TOI.replace(b"1: 3\n", b"1 3\n"), 12, "weight: order"),
        ("toi", TOI.replace(b"1: 3\n", b"0: 3\n"), 12, "a weight goes from 1"),
        ("toi", TOI.replace(b"1: 3\n", b"-1: 3\n"), 12, "weight: a whole number"),
        ("toi", TOI.replace(b"1: 3\n", b"1: 4\n"), 12, "no candidate 4"),
        ("toi", TOI.replace(b"1: 3\n", b"1: 3,3\n"), 12, "ranked twice"),
        ("toi", TOI.replace(b"1: 3\n", b"1: 3,\n"), 12, "an alternative or {…}"),
        ("toi", TOI.replace(b"1: 3\n", b"1: {}\n"), 12, "an alternative or {…}"),
        ("toi", TOI.replace(b"1: 3\n", b"1: {1,{2}}\n"), 12, "an alternative or {…}"),
        ("toi", TOI.replace(b"1: 3\n", b"1: {1,,2}\n"), 12, "in braces"),
        ("toi", TOI.replace(b"1: 3\n", b"1: 3 2\n"), 12, "an alternative or {…}"),
        ("toi", TOI + b"# TITLE: again\n", 13, "after the first ballot"),
        ("toi", TOI[: TOI.index(b"3: 1,{")], 10, "there is no ballot"),
    ],
)
def test_a_preflib_file_out_of_form_is_refused_with_line_and_reason(
    kind: str, content: bytes, line: int, fault: str
) -> None:
    with pytest.raises(InvalidFile) as caught:
        read_preflib(content, kind)
    assert fault in str(caught.value)
    assert caught.value.line == line


def read_or_refuse(content: bytes) -> None:
    """Every reader either reads, within the model's limits, or names a line that is there."""
    for read in (read_blt, *(lambda text, kind=kind: read_preflib(text, kind) for kind in FORMATS)):
        try:
            contest = read(content)
        except InvalidFile as error:
            assert 1 <= error.line <= content.count(b"\n") + 1
        else:
            assert len(contest.ballots.rankings) == len(contest.ballots.weights)
            assert contest.ballots.root()


@given(st.binary(max_size=300))
def test_garbage_is_refused_with_a_line_that_is_there(content: bytes) -> None:
    read_or_refuse(content)


@given(
    st.sampled_from([BLT, TOI, BLT.replace(b"3 2\n", b"3 2\n[nick a b c]\n-2\n", 1)]),
    st.lists(
        st.tuples(
            st.integers(0, 400),
            st.integers(0, 4),
            st.sampled_from(
                [b"0", b"-", b"=", b"{", b"}", b",", b"\n", b"#", b":", b"9" * 20, b"\xff", b" 1 "]
            ),
        ),
        max_size=6,
    ),
)
def test_files_with_some_bytes_changed_are_read_or_refused(
    content: bytes, changes: list[tuple[int, int, bytes]]
) -> None:
    for start, length, piece in changes:
        content = content[:start] + piece + content[start + length :]
    read_or_refuse(content)


POINTS = b"count,Ana,Bert: of Bonn\n3,5,-4\n\n2,,7\n"


def test_points_are_read_by_columns() -> None:
    ballots = read_points(POINTS).ballots
    assert ballots.candidates == ("Ana", "Bert: of Bonn")
    assert [*ballots.marked_bundles()] == [(((1,), (2,)), (5, -4), 3), (((2,),), (7,), 2)]
    assert read_points(b'"Ana","Bert"\n1,1').ballots.rankings == [((1, 2),)]


@pytest.mark.parametrize(
    ("content", "line", "told"),
    [
        (b"", 1, "empty"),
        (b"count\n1\n", 1, "0 candidates"),
        (b"Ana,Ana\n", 1, "stands twice"),
        (b"Ana,\n", 1, "a name has"),
        (b"count,count,Ana\n", 1, "more than one column count"),
        (b"Ana,Bert\n1\n", 2, "1 columns, the first line has 2"),
        (b"Ana,Bert\n1,2\n1,x\n", 3, "'Bert': a whole number"),
        (b"Ana\n1000000001\n", 2, "up to 1000000000"),
        (b"Ana\n1.5\n", 2, "not '1.5'"),
        ("Ana\n٣\n".encode(), 2, "a whole number"),
        (b"count,Ana\n0,1\n", 2, "a weight goes from 1"),
        (b"count,Ana\n9007199254740991,1\n1,1\n", 3, "more than"),
        (b"%s\n" % b",".join(b"c%d" % number for number in range(2001)), 1, "2001 candidates"),
    ],
)
def test_points_are_refused_with_line_and_candidate(content: bytes, line: int, told: str) -> None:
    with pytest.raises(InvalidFile, match=told) as refused:
        read_points(content)
    assert refused.value.line == line


def test_a_ballot_s_own_name_and_comments_behind_quoted_names_count_for_nothing() -> None:
    content = BLT.replace(b"4 1 2 0", b"(b-17) 4 1 2 0").replace(b'"Ana"', b'"Ana" # she')
    assert read_blt(content).ballots == read_blt(BLT).ballots
    with pytest.raises(InvalidFile, match="line 2: weight"):
        read_blt(BLT.replace(b"4 1 2 0", b"(b 17) 4 1 2 0"))
