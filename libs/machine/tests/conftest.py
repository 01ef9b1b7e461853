"""A zone, and a ledger of it in memory."""

from __future__ import annotations

import pytest

from libs.machine.tests.zone import Ledger, Zone, make_zone, memory_ledger


@pytest.fixture
def zone() -> Zone:
    return make_zone()


@pytest.fixture
def ledger(zone: Zone) -> Ledger:
    return memory_ledger(zone)
