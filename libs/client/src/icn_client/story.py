"""The guided story of `icn demo`: what a federation does on its platform, each step with a check that can
fail.

The story holds the members' and founding co-ops' keys; the platform runs in other processes and never sees
them.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from icn.ledger.v1.service_pb2 import GetHoldRequest
from icn_kit.errors import DomainError, NotFound

from icn_client import transactions
from icn_client.acting import Actor, TransactionRefused, actor_of, now_ms, perform
from icn_client.connection import Connection, NetworkFile, ValidatorAddress
from icn_client.events import read_events
from icn_client.keystore import Identity
from icn_client.platforms import founder_slug, open_founders
from icn_client.replay import ReplayFailed, agreed_root
from icn_client.submitter import NobodyAnswers, Submitter
from icn_client.transactions import KeyPair, new_identifier

if TYPE_CHECKING:
    from icn_localnet.network import NetworkOptions
    from icn_localnet.platform import RunningPlatform

CODE: Final = "HOURS"
SCALE: Final = 2
FLOOR_MINOR: Final = -500_00
"""Members may owe the others five hundred hours' worth."""
HOLD_SECONDS_MIN: Final = 4.0
HOLD_COMMITS: Final = 20
"""A hold lasts as long as this many payments took to commit, so that a slow machine captures a part in
time.
"""
EXPIRY_SECONDS_MAX: Final = 20.0
"""How long after its expiry a hold may still stand: an idle chain makes a block at once, a busy machine is
late.
"""
EVENTS_SECONDS_MAX: Final = 60.0
RESTARTED_SEAT: Final = 2
TRANSFERS_WITHOUT_IT: Final = 20
POLL_SECONDS: Final = 0.1


class StoryFailed(Exception):
    """A check did not hold; the message says which and what was seen."""


def options() -> NetworkOptions:
    """Genesis of the story's federation."""
    from icn_localnet.network import NetworkOptions

    return NetworkOptions(zone="Valley federation")


@dataclass(slots=True)
class Member:
    """A person with a key and an account."""

    name: str
    actor: Actor
    account: bytes


