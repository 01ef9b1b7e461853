"""Who reads statements at once has a place each; who comes when all are taken is told so."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest
from icn_kit.errors import ResourceExhausted
from icn_ledger.usecases.get_statement import STATEMENTS_AT_ONCE_MAX, Statements


def test_a_statement_beyond_the_last_place_is_refused_until_one_is_free() -> None:
    nobody: Any = None
    places = Statements(nobody).places
    with ExitStack() as taken:
        for _ in range(STATEMENTS_AT_ONCE_MAX - 1):
            taken.enter_context(places.take())
        with places.take():
            with pytest.raises(ResourceExhausted) as refusal, places.take():
                pass
            assert refusal.value.reason == "STATEMENTS_BUSY"
            assert f"{STATEMENTS_AT_ONCE_MAX} statements at once" in str(refusal.value)
        with places.take():
            pass
