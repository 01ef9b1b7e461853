"""ICN's side: four validators with consensus, ledger and a Postgres each, over mutual TLS."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import grpc
from icn.consensus.v1.block_pb2 import BlockHeader
from icn.ledger.v1.service_pb2 import WatchBlocksRequest
from icn_chain.envelope import MESSAGES_MAX
from icn_client import transactions
from icn_client.acting import Actor, actor_of, now_ms, read_receipt
from icn_client.connection import Connection, NetworkFile
from icn_client.platforms import found_network, open_founders, without_secrets
from icn_client.submitter import Door, Outcome, Submitter
from icn_client.transactions import EXPIRY_MS, KeyPair, Signed, new_identifier
from icn_localnet import processes
from icn_localnet.network import Network
from icn_localnet.platform import START_SECONDS_MAX, RunningPlatform

from benches.consensus.delay import Links, delayed
from benches.consensus.side import AMOUNT_MINOR, FLOOR_MINOR, PARTIES, SEATS, Applied
from benches.processes import Usage, usage
from benches.wheels import has_native, without_native

WHEELS: Final = "ICN, wheels only"
NATIVE: Final = "ICN, native"
VALIDATORS: Final = tuple(f"validator-{seat}" for seat in range(SEATS))
DATABASES: Final = tuple(f"postgres-{seat}" for seat in range(SEATS))
WATCH_SECONDS_MAX: Final = 600.0
MEMO_HASH_BYTES: Final = 32


def configurations() -> list[str]:
    """What can be measured in this environment."""
    return [WHEELS, NATIVE] if has_native() else [WHEELS]


def transfer_bytes() -> int:
    """How long a signed transfer is; the peer's are made as long."""
    actor = Actor(bytes(32), new_identifier(), new_identifier(), (KeyPair.generate(),), next_sequence=50)
    return len(_transfer(actor, new_identifier(), new_identifier(), now_ms() + EXPIRY_MS).data)


def _transfer(actor: Actor, source: bytes, destination: bytes, expire_time_ms: int) -> Signed:
    """A transfer with the hash of a memo, as people send them."""
    message = transactions.transfer(source, destination, AMOUNT_MINOR, os.urandom(MEMO_HASH_BYTES))
    return actor.sign([message], expire_time_ms)


def _opening(
    sponsor: Actor, parties: Sequence[Actor], accounts: Sequence[bytes]
) -> Iterator[tuple[list[Signed], int]]:
    """What is handed in, one after the other: a unit, the parties' controllers, their accounts."""
    unit, expire_time_ms = new_identifier(), now_ms() + EXPIRY_MS
    made = [
        transactions.open_controller(
            party.principal, 1, [transactions.controller_key(party.keys[0].public_keys)]
        )
        for party in parties
    ]
    groups = [made[begin : begin + MESSAGES_MAX] for begin in range(0, len(made), MESSAGES_MAX)]
    yield (
        [sponsor.sign([transactions.create_unit(unit, "BENCH", 2, FLOOR_MINOR)], expire_time_ms)],
        expire_time_ms,
    )
    yield [sponsor.sign(group, expire_time_ms) for group in groups], expire_time_ms
    opened = [
        party.sign([transactions.open_account(account, unit)], expire_time_ms)
        for party, account in zip(parties, accounts, strict=True)
    ]
    yield opened, expire_time_ms


