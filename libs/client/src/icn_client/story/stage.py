"""What the chapters of the story share: the platform, who takes part, and how a step shows what it found."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from icn.ledger.v1.transaction_pb2 import Message

from icn_client import transactions
from icn_client.acting import Actor, perform
from icn_client.connection import Connection, NetworkFile, ValidatorAddress
from icn_client.governance import Governance
from icn_client.keystore import Identity
from icn_client.submitter import Outcome, Submitter
from icn_client.transactions import new_identifier

if TYPE_CHECKING:
    from icn_localnet.platform import RunningPlatform

    from icn_client.story.stewards import Stewards

CODE: Final = "HOURS"
SCALE: Final = 2
FLOOR_MINOR: Final = -500_00
"""Members may owe the others five hundred hours' worth."""
POLL_SECONDS: Final = 0.1


class StoryFailed(Exception):
    """A check did not hold; the message says which and what was seen."""


@dataclass(slots=True)
class Member:
    """A person with a key and an account."""

    name: str
    identity: Identity
    actor: Actor
    account: bytes
    coop: str
    """Name of the cooperative that the person belongs to."""


@dataclass(slots=True)
class Coop:
    """A cooperative with the keys that its officers hold."""

    name: str
    identity: Identity
    actor: Actor
    """Signs with as many of the officers' keys as the threshold asks for."""


@dataclass(slots=True)
class Stage:
    """Where the story plays."""

    platform: RunningPlatform
    network: NetworkFile
    tell: Callable[[str], None]
    connection: Connection
    submitter: Submitter
    founders: dict[str, Identity]
    """By the name of their keystore."""
    unit: bytes = field(default_factory=new_identifier)
    federation: bytes = field(default_factory=new_identifier)
    """Its authority."""
    coops: dict[str, Coop] = field(default_factory=dict)
    """By name, founders first."""
    stewards: Stewards | None = None
    """Programs of the cooperatives, once they run."""
    contract: bytes = b""
    """The mutual-aid fund."""
    election: bytes = b""
    """The poll that elected delegates."""
    members: dict[str, Member] = field(default_factory=dict)
    """By first name."""
    steps: list[dict[str, Any]] = field(default_factory=list)
    """The steps so far, with what each showed."""
    commit_seconds: float = 0.0
    """What a payment took from signing to its receipt."""
    last_height: int = 0
    """Of the last payment while a validator was away."""

    def show(self, text: str) -> None:
        """Tell what was found."""
        self.steps[-1]["shown"].append(text)
        self.tell(f"   {text}")

    def check(self, holds: bool, text: str) -> None:
        """Show what was found if it holds, end the story if not."""
        if not holds:
            raise StoryFailed(f"step {len(self.steps)}, {self.steps[-1]['step']}: NOT: {text}")
        self.show(f"✓ {text}")

    @property
    def governance(self) -> Governance:
        """The service, for whoever signs."""
        return Governance(self.connection)

    async def act(self, actor: Actor, *messages: Message) -> Outcome:
        """Have somebody sign one transaction; the outcome once it is final."""
        outcome, _ = await perform(self.submitter, actor, messages)
        return outcome

    async def balance(self, name: str) -> Any:
        """The leaf of a member's account."""
        return (await self.connection.account(self.members[name].account)).leaf

    async def pay(self, payer: str, payee: str, amount_minor: int) -> Any:
        """Have one member pay another; the outcome once it is final."""
        message = transactions.transfer(
            self.members[payer].account, self.members[payee].account, amount_minor
        )
        return await self.act(self.members[payer].actor, message)

    def pid(self, address: ValidatorAddress) -> int | None:
        """Process of a validator; None while it is down."""
        return self.platform.pid(f"validator-{address.seat}")


async def wait_for(condition: Callable[[], Awaitable[bool]], seconds: float) -> bool:
    """Whether the condition came to hold within that time."""
    deadline = time.monotonic() + seconds
    while not await condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(POLL_SECONDS)
    return True


def hours(minor: int) -> str:
    """An amount as people read it."""
    return f"{minor / 100:.2f} {CODE}" if minor >= 0 else f"−{-minor / 100:.2f} {CODE}"
