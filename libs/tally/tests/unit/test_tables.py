"""Tables of parties, pools and quotas: what is read, and what is refused and where."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from icn_tally.faults import InvalidFile
from icn_tally.sortition import Quota
from icn_tally.tables import read_parties, read_people, read_quotas


def test_tables_are_read() -> None:
    assert read_parties(b'name,votes\n"North, upper",5\n\nSouth,0\n') == (("North, upper", "South"), (5, 0))
    people = read_people(b"name,age\nAna,old\nBert,young\n")
    assert people.columns == ("name", "age")
    assert people.members == ({"name": "Ana", "age": "old"}, {"name": "Bert", "age": "young"})
    assert read_quotas(b"feature,value,min,max\nage,old,1,2\nage,young,0,1\n") == {
        "age": {"old": Quota(1, 2), "young": Quota(0, 1)}
    }


@pytest.mark.parametrize(
    ("read", "content", "line", "told"),
    [
        (read_parties, b"", 1, "empty"),
        (read_parties, b"votes,name\n", 1, "the columns name, votes are expected"),
        (read_parties, b"name,votes\nA\n", 2, "1 columns, the first line has 2"),
        (read_parties, b"name,votes\nA,-1\n", 2, "votes: a whole number"),
        (read_parties, b"name,votes\nA,1\nA,2\n", 3, "'A' stands twice"),
        (read_parties, b"name,votes\n,1\n", 2, "name: a name has"),
        (read_parties, b"name,votes\n" + b"".join(b"%d,1\n" % one for one in range(2001)), 2002, "more than"),
        (read_people, b"name,name\n", 1, "two columns have one name"),
        (read_people, b"name,age\nAna\n", 2, "1 columns"),
        (read_people, b",".join(b"c%d" % one for one in range(201)), 1, "201 columns"),
        (read_people, b"name\n" + b"A\n" * 5001, 5002, "more than 5000 members"),
        (read_quotas, b"feature,value,min,max\na,b,2,1\n", 2, "min is 2, more than max, which is 1"),
        (read_quotas, b"feature,value,min,max\na,b,0,1\na,b,0,1\n", 3, "'b' stands twice"),
        (read_quotas, b"feature,value,min,max\na,b,x,1\n", 2, "min: a whole number"),
        (
            read_quotas,
            b"feature,value,min,max\n" + b"".join(b"f%d,v,0,1\n" % one for one in range(51)),
            52,
            "more than 50 categories",
        ),
        (
            read_quotas,
            b"feature,value,min,max\n" + b"".join(b"f,v%d,0,1\n" % one for one in range(1001)),
            1002,
            "more than 1000 values",
        ),
    ],
)
def test_tables_are_refused_with_their_line(
    read: Callable[[bytes], object], content: bytes, line: int, told: str
) -> None:
    with pytest.raises(InvalidFile, match=told) as refused:
        read(content)
    assert refused.value.line == line
