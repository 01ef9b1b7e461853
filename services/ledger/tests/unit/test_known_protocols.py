"""A ledger that is started on what a newer release executed."""

from __future__ import annotations

import pytest
from icn_kit.errors import FailedPrecondition
from icn_ledger.main import check_known

from libs.machine.tests.seats import activate_protocol
from libs.machine.tests.zone import EPOCH_MS, make_zone, memory_ledger


async def test_it_refuses_what_lies_behind_an_activation_that_it_does_not_know() -> None:
    zone = make_zone()
    ledger = memory_ledger(zone)
    check_known(ledger.state.newest, 1)
    data = zone.transaction(zone.authority, activate_protocol(2), time_ms=ledger.state.newest.time_ms + 1_000)
    await ledger.execute(data)
    await ledger.execute(after_ms=EPOCH_MS)
    check_known(ledger.state.newest, 1)  # the edge block is of the old version
    await ledger.execute()
    check_known(ledger.state.newest, 2)
    with pytest.raises(FailedPrecondition) as refusal:
        check_known(ledger.state.newest, 1)
    assert (refusal.value.reason, refusal.value.message) == (
        "PROTOCOL_VERSION_UNKNOWN",
        "block 3 in this database is of protocol version 2; this release knows 1: upgrade icn "
        "(nothing was changed: the newer release goes on from here)",
    )
