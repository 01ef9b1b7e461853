"""What the routes work with; one per process, put together in ``main``."""

from __future__ import annotations

from dataclasses import dataclass

from icn_kit.genesis import Genesis

from icn_gateway.domain.rate_limit import RateLimit
from icn_gateway.usecases.list_validators import ValidatorWatch
from icn_gateway.usecases.name_book import NameBook
from icn_gateway.usecases.ports import EventFeed, LedgerReader, Services, TransactionPool
from icn_gateway.usecases.seats_in_force import SeatsInForce
from icn_gateway.usecases.shared_reads import SharedReads
from icn_gateway.usecases.sign_in import SignIn
from icn_gateway.usecases.units import UnitCatalog
from icn_gateway.usecases.watched_accounts import WatchedAccounts


@dataclass(frozen=True, slots=True)
class Context:
    """Ports and facts of one zone."""

    genesis: Genesis
    genesis_file: bytes
    """As it was read, byte for byte."""
    ledger: LedgerReader
    pool: TransactionPool
    services: Services
    validators: ValidatorWatch
    seats: SeatsInForce
    units: UnitCatalog
    feed: EventFeed
    watched: WatchedAccounts
    shared: SharedReads
    book: NameBook
    sign_in: SignIn
    sign_in_limit: RateLimit
    """Per client address, for routes that check signatures or codes."""

    @property
    def names(self) -> dict[bytes, str]:
        """Names of the founding organizations, by principal."""
        return {organization.principal: organization.name for organization in self.genesis.organizations}
