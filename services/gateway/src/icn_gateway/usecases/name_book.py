"""What people call the organizations: names of genesis, and what each has said of itself since."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic

from icn_kit.errors import DomainError

from icn_gateway.usecases.shared_reads import SharedReads

FRESH_SECONDS = 5.0
PAGES_MAX = 4
"""Two thousand organizations; more than a federation has. Others show their ids."""
PAGE_SIZE = 500


@dataclass(frozen=True, slots=True)
class Named:
    """An organization's name."""

    name: str
    kind: str
    """Such as cooperative; empty while it has not said."""
    is_organization: bool = True


class NameBook:
    """Names by id in hex, read again every few seconds; while nobody answers the last ones stay."""

    def __init__(
        self,
        founders: Mapping[bytes, str],
        reads: SharedReads,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._founders = {principal.hex(): Named(name, "") for principal, name in founders.items()}
        self._reads = reads
        self._clock = clock
        self._names: Mapping[str, Named] = self._founders
        self._read_at = float("-inf")

    async def names(self) -> Mapping[str, Named]:
        """Every name that is known; never raises."""
        if self._clock() - self._read_at < FRESH_SECONDS:
            return self._names
        self._read_at = self._clock()
        found = dict(self._founders)
        token = ""
        try:
            for _ in range(PAGES_MAX):
                page = await self._reads.ask(
                    "governance", "ListOrganizations", page_size=PAGE_SIZE, page_token=token
                )
                for organization in page["organizations"]:
                    identifier = organization["name"].rpartition("/")[2]
                    founder = self._founders.get(identifier)
                    name = organization["display_name"] or (founder.name if founder else "")
                    found[identifier] = Named(name, organization["kind"])
                token = page["next_page_token"]
                if not token:
                    break
        except DomainError:
            return self._names
        self._names = found
        return found
