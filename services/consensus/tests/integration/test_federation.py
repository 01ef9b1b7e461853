from __future__ import annotations

import asyncio

import pytest
from icn.consensus.v1 import service_pb2

from .conftest import Federation, until
from .counting_application import chain_of, make_transaction, transaction_id

COMMITTED = service_pb2.SUBMIT_STATE_COMMITTED


async def test_a_transaction_is_committed_by_all_four_and_answered_with_its_receipt(
    federation: Federation,
) -> None:
    data = make_transaction(b"ana", 1)
    [outcome] = await federation.validators[0].submit([data])
    assert outcome.state == COMMITTED
    assert outcome.transaction_id == transaction_id(data)
    assert outcome.receipt == b"done at %d" % outcome.height
    await until(lambda: all(application.total == 1 for application in federation.applications))
    chain_of(federation.applications)
