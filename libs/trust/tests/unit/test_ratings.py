import pytest
from icn_trust.graph import MEMBERS_MAX, PAIRS_MAX
from icn_trust.ratings import ROWS_MAX, InvalidRatings, Rating, read_ratings

HEADER = "source,target,rating,time\n"


def read(text: str) -> object:
    return read_ratings(text.splitlines(keepends=True))


def test_columns_may_have_either_name_and_stand_anywhere() -> None:
    text = 'Timestamp,note,target,weight,source\n7.5,x,b,-3,a\n\n7.5,y,"c,d",+1e1,b\n'
    found = read_ratings(text.splitlines(keepends=True))
    assert found.rows == (Rating("a", "b", -3.0), Rating("b", "c,d", 10.0))
    assert found.is_in_order


def test_a_file_that_is_not_in_order_of_time_says_so() -> None:
    assert not read_ratings([HEADER, "a,b,1,2\n", "a,c,1,1\n"]).is_in_order


def test_a_file_of_a_header_has_no_rows() -> None:
    assert read_ratings([HEADER]).rows == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: no column source"),
        ("source,target,rating\n", "line 1: no column time or timestamp"),
        ("source,target,rating,weight,time\n", "line 1: more than one column rating or weight"),
        (HEADER + "a,b,1\n", "line 2: 3 fields, the header has 4"),
        (HEADER + "a,b,1,2,3\n", "line 2: 5 fields"),
        (HEADER + "a,b,1,1\n,b,1,1\n", "line 3: source: 0 characters"),
        (HEADER + f"a,{'b' * 257},1,1\n", "line 2: target: 257 characters"),
        *(
            (HEADER + f"a,b,{rating},1\n", "line 2: rating: ")
            for rating in ("", "x", "nan", "inf", "1_0", "0x1", "1e999", "1e10", "٣", "1" * 33)
        ),
        (HEADER + "a,b,1,\n", "line 2: time: "),
        (HEADER + 'a,"b,1,1\n', "line 2: "),
    ],
)
def test_a_row_that_breaks_a_rule_is_named_by_line_and_field(text: str, message: str) -> None:
    with pytest.raises(InvalidRatings) as caught:
        read(text)
    assert str(caught.value).startswith(message)


def test_the_largest_file_fits_into_the_graph() -> None:
    assert 2 * ROWS_MAX <= MEMBERS_MAX
    assert ROWS_MAX <= PAIRS_MAX


def test_more_rows_than_the_bound_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("icn_trust.ratings.ROWS_MAX", 2)
    assert len(read_ratings([HEADER, "a,b,1,1\n", "a,b,1,1\n"]).rows) == 2
    with pytest.raises(InvalidRatings, match="line 4: more than 2 rows"):
        read_ratings([HEADER, *["a,b,1,1\n"] * 3])
