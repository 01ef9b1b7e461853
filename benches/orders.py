"""Whole order life cycles on a running platform: how many a second, and CPU-ms for each.

`python benches/orders.py DIRECTORY [CYCLES]` measures the platform that runs there and prints one JSON
object. A cycle is what a sale takes in real life, each step after the one before: the receiver accepts (a
signed command), places the hold (a signed transaction), confirms what was handed over (a signed command), the
provider captures the hold (a signed transaction), and the marketplace calls the agreement settled.
With `--report` the provider reports the delivery before, by one more command.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from icn.ledger.v1.transaction_pb2 import Message
from icn.marketplace.v1 import service_pb2 as pb
from icn_client import marketplace, transactions
from icn_client.acting import Actor, actor_of, now_ms, perform, read_receipt
from icn_client.commands import send_command, sign_command
from icn_client.connection import Connection, NetworkFile
from icn_client.platforms import open_founders
from icn_client.submitter import Outcome, Submitter
from icn_client.transactions import EXPIRY_MS, KeyPair, new_identifier
from processes import usage

CYCLES_DEFAULT = 1_000
PROVIDERS = 8
RECEIVERS = 24
IN_FLIGHT = 200
"""Orders under way at once: a market day, below the 256 calls that a server takes at once."""
FLOOR_MINOR = -1_000_000_000
PRICE_MINOR = 5
SETTLED_SECONDS_MAX = 120.0
POLL_SECONDS = 0.05


@dataclass
class Trader:
    """Somebody with a key and an account."""

    actor: Actor
    account: bytes
    offer: pb.Offer = field(default_factory=pb.Offer)


class Market:
    """The clients of many people over shared connections, as a co-op's app server or phones would have."""

    def __init__(self, connection: Connection, submitter: Submitter, has_reports: bool) -> None:
        self.connection = connection
        self.submitter = submitter
        self.has_reports = has_reports
        self._waiting: dict[bytes, asyncio.Future[Outcome]] = {}

    async def hear(self) -> None:
        """Hand every outcome to who waits for it."""
        while True:
            if not self.submitter.outstanding:
                await asyncio.sleep(0.001)
                continue
            for outcome in await self.submitter.take():
                self._waiting.pop(outcome.signed.transaction_id).set_result(outcome)

    async def transact(self, actor: Actor, message: Message) -> None:
        """One signed transaction, committed and applied."""
        expire_time_ms = now_ms() + EXPIRY_MS
        signed = actor.sign([message], expire_time_ms)
        future = self._waiting[signed.transaction_id] = asyncio.get_running_loop().create_future()
        self.submitter.put(signed, expire_time_ms)
        read_receipt(await future)

    async def command(self, actor: Actor, request: Any) -> Any:
        """One signed command, answered."""
        method = request.DESCRIPTOR.name
        signed = sign_command(
            actor.genesis_hash, actor.keys, actor.principal, marketplace.METHODS + method, request
        )
        return await send_command(self.connection, signed, getattr(pb, f"{method}Response"))

    async def cycle(self, provider: Trader, receiver: Trader) -> bytes:
        """One sale up to the capture; the agreement's id."""
        offer = provider.offer
        accept = pb.AcceptOffer(
            offer=marketplace.bare_id(offer.name),
            quantity=1,
            price_minor=offer.price_minor,
            expire_time_ms=now_ms() + offer.fulfil_within_ms + 60_000,
        )
        agreement = (await self.command(receiver.actor, accept)).agreement
        identifier = marketplace.bare_id(agreement.name)
        await self.transact(receiver.actor, marketplace.place_payment(agreement, receiver.account))
        if self.has_reports:
            await self.command(provider.actor, pb.ReportDelivery(agreement=identifier))
        await self.command(receiver.actor, pb.ConfirmDelivery(agreement=identifier))
        await self.transact(provider.actor, marketplace.capture_payment(agreement))
        return identifier

    async def settled(self, agreement: bytes) -> None:
        """Return once the marketplace calls it settled."""
        deadline = time.monotonic() + SETTLED_SECONDS_MAX
        while True:
            found = await marketplace.get_agreement(self.connection, agreement)
            if found.state == pb.AGREEMENT_STATE_SETTLED:
                return
            if time.monotonic() > deadline:
                raise SystemExit(f"not settled in {SETTLED_SECONDS_MAX:g} s: {found}")
            await asyncio.sleep(POLL_SECONDS)


