"""Puts the service together: ``icn-identity``, settings from the environment."""

from __future__ import annotations

from icn.identity.v1.service_pb2_grpc import add_IdentityServiceServicer_to_server
from icn_kit.lifecycle import Stop
from icn_kit.service import Foundation, HostedService, Parts, run_hosted

from icn_identity.api.identity_service import IdentityServicer
from icn_identity.events.memberships import CONSUMER, Memberships
from icn_identity.events.permissions import Checkpoints, OwnPermissions
from icn_identity.peers.ledger import ValidatorsLedger, ValidatorsOutboxes
from icn_identity.settings import IdentitySettings
from icn_identity.store.tuples import PostgresTuples
from icn_identity.store.unit_of_work import IdentityUnitOfWork
from icn_identity.usecases.ports import Surroundings

SERVICE = "identity"
"""Name of its schema, of its events and of itself."""


def assemble(foundation: Foundation, domain: str) -> Parts:
    """What this service is made of."""
    permissions = OwnPermissions(foundation.database)
    around = Surroundings(
        genesis_hash=foundation.genesis.hash,
        domain=domain,
        clock=foundation.clock,
        ledger=ValidatorsLedger(foundation.validators.agreed),
        blocks=foundation.block_clock,
        permissions=permissions,
    )

    def unit_of_work() -> IdentityUnitOfWork:
        return IdentityUnitOfWork(foundation.database, around.zone)

    memberships = Memberships(
        lambda connection: PostgresTuples(connection, around.zone),
        permissions,
        around.ledger,
        foundation.block_clock,
    )
    checkpoints = Checkpoints(
        unit_of_work,
        foundation.bus,
        foundation.block_clock,
        permissions,
        ValidatorsOutboxes(foundation.validators),
    )
    servicer = IdentityServicer(foundation.commands, unit_of_work, around)
    return Parts(
        servicers=[(add_IdentityServiceServicer_to_server, servicer)],
        consumers=[memberships.consumer(foundation.database, foundation.bus)],
        tasks={"permission checkpoints": lambda: checkpoints.run(CONSUMER)},
        before_serving=permissions.load,
    )


async def build(settings: IdentitySettings, stop: Stop) -> HostedService:
    """The service over ``settings``, not yet started.

    Raises:
        GenesisInvalid, OSError: the genesis file.
    """

    async def make(foundation: Foundation) -> Parts:
        return assemble(foundation, settings.domain)

    return await HostedService.build(SERVICE, settings, stop, make)


def main() -> None:
    """Run until a signal; exits with 0 after a clean drain."""
    run_hosted(SERVICE, IdentitySettings, build)


if __name__ == "__main__":
    main()