class Story:
    """Plays on a platform that has just come up."""

    def __init__(self, platform: RunningPlatform, tell: Callable[[str], None]) -> None:
        self._platform = platform
        self._tell = tell
        self._steps: list[dict[str, Any]] = []
        self.network = NetworkFile.load(platform.directory)
        self._unit = new_identifier()
        self._members: dict[str, Member] = {}
        self._founders: dict[str, Identity] = {}
        self._commit_seconds = 0.0
        """What a payment took from signing to its receipt."""

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
        steps: Sequence[tuple[str, Callable[[], Awaitable[None]]]] = (
            ("Four founding co-ops seat the validators", self._founding),
            ("Members open accounts", self._onboarding),
            ("A sale on credit", self._sale),
            ("A sale refused at the floor", self._refusal),
            ("A hold: placed, captured in part, expired on an idle chain", self._hold),
            ("A validator is killed and the federation goes on", self._kill),
            ("It returns and catches up", self._catching_up),
            ("A balance proven offline with only the genesis file", self._proof),
            ("NATS loses everything and is rebuilt", self._events),
        )
        self._founders = {
            identity.name: identity
            for identity in await asyncio.to_thread(open_founders, self._platform.directory)
        }
        async with (
            Connection(self.network) as self._connection,
            Submitter(self._connection.doors()) as self._submitter,
        ):
            for number, (title, step) in enumerate(steps, 1):
                self._tell(f"\n{number}. {title}")
                started = time.monotonic()
                self._steps.append({"step": title, "shown": []})
                try:
                    await step()
                except (DomainError, TransactionRefused, ReplayFailed, NobodyAnswers, TimeoutError) as error:
                    raise StoryFailed(f"step {number}, {title}: {error}") from error
                self._steps[-1]["seconds"] = round(time.monotonic() - started, 2)

    def _show(self, text: str) -> None:
        self._steps[-1]["shown"].append(text)
        self._tell(f"   {text}")

    def _check(self, holds: bool, text: str) -> None:
        """Show what was found if it holds, end the story if not."""
        if not holds:
            raise StoryFailed(f"step {len(self._steps)}, {self._steps[-1]['step']}: NOT: {text}")
        self._show(f"✓ {text}")

    async def _balance(self, name: str) -> Any:
        return (await self._connection.account(self._members[name].account)).leaf

    async def _pay(self, payer: str, payee: str, amount_minor: int) -> Any:
        message = transactions.transfer(
            self._members[payer].account, self._members[payee].account, amount_minor
        )
        outcome, _ = await perform(self._submitter, self._members[payer].actor, [message])
        return outcome

    async def _founding(self) -> None:
        genesis = self.network.genesis
        answers = [await self._connection.status(address) for address in self.network.validators]
        for seat, address in zip(genesis.validators, self.network.validators, strict=True):
            self._show(f"seat {seat.seat}: {seat.name}, process {self._pid(address)}")
        self._check(
            all(answer.genesis_hash == genesis.hash for answer in answers),
            f"all {len(answers)} validators run zone {genesis.hash.hex()[:16]}…",
        )
        self._check(
            len({self._pid(address) for address in self.network.validators}) == len(answers),
            "each is a process of its own, with a Postgres of its own",
        )
        held = {seat.organization for seat in genesis.validators}
        self._check(
            held == {identity.principal for identity in self._founders.values()},
            "each seat is a founding co-op's, whose key no process of the platform holds",
        )
        self._show(f"trust profile {genesis.trust_profile}: one host holds a quorum, and every proof says so")

    def _pid(self, address: ValidatorAddress) -> int | None:
        return self._platform.pid(f"validator-{address.seat}")

    async def _onboarding(self) -> None:
        bakery = await actor_of(self._connection, self._founders[founder_slug("Sunrise Bakery")])
        farm = await actor_of(self._connection, self._founders[founder_slug("Harvest Farm")])
        await perform(
            self._submitter, bakery, [transactions.create_unit(self._unit, CODE, SCALE, FLOOR_MINOR)]
        )
        self._show(f"Sunrise Bakery issues the unit {CODE}; nobody may owe more than {_hours(-FLOOR_MINOR)}")
        for name, sponsor in (("Anna", bakery), ("Bruno", farm), ("Carla", bakery)):
            key = KeyPair.generate()
            member = Actor(self.network.genesis.hash, new_identifier(), sponsor.principal, (key,))
            message = transactions.open_controller(
                member.principal, 1, [transactions.controller_key(key.public_keys)]
            )
            await perform(self._submitter, sponsor, [message])
            account = new_identifier()
            await perform(self._submitter, member, [transactions.open_account(account, self._unit)])
            self._members[name] = Member(name, member, account)
        for name in self._members:
            leaf = await self._balance(name)
            self._check(
                (leaf.balance_minor, leaf.floor_minor, leaf.unit) == (0, FLOOR_MINOR, self._unit),
                f"{name} has an account: balance {_hours(0)}, floor {_hours(leaf.floor_minor)}",
            )

    async def _sale(self) -> None:
        started = time.monotonic()
        outcome = await self._pay("Bruno", "Anna", 120_00)
        self._commit_seconds = time.monotonic() - started
        anna, bruno = await self._balance("Anna"), await self._balance("Bruno")
        self._show(f"Bruno, who has nothing, buys bread from Anna for {_hours(120_00)}")
        self._check(
            (anna.balance_minor, bruno.balance_minor) == (120_00, -120_00),
            f"final in block {outcome.height}: Anna {_hours(120_00)}, Bruno {_hours(-120_00)}, sum 0",
        )

    async def _refusal(self) -> None:
        try:
            await self._pay("Bruno", "Anna", 400_00)
        except TransactionRefused as error:
            self._check(error.reason == "CREDIT_LIMIT_EXCEEDED", f"refused: {error.reason}")
            figures = error.figures
            would_be = figures.get("balance_minor", 0) - figures.get("amount_minor", 0)
            self._check(
                (would_be, figures.get("floor_minor")) == (-520_00, FLOOR_MINOR),
                f"Bruno would stand at {_hours(would_be)}, the floor is {_hours(FLOOR_MINOR)}",
            )
        else:
            raise StoryFailed("step 4: a debt below the floor was accepted")
        leaf = await self._balance("Bruno")
        self._check(leaf.balance_minor == -120_00, f"Bruno's balance is still {_hours(-120_00)}")

    async def _hold(self) -> None:
        hold, carla = new_identifier(), self._members["Carla"]
        hold_seconds = max(HOLD_SECONDS_MIN, HOLD_COMMITS * self._commit_seconds)
        expire_time_ms = now_ms() + int(hold_seconds * 1000)
        message = transactions.place_hold(
            hold, carla.account, self._members["Anna"].account, 100_00, expire_time_ms
        )
        await perform(self._submitter, carla.actor, [message])
        leaf = await self._balance("Carla")
        self._check(
            (leaf.held_minor, leaf.balance_minor) == (100_00, 0),
            f"Carla books the oven: {_hours(100_00)} held, nothing paid yet",
        )
        outcome, _ = await perform(
            self._submitter, self._members["Anna"].actor, [transactions.capture_hold(hold, 30_00)]
        )
        leaf = await self._balance("Carla")
        self._check(
            (leaf.held_minor, leaf.balance_minor) == (70_00, -30_00),
            f"Anna captures {_hours(30_00)} of it: Carla {_hours(-30_00)}, {_hours(70_00)} still held",
        )
        self._show("nobody sends anything more: the chain is idle until block time passes the hold's expiry")
        released = await self._wait_for(lambda: self._is_released(hold), hold_seconds + EXPIRY_SECONDS_MAX)
        leaf = await self._balance("Carla")
        self._check(
            released and (leaf.held_minor, leaf.balance_minor) == (0, -30_00),
            f"what was left is released: Carla {_hours(-30_00)}, nothing held",
        )
        expired = await self._releasing_block(outcome.height, expire_time_ms)
        self._check(
            expired is not None and expired[1] >= expire_time_ms and expired[2] == 0,
            "by block time alone: "
            + (f"block {expired[0]} holds no transaction and came " if expired else "no such block, ")
            + (f"{(expired[1] - expire_time_ms) / 1000:.2f} s after the expiry" if expired else ""),
        )

    async def _is_released(self, hold: bytes) -> bool:
        request = GetHoldRequest(name=f"holds/{hold.hex()}")
        try:
            await self._connection.read(lambda stub: stub.GetHold(request))
        except NotFound:
            return True
        return False

    async def _releasing_block(self, after: int, expire_time_ms: int) -> tuple[int, int, int] | None:
        """Height, block time and number of transactions of the first block at or past a time, above a
        height.
        """
        from icn.consensus.v1.block_pb2 import BlockHeader

        for height in range(after + 1, after + 1000):
            block = await self._connection.block_at(self.network.validators[0], height)
            if block is None:
                return None
            time_ms = BlockHeader.FromString(block.header).time_ms
            if time_ms >= expire_time_ms:
                return height, time_ms, block.transactions
        return None

    async def _kill(self) -> None:
        address = self.network.validators[RESTARTED_SEAT]
        pid = self._pid(address)
        await asyncio.to_thread(self._platform.kill, RESTARTED_SEAT)
        self._show(f"kill -9 {pid} and its Postgres: the validator of {address.name} is gone")
        started = time.monotonic()
        last = None
        for _ in range(TRANSFERS_WITHOUT_IT):
            last = await self._pay("Anna", "Carla", 1_00)
        seconds = time.monotonic() - started
        carla = await self._balance("Carla")
        self._check(
            carla.balance_minor == -30_00 + TRANSFERS_WITHOUT_IT * 1_00,
            f"{TRANSFERS_WITHOUT_IT} payments one after another committed without it, up to block "
            f"{last.height if last else 0}, {seconds / TRANSFERS_WITHOUT_IT * 1000:.0f} ms each",
        )
        self._check(self._pid(address) is None, "it was down all the while")
        self._last_height = last.height if last else 0

    async def _catching_up(self) -> None:
        started = time.monotonic()
        await asyncio.to_thread(self._platform.start, RESTARTED_SEAT)
        pid = self._pid(self.network.validators[RESTARTED_SEAT])
        self._show(f"process {pid} serves {time.monotonic() - started:.1f} s after it was let up")
        root = await agreed_root(self._connection, self._last_height)
        self._check(
            True,  # agreed_root has compared all four
            f"all four have executed block {self._last_height} and have the root {root.hex()[:16]}… "
            f"after {time.monotonic() - started:.1f} s",
        )
        outcome = await self._pay("Anna", "Bruno", 10_00)
        root = await agreed_root(self._connection, outcome.height)
        self._check(True, f"and the next block too: {root.hex()[:16]}… after block {outcome.height}")

    async def _proof(self) -> None:
        anna = self._members["Anna"]
        leaf = await self._balance("Anna")
        content = await self._connection.proof_file(f"accounts/{anna.account.hex()}")
        with tempfile.TemporaryDirectory(prefix="icn-proof-") as folder:
            away = Path(folder)
            shutil.copy(self.network.genesis_path, away / "genesis.json")
            (away / "balance.json").write_bytes(content)
            verdict, is_cut_off = await asyncio.to_thread(_verify_apart, away, "balance.json")
            statement = verdict.get("statement") or {}
            self._show(
                f"a proof of {len(content)} bytes and the genesis file in an empty folder, "
                + ("in a process without any network" if is_cut_off else "in a process of its own")
            )
            self._check(
                verdict.get("valid") is True
                and statement.get("account") == anna.account.hex()
                and statement.get("balance_minor") == str(leaf.balance_minor),
                f"valid: Anna stands at {_hours(leaf.balance_minor)} after block {verdict.get('height')}; "
                f"trust {verdict.get('trust')}, profile {verdict.get('profile')}, "
                f"{verdict.get('age_seconds')} s old, {verdict.get('epochs')} epochs walked",
            )
            document = json.loads(content)
            document["value"] = document["value"][:-2] + f"{int(document['value'][-2:], 16) ^ 1:02x}"
            (away / "forged.json").write_text(json.dumps(document))
            forged, _ = await asyncio.to_thread(_verify_apart, away, "forged.json")
            self._check(forged.get("valid") is False, f"one bit changed: refused, {forged.get('reason')}")

    async def _events(self) -> None:
        before = await self._settled_events()
        self._check(len(before) > 0, f"the stream of the ledger holds {len(before)} events")
        await asyncio.to_thread(self._platform.hold, "nats")
        await asyncio.to_thread(shutil.rmtree, self._platform.directory / "shared" / "nats" / "store")
        self._show("kill -9 of NATS, and its whole store removed")
        outcome = await self._pay("Anna", "Bruno", 5_00)
        self._check(outcome.height > 0, "trade goes on without it: Postgres is the truth")
        await asyncio.to_thread(self._platform.release, "nats")
        started = time.monotonic()
        after = await self._rebuilt_events(before)
        self._check(
            all(after.get(identifier) == event for identifier, event in before.items()),
            f"every one of the {len(before)} events is back with the same id and content, "
            f"and {len(after) - len(before)} new with them, "
            f"{time.monotonic() - started:.1f} s after its return",
        )

    async def _settled_events(self) -> dict[str, bytes]:
        """The stream's events, once none has come for a while."""
        found: dict[str, bytes] = {}
        for _ in range(int(EVENTS_SECONDS_MAX)):
            seen = await read_events(self._platform.directory, self.network)
            if seen and len(seen) == len(found):
                return seen
            found = seen
            await asyncio.sleep(0.5)
        return found

    async def _rebuilt_events(self, before: dict[str, bytes]) -> dict[str, bytes]:
        deadline = time.monotonic() + EVENTS_SECONDS_MAX
        while True:
            after = await read_events(self._platform.directory, self.network)
            if before.keys() < after.keys() or time.monotonic() > deadline:
                return after
            await asyncio.sleep(0.25)

    async def _wait_for(self, condition: Callable[[], Awaitable[bool]], seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not await condition():
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(POLL_SECONDS)
        return True


def _hours(minor: int) -> str:
    return f"{minor / 100:.2f} {CODE}" if minor >= 0 else f"−{-minor / 100:.2f} {CODE}"


def _verify_apart(folder: Path, name: str) -> tuple[dict[str, Any], bool]:
    """`icn proof verify` in a process that has this folder's files and nothing else to go by.

    Also returns whether it had no network at all.
    """
    command = [sys.executable, "-m", "icn_client.cli", "proof", "verify", name, "--genesis", "genesis.json"]
    environment = {"PATH": os.environ.get("PATH", ""), "HOME": str(folder)}
    apart = [*_without_network(), *command]
    done = subprocess.run(
        apart, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    try:
        return json.loads(done.stdout), len(apart) > len(command)
    except ValueError:
        raise StoryFailed(f"icn proof verify said nothing: {done.stderr[-500:]}") from None


def _without_network() -> list[str]:
    """How to start a program in a network namespace without any interface; nothing where the kernel forbids
    it.
    """
    unshare = shutil.which("unshare")
    if unshare is None:
        return []
    prefix = [unshare, "--user", "--net"]
    probe = subprocess.run(
        [*prefix, sys.executable, "-S", "-c", "pass"], capture_output=True, timeout=30, check=False
    )
    return prefix if probe.returncode == 0 else []
