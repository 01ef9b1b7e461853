"""Puts the service together: ``icn-marketplace``, settings from the environment."""

from __future__ import annotations

import asyncio
from functools import partial

from icn.marketplace.v1 import service_pb2_grpc
from icn_kit.blobs import BlobTable, PostgresBlobStore
from icn_kit.lifecycle import Stop
from icn_kit.permission_projection import Permissions
from icn_kit.service import Foundation, HostedService, Parts, run_hosted

from icn_marketplace.api.marketplace_service import MarketplaceServicer
from icn_marketplace.events.due_agreements import DueWatcher
from icn_marketplace.events.known_permissions import KnownPermissions
from icn_marketplace.events.ledger_holds import LedgerHolds
from icn_marketplace.peers.ledger import ClockOfBlocks, ValidatorsLedger
from icn_marketplace.settings import MarketplaceSettings
from icn_marketplace.store.photos import PhotoQueries
from icn_marketplace.store.queries import Queries
from icn_marketplace.store.unit_of_work import WRITES_AT_ONCE, EventUnitOfWork, UnitOfWork
from icn_marketplace.usecases.announce import Announcer
from icn_marketplace.usecases.context import Context
from icn_marketplace.usecases.memos import Memos
from icn_marketplace.usecases.permissions import PermissionsAt

SERVICE = "marketplace"
"""Name of its schema, of its events and of itself."""
PERMISSIONS_CONSUMER = "marketplace_permissions"


async def assemble(foundation: Foundation) -> Parts:
    """What this service is made of."""
    database, genesis_hash = foundation.database, foundation.genesis.hash
    blobs = BlobTable(foundation.sealing_key)
    announcer = Announcer(genesis_hash)
    ledger = ValidatorsLedger(foundation.validators.agreed)
    queries = Queries(database)
    units = partial(UnitOfWork, database, blobs, asyncio.Semaphore(WRITES_AT_ONCE))
    permissions = Permissions(database)
    holds = LedgerHolds(
        database,
        foundation.bus,
        lambda connection: EventUnitOfWork(connection, blobs),
        announcer,
        ledger=ledger,
        heights=foundation.block_clock,
    )
    watcher = DueWatcher(
        foundation.block_clock, queries, units, ledger=ledger, events=holds, announcer=announcer
    )
    context = Context(
        genesis_hash=genesis_hash,
        units=units,
        clock=foundation.clock,
        permissions=PermissionsAt(KnownPermissions(permissions, foundation.block_clock), 0),
        ledger=ledger,
        block_time=ClockOfBlocks(foundation.block_clock),
        announcer=announcer,
    )
    servicer = MarketplaceServicer(
        context,
        foundation.commands,
        queries,
        PhotoQueries(database, blobs),
        Memos(ledger, PostgresBlobStore(database, foundation.sealing_key)),
    )
    return Parts(
        servicers=[(service_pb2_grpc.add_MarketplaceServiceServicer_to_server, servicer)],
        consumers=(holds.consumer, permissions.consumer(foundation.bus, PERMISSIONS_CONSUMER)),
        tasks={"agreements that are due": watcher.run},
        before_serving=permissions.load,
    )


async def build(settings: MarketplaceSettings, stop: Stop) -> HostedService:
    """The service over ``settings``, not yet started.

    Raises:
        GenesisInvalid, OSError: the genesis file.
    """
    return await HostedService.build(SERVICE, settings, stop, assemble)


def main() -> None:
    """Run until a signal; exits with 0 after a clean drain."""
    run_hosted(SERVICE, MarketplaceSettings, build)


if __name__ == "__main__":
    main()