class IcnSide:
    """`Side` of a running network; use `icn_side`."""

    settle_seconds = 2.0
    """Events that the ledgers put into their outboxes are published a little later."""

    def __init__(self, platform: RunningPlatform | None, connection: Connection) -> None:
        """Without ``platform`` it sends and watches, and knows nothing of processes."""
        self._processes = platform
        self._connection = connection
        self._chance = random.Random(5)
        self._parties: list[Actor] = []
        self._accounts: list[bytes] = []
        self._sponsors = 1

    async def open_accounts(
        self, directory: Path, founders: Sequence[int] = (0,), parties: int = PARTIES
    ) -> None:
        """So many principals with an account each, evenly of sponsors that have a unit each."""
        self._sponsors = len(founders)
        self._parties, self._accounts = [], []
        sponsors = [await actor_of(self._connection, open_founders(directory)[each]) for each in founders]
        for number in range(parties):
            sponsor, key = sponsors[number % len(sponsors)], KeyPair.generate()
            actor = Actor(self._connection.genesis.hash, new_identifier(), sponsor.principal, (key,))
            self._parties.append(actor)
            self._accounts.append(new_identifier())
        async with Submitter(self.doors()) as submitter:
            for number, sponsor in enumerate(sponsors):
                members = slice(number, None, len(sponsors))
                for work, expire_time_ms in _opening(
                    sponsor, self._parties[members], self._accounts[members]
                ):
                    for outcome in await submitter.submit(work, expire_time_ms):
                        self.check(outcome)

    def begin_lane(self, lane: int) -> None:
        """Have everybody sign on another lane from now on; on the one before some may be missing."""
        for party in self._parties:
            party.lane, party.next_sequence = lane, 1

    def doors(self) -> Sequence[Door]:
        return self._connection.doors()

    def sign(self, count: int) -> tuple[list[Signed], int]:
        expire_time_ms = now_ms() + EXPIRY_MS
        signed = []
        for number in range(count):
            members = range(number % self._sponsors, len(self._parties), self._sponsors)
            source, destination = self._chance.sample(members, 2)
            signed.append(
                _transfer(
                    self._parties[source],
                    self._accounts[source],
                    self._accounts[destination],
                    expire_time_ms,
                )
            )
        return signed, expire_time_ms

    def check(self, outcome: Outcome) -> None:
        read_receipt(outcome)

    async def watch(self, seat: int) -> AsyncIterator[Applied]:
        address = self._connection.network.validators[seat]
        status = await self._connection.status(address)
        request = WatchBlocksRequest(from_height=status.executed_height + 1, without_receipts=True)
        stream: Any = self._connection.ledger(address).WatchBlocks(request, timeout=WATCH_SECONDS_MAX)
        try:
            async for message in stream:
                yield Applied(message.block.height, BlockHeader.FromString(message.block.header).time_ms)
        except grpc.RpcError:
            return  # it was killed

    async def newest_final(self, seat: int) -> tuple[int, float] | None:
        status = await self._connection.status(self._connection.network.validators[seat])
        return status.final_height, status.final_since_time_ms / 1_000

    def cpu_seconds(self) -> dict[str, float]:
        databases, validators, nats = (
            sum(used.cpu_seconds for used in self._usages(part))
            for part in (DATABASES, VALIDATORS, ("nats",))
        )
        return {"nodes": validators + databases, "databases": databases, "nats": nats}

    def memory_bytes(self) -> int:
        return sum(used.pss_bytes for used in self._usages((*VALIDATORS, *DATABASES)))

    @property
    def _platform(self) -> RunningPlatform:
        assert self._processes is not None, "only who started the platform asks"
        return self._processes

    def _usages(self, names: Sequence[str]) -> list[Usage]:
        table = self._platform.processes()
        pids = [table[name]["pid"] for name in names]
        return [usage(pid) for pid in pids if pid is not None]

    def kill(self, seat: int) -> None:
        self._platform.hold(f"validator-{seat}")


@asynccontextmanager
async def icn_side(
    label: str, directory: Path, delay_ms: int = 0, parties: int = PARTIES, payers: int = 1
) -> AsyncIterator[IcnSide]:
    """A new network in a directory, running meanwhile, its accounts open."""
    data = directory / "data"
    network = found_network(data, validators=SEATS)
    addresses = [validator.consensus for validator in network.validators]
    with delayed(addresses, delay_ms, directory / "delay.log") as links:
        platform = await asyncio.to_thread(_launched, network, label, directory, links)
        try:
            async with Connection(NetworkFile.load(data)) as connection:
                side = IcnSide(platform, connection)
                await side.open_accounts(data, range(payers), parties)
                yield side
        finally:
            await asyncio.to_thread(platform.stop)


def _launched(network: Network, label: str, directory: Path, links: Links) -> RunningPlatform:
    log = directory / "validators.log"
    with without_secrets():
        environment = dict(os.environ)
    if label == WHEELS:
        environment["PYTHONPATH"] = str(without_native(directory))
    command = [sys.executable, "-m", "benches.consensus.validators", str(network.directory)]
    if links:
        peers: dict[str, dict[str, str]] = {str(seat): {} for seat in range(SEATS)}
        for (source, target), address in links.items():
            peers[str(source)][str(target)] = address
        (directory / "peers.json").write_text(json.dumps(peers))
        command.append(str(directory / "peers.json"))
    process = processes.spawn(
        command,
        log=log,
        death_signal=signal.SIGTERM,
        environment=environment,
        on_any_thread=True,
    )
    platform = RunningPlatform(network.directory, process)
    deadline = time.monotonic() + START_SECONDS_MAX
    while Network.load(network.directory).ready_pid != process.pid:
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"the validators did not start: {processes.tail(log)}")
        time.sleep(0.1)
    maps = Path(f"/proc/{platform.pid('validator-0')}/maps").read_text()
    assert ("icn_native" in maps) == (label == NATIVE), "the validators are what the column says"
    return platform
