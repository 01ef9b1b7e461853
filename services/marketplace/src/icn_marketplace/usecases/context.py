"""What every write stands on."""

from __future__ import annotations

from dataclasses import dataclass

from icn_kit.clock import Clock

from icn_marketplace.usecases.announce import Announcer
from icn_marketplace.usecases.permissions import PermissionsAt
from icn_marketplace.usecases.ports import BlockTime, Ledger, UnitsOfWork


@dataclass(frozen=True, slots=True)
class Context:
    """The ports of one running service."""

    genesis_hash: bytes
    units: UnitsOfWork
    clock: Clock
    permissions: PermissionsAt
    """Made anew for each command, at the newest height known; at height 0 nobody is anything."""
    ledger: Ledger
    block_time: BlockTime
    announcer: Announcer