async def open_traders(directory: Path, connection: Connection, submitter: Submitter) -> list[Trader]:
    """People with accounts in a unit of their own, sponsored by the first founding co-op."""
    founder = open_founders(directory)[0]
    sponsor = await actor_of(connection, founder, lane=6)
    unit = new_identifier()
    await perform(submitter, sponsor, [transactions.create_unit(unit, "ORDERS", 2, FLOOR_MINOR)])
    traders = []
    for _ in range(PROVIDERS + RECEIVERS):
        key = KeyPair.generate()
        actor = Actor(connection.genesis.hash, new_identifier(), sponsor.principal, (key,))
        opened = transactions.open_controller(
            actor.principal, 1, [transactions.controller_key(key.public_keys)]
        )
        await perform(submitter, sponsor, [opened])
        account = new_identifier()
        await perform(submitter, actor, [transactions.open_account(account, unit)])
        traders.append(Trader(actor, account))
    return traders


async def measure(directory: Path, cycles: int, has_reports: bool) -> dict[str, float]:
    """Cycles a second from the first acceptance to the last agreement seen as settled."""
    network = NetworkFile.load(directory)
    async with Connection(network) as connection, Submitter(connection.doors()) as submitter:
        traders = await open_traders(directory, connection, submitter)
        providers, receivers = traders[:PROVIDERS], traders[PROVIDERS:]
        market = Market(connection, submitter, has_reports)
        for provider in providers:
            publish = pb.PublishOffer(
                action=pb.OFFER_ACTION_TRANSFER,
                title="Bread",
                specification="bread",
                quantity=10**6,
                measure="loaf",
                price_minor=PRICE_MINOR,
                account=provider.account,
                fulfil_within_ms=3_600_000,
            )
            provider.offer = (await market.command(provider.actor, publish)).offer
        hearing = asyncio.create_task(market.hear())
        gate = asyncio.Semaphore(IN_FLIGHT)
        seconds: list[float] = []

        async def one(number: int) -> bytes:
            async with gate:
                started = time.perf_counter()
                made = await market.cycle(providers[number % PROVIDERS], receivers[number % RECEIVERS])
                seconds.append(time.perf_counter() - started)
                return made

        await asyncio.gather(*(one(number) for number in range(IN_FLIGHT)))  # warm
        seconds.clear()
        pid = network.supervisor_pid
        platform_before = usage(pid).cpu_seconds if pid else 0.0
        own_before = resource.getrusage(resource.RUSAGE_SELF)
        started = time.perf_counter()
        made = await asyncio.gather(*(one(number) for number in range(cycles)))
        captured_seconds = time.perf_counter() - started
        for agreement in made:
            await market.settled(agreement)
        elapsed = time.perf_counter() - started
        own_after = resource.getrusage(resource.RUSAGE_SELF)
        platform_cpu = (usage(pid).cpu_seconds if pid else 0.0) - platform_before
        own_cpu = own_after.ru_utime + own_after.ru_stime - own_before.ru_utime - own_before.ru_stime
        hearing.cancel()
    seconds.sort()
    return {
        "cycles": cycles,
        "per_second": round(cycles / elapsed, 1),
        "per_second_to_capture": round(cycles / captured_seconds, 1),
        "platform_cpu_ms_per_cycle": round(platform_cpu / cycles * 1_000, 2),
        "client_cpu_ms_per_cycle": round(own_cpu / cycles * 1_000, 2),
        "cycle_p50_ms": round(seconds[len(seconds) // 2] * 1_000),
        "cycle_p99_ms": round(seconds[int(len(seconds) * 0.99)] * 1_000),
    }


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if word != "--report"]
    wanted = int(words[1]) if len(words) > 1 else CYCLES_DEFAULT
    print(json.dumps(asyncio.run(measure(Path(words[0]), wanted, "--report" in sys.argv))))
