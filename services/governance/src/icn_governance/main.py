"""Puts the service together: ``icn-governance``, settings from the environment."""

from __future__ import annotations

from icn.governance.v1.service_pb2_grpc import add_GovernanceServiceServicer_to_server
from icn_kit.inbox import Consumer
from icn_kit.lifecycle import Stop
from icn_kit.service import Foundation, HostedService, Parts, run_hosted

from icn_governance.api.governance_service import GovernanceServicer, Needs
from icn_governance.events.following import IDENTITY_SUBJECTS, LEDGER_SUBJECTS, Following
from icn_governance.peers.ledger import ClockTime, ValidatorsLedger
from icn_governance.settings import GovernanceSettings
from icn_governance.store.queries import GovernanceQueries
from icn_governance.store.unit_of_work import HandlerUnitOfWork, begin_with
from icn_governance.usecases.close_polls import Advancing
from icn_governance.usecases.watch_polls import PollWatch

SERVICE = "governance"
"""Name of its schema, of its events and of itself."""


async def assemble(foundation: Foundation) -> Parts:
    """What this service is made of."""
    genesis_hash = foundation.genesis.hash
    begin = begin_with(foundation.database, genesis_hash)
    ledger = ValidatorsLedger(foundation.validators.agreed)
    watch = PollWatch(Advancing(begin, ledger, foundation.clock, genesis_hash), foundation.block_clock)
    following = Following(
        lambda connection: HandlerUnitOfWork(connection, genesis_hash), foundation.clock, genesis_hash
    )
    servicer = GovernanceServicer(
        Needs(
            genesis_hash=genesis_hash,
            commands=foundation.commands,
            begin=begin,
            reader=GovernanceQueries(foundation.database),
            ledger=ledger,
            block_time=ClockTime(foundation.block_clock),
            clock=foundation.clock,
            note_change=watch.note_change,
        )
    )
    return Parts(
        servicers=[(add_GovernanceServiceServicer_to_server, servicer)],
        consumers=[
            Consumer(
                foundation.database,
                foundation.bus,
                "ledger",
                name="governance_ledger",
                subjects=LEDGER_SUBJECTS,
                handler=following.ledger_event,
            ),
            Consumer(
                foundation.database,
                foundation.bus,
                "identity",
                name="governance_offices",
                subjects=IDENTITY_SUBJECTS,
                handler=following.identity_event,
            ),
        ],
        tasks={"polls": watch.run},
    )


async def build(settings: GovernanceSettings, stop: Stop) -> HostedService:
    """The service over ``settings``, not yet started.

    Raises:
        GenesisInvalid, OSError: the genesis file.
    """
    return await HostedService.build(SERVICE, settings, stop, assemble)


def main() -> None:
    """Run until a signal; exits with 0 after a clean drain."""
    run_hosted(SERVICE, GovernanceSettings, build)


if __name__ == "__main__":
    main()
