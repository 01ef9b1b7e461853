"""The chain that is measured is one that a ledger accepts."""

from __future__ import annotations

from icn.ledger.v1 import state_pb2
from icn_localnet.pytest_plugin import DatabaseFor
from icn_machine.parsing import parse_any
from icn_machine.plain_transfer import read_plain_transfer

from benches.ledger.chain import make_parties, open_chain
from libs.machine.tests.zone import GENESIS_TIME_MS, make_zone


def test_a_transfer_is_in_canonical_form() -> None:
    zone = make_zone()
    ana, ben = make_parties(zone, 2)
    for amount in (1, 300):
        data = ana.transfer(ben.account, amount, bytes(32), GENESIS_TIME_MS)
        read = read_plain_transfer(data, zone.genesis.hash)
        assert read is not None
        assert read.id == parse_any(data, zone.genesis.hash).id


async def test_every_transfer_of_a_block_is_applied(database_for: DatabaseFor) -> None:
    async with open_chain(database_for("icn_ledger"), 10) as chain:
        execution = await chain.execute(chain.block(chain.transfers(40, shops=2)))
        statuses = [state_pb2.Receipt.FromString(receipt).status for _, receipt in execution.outcomes]
        assert statuses == [state_pb2.RECEIPT_STATUS_APPLIED] * 40
