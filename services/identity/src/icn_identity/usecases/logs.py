"""Stored logs, verified once and remembered."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from icn_credentials import webvh_log
from icn_credentials.webvh_log import Log

from icn_identity.usecases.ports import UnitOfWork

REMEMBERED_MAX = 256
"""Logs in memory; one of a hundred entries takes about 400 KB."""
FAR_FUTURE_MS = 2**52
"""Entries were judged when they were taken; a clock that was set back does not undo them."""


class LogMemory:
    """Logs that were read, by principal. A log only grows, so only what is new is read and verified."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, Log] = OrderedDict()

    async def of(self, principal: bytes, uow: UnitOfWork) -> Log | None:
        """The log of a principal, None where it has none. Inside an open transaction."""
        count = await uow.did_entries.count(principal)
        if count == 0:
            return None
        known = self._known.get(principal)
        if known is None or len(known.lines) < count:
            lines = await uow.did_entries.lines(principal, 0 if known is None else len(known.lines))
            known = self._known[principal] = _extended(known, lines)
            if len(self._known) > REMEMBERED_MAX:
                self._known.popitem(last=False)
        self._known.move_to_end(principal)
        return known

    async def of_scid(self, scid: str, uow: UnitOfWork) -> tuple[bytes, Log] | None:
        """Whose log has this self-certifying identifier, and the log. Inside an open transaction."""
        principal = await uow.did_entries.principal_of(scid)
        log = None if principal is None else await self.of(principal, uow)
        return None if principal is None or log is None else (principal, log)


def _extended(known: Log | None, lines: Sequence[bytes]) -> Log:
    entries = [] if known is None else list(known.entries)
    for line in lines:
        entries.append(webvh_log.read_entry(line, entries[-1] if entries else None, FAR_FUTURE_MS))
    return Log(tuple(entries), "", (*(() if known is None else known.lines), *lines))
