"""The keys of principals as the ledger has them, remembered for seconds.

Source: docs/spec/command.md, "Checks".
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from time import monotonic
from typing import Protocol

from icn.ledger.v1 import state_pb2
from icn.ledger.v1.service_pb2 import GetControllerResponse
from icn_crypto.suites import Suite, key_id

from icn_kit.commands import DirectoryKey, PrincipalKeys
from icn_kit.errors import NotFound, Unauthenticated

REMEMBERED_SECONDS_MAX = 2.0
"""A revoked key signs no longer than this."""
NEWEST_SECONDS = 0.25
"""A younger answer counts as the newest: bad signatures cost the ledger four reads a second at most."""
PRINCIPALS_MAX = 10_000
"""About 20 MB; more members are not active within two seconds."""


class ControllerReader(Protocol):
    """Where controllers are read: `icn_kit.agreement.AgreedReads`. Who answers here signs for anybody, so it
    must not be one validator alone."""

    async def get_controller(self, name: str) -> GetControllerResponse:
        """The controller ``principals/<32 hex>``. NotFound with reason CONTROLLER_UNKNOWN."""
        ...


class LedgerKeyDirectory:
    """Implements `icn_kit.commands.KeyDirectory` over the validators."""

    def __init__(self, ledger: ControllerReader, clock: Callable[[], float] = monotonic) -> None:
        self._ledger = ledger
        self._clock = clock
        self._known: OrderedDict[bytes, tuple[float, PrincipalKeys]] = OrderedDict()
        self._asking: dict[bytes, asyncio.Task[PrincipalKeys]] = {}

    async def keys_of(self, principal: bytes, *, is_newest: bool = False) -> PrincipalKeys:
        """See `icn_kit.commands.KeyDirectory`."""
        known = self._known.get(principal)
        seconds = NEWEST_SECONDS if is_newest else REMEMBERED_SECONDS_MAX
        if known is not None and self._clock() - known[0] < seconds:
            return known[1]
        asking = self._asking.get(principal)
        if asking is None:
            asking = self._asking[principal] = asyncio.create_task(self._ask(principal))
            asking.add_done_callback(lambda _: self._asking.pop(principal, None))
        return await asyncio.shield(asking)

    def forget(self, principal: bytes) -> None:
        """Ask the ledger next time: an event says that the keys have changed."""
        self._known.pop(principal, None)

    async def _ask(self, principal: bytes) -> PrincipalKeys:
        asked_at = self._clock()
        try:
            answer = await self._ledger.get_controller(f"principals/{principal.hex()}")
        except NotFound as error:
            self._known.pop(principal, None)
            raise Unauthenticated(
                "CONTROLLER_UNKNOWN", f"no principal {principal.hex()}", principal=principal.hex()
            ) from error
        keys = principal_keys(answer.controller)
        self._known[principal] = (asked_at, keys)
        self._known.move_to_end(principal)
        if len(self._known) > PRINCIPALS_MAX:
            self._known.popitem(last=False)
        return keys


def principal_keys(leaf: state_pb2.ControllerLeaf) -> PrincipalKeys:
    """A controller's leaf as the checks want it."""
    keys = {}
    for key in leaf.keys:
        public_keys = {entry.suite: entry.public_key for entry in key.public_keys}
        named = key_id({Suite(suite): public_key for suite, public_key in public_keys.items()})
        keys[named] = DirectoryKey(public_keys, key.HasField("scope"))
    return PrincipalKeys(leaf.principal, leaf.threshold, keys, leaf.sponsor)
