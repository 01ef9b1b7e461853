"""The guided story of `icn demo`: what a federation does on its platform, each step with a check that can
fail.

The story holds the members' and founding co-ops' keys; the platform runs in other processes and never sees
them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from icn_kit.errors import DomainError

from icn_client.acting import TransactionRefused
from icn_client.connection import Connection, NetworkFile
from icn_client.platforms import open_founders
from icn_client.replay import ReplayFailed
from icn_client.story import decisions, federation, loss, proofs, recovery, sharing, spine
from icn_client.story.stage import Stage, StoryFailed
from icn_client.submitter import NobodyAnswers, Submitter

if TYPE_CHECKING:
    from icn_localnet.network import NetworkOptions
    from icn_localnet.platform import RunningPlatform

__all__ = ["Story", "StoryFailed", "options"]

STEPS: Final[Sequence[tuple[str, Callable[[Stage], Awaitable[None]]]]] = (
    ("Four founding co-ops seat the validators", spine.founding),
    ("They found a federation", federation.found),
    ("Three co-ops join by vote", federation.join_by_vote),
    ("Twelve people join by vouch", federation.join_by_vouch),
    ("A sale on credit", spine.sale),
    ("A sale refused at the floor", spine.refusal),
    ("A hold: placed, captured in part, expired on an idle chain", spine.hold),
    ("The tractor is wanted twice", sharing.bookings),
    ("An order: offer, agreement, delivery, settlement", sharing.order),
    ("Delegates are elected by STV", decisions.elect),
    ("A floor is set by a decision, and by nothing less", decisions.raise_floor),
    ("A mutual-aid fund runs as a contract", sharing.fund),
    ("A lost key is recovered", recovery.recover),
    ("A validator is killed and the federation goes on", loss.kill),
    ("It returns and catches up", loss.catching_up),
    ("Balance, membership and election proven offline with only the genesis file", proofs.offline),
    ("NATS loses everything and is rebuilt", loss.events),
)


def options() -> NetworkOptions:
    """Genesis of the story's federation."""
    from icn_localnet.network import NetworkOptions

    from icn_client.story.federation import RECOVERY_DELAY_MS

    return NetworkOptions(zone="Valley federation", recovery_delay_ms_min=RECOVERY_DELAY_MS)


class Story:
    """Plays on a platform that has just come up."""

    def __init__(self, platform: RunningPlatform, tell: Callable[[str], None]) -> None:
        self._platform = platform
        self._tell = tell
        self._steps: list[dict[str, Any]] = []
        self.network = NetworkFile.load(platform.directory)

    def note(self, text: str) -> None:
        """Tell something that is not a step."""
        self._tell(text)

    def summary(self) -> list[dict[str, Any]]:
        """The steps that held so far, with what each showed."""
        return self._steps

    async def play(self) -> None:
        """Play every step.

        Raises:
            StoryFailed: a check did not hold.
        """
        opened = await asyncio.to_thread(open_founders, self._platform.directory)
        founders = {identity.name: identity for identity in opened}
        async with (
            Connection(self.network) as connection,
            Submitter(connection.doors()) as submitter,
        ):
            stage = Stage(
                self._platform, self.network, self._tell, connection, submitter, founders, steps=self._steps
            )
            try:
                for number, (title, step) in enumerate(STEPS, 1):
                    await self._play(stage, number, title, step)
            finally:
                if stage.stewards is not None:
                    await asyncio.to_thread(stage.stewards.close)

    async def _play(
        self, stage: Stage, number: int, title: str, step: Callable[[Stage], Awaitable[None]]
    ) -> None:
        self._tell(f"\n{number}. {title}")
        started = time.monotonic()
        self._steps.append({"step": title, "shown": []})
        try:
            await step(stage)
        except (DomainError, TransactionRefused, ReplayFailed, NobodyAnswers, TimeoutError) as error:
            raise StoryFailed(f"step {number}, {title}: {error}") from error
        self._steps[-1]["seconds"] = round(time.monotonic() - started, 2)
