"""Refusals of parameters."""

from __future__ import annotations

import pytest
from icn_tally.faults import InvalidParameter
from icn_tally.parameters import refuse_unknown


@pytest.mark.parametrize(
    ("name", "told"), [("seat", "seat: unknown"), ("", "'': unknown"), ("\x1b[2J", r"'\x1b[2J': unknown")]
)
def test_an_unknown_name_is_told_in_a_way_that_a_terminal_can_show(name: str, told: str) -> None:
    with pytest.raises(InvalidParameter) as error:
        refuse_unknown({name: 1}, ["seats"])
    assert str(error.value) == f"{told}; there are seats" and error.value.name == name
