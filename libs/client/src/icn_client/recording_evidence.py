"""What `icn steward` does about evidence: asks the validators for it, and records what the ledger lacks.

Nobody commands it and nobody has to be first: the ledger takes one proof of each seat and epoch, and who
comes second is content. A proof is checked here before it is sent: a lying validator costs its reader a look.

Source: docs/spec/consensus.md, "Evidence".
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from icn_kit.errors import DomainError

from icn_client.acting import TransactionRefused, find_actor, perform
from icn_client.evidence import seen
from icn_client.stewarding import STEWARD_LANE
from icn_client.submitter import NobodyAnswers, Submitter
from icn_client.transactions import record_equivocation

if TYPE_CHECKING:
    from icn_client.connection import Connection
    from icn_client.evidence import Seen
    from icn_client.keystore import Identity

RECORDED_PER_LOOK_MAX: Final = 4
"""Proofs sent in one look: each is charged like sixteen signatures, and decisions wait meanwhile."""
LOOKS_BETWEEN_TRIES_MAX: Final = 360
"""After refusals a proof waits for 1, 2, 4 … looks, at most for an hour of looks every ten seconds: what the
ledger includes and refuses is charged each time."""
RECORDED: Final = "EQUIVOCATION_RECORDED"
"""Refusal of who comes second: what was wanted is done."""


@dataclass(frozen=True, slots=True)
class Recording:
    """What became of one proof."""

    evidence: str
    """Name of the leaf, ``equivocations/EPOCH/SEAT``."""
    outcome: str
    """``recorded`` (by this steward or another) or ``failed``."""
    reason: str = ""
    message: str = ""

    @property
    def subject(self) -> str:
        """What it is about."""
        return self.evidence

    @property
    def headline(self) -> str:
        """In a line, without the reason."""
        return f"{self.evidence}  {self.outcome}"

    def document(self) -> dict[str, Any]:
        """As JSON shows it."""
        return asdict(self)


class EvidenceRecorder:
    """One organization's, for as long as its steward runs.

    Args:
        connection: to the network.
        submitter: sends the transactions.
        steward: the organization's principal with its steward's key.
    """

    def __init__(self, connection: Connection, submitter: Submitter, steward: Identity) -> None:
        self._connection = connection
        self._submitter = submitter
        self._steward = steward
        self._looks = 0
        self._waiting: dict[tuple[int, int], tuple[int, int]] = {}
        """By (epoch, seat): refusals so far, and the look of the next try."""

    async def look(self) -> list[Recording]:
        """Record what is not on the ledger yet, oldest epoch first, at most `RECORDED_PER_LOOK_MAX`.

        Raises:
            DomainError: the ledger cannot be asked.
        """
        self._looks += 1
        missing = [*reversed(await seen(self._connection, with_recorded=False))]
        places = {one.place for one in missing}
        self._waiting = {place: wait for place, wait in self._waiting.items() if place in places}
        due = [one for one in missing if self._waiting.get(one.place, (0, 0))[1] <= self._looks]
        return [await self._record(one) for one in due[:RECORDED_PER_LOOK_MAX]]

    async def _record(self, one: Seen) -> Recording:
        try:
            actor = await find_actor(
                self._connection, self._steward.principal, self._steward.keys[:1], STEWARD_LANE
            )
            await perform(self._submitter, actor, [record_equivocation(one.proof.encode())])
        except TransactionRefused as refusal:
            if refusal.reason != RECORDED:
                return self._failed(one, refusal.reason, str(refusal))
        except NobodyAnswers as error:
            return self._failed(one, "NOBODY_ANSWERS", str(error))
        except DomainError as error:
            return self._failed(one, error.reason, error.message)
        return Recording(one.name, "recorded")

    def _failed(self, one: Seen, reason: str, message: str) -> Recording:
        tries = self._waiting.get(one.place, (0, 0))[0]
        pause = min(2**tries, LOOKS_BETWEEN_TRIES_MAX)
        self._waiting[one.place] = tries + 1, self._looks + pause
        return Recording(one.name, "failed", reason, message)
