"""The peer's side: four CometBFT validators, each with the application of `benches/consensus/peer`."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from icn_client.acting import now_ms
from icn_client.submitter import Door, DoorClosed, End, News, NewsState, Outcome
from icn_client.transactions import EXPIRY_MS, Signed, new_identifier
from icn_crypto.suites import SigningKey, Suite
from icn_localnet import files, processes
from icn_machine.limits import IDENTIFIER_BYTES

from benches.consensus.delay import Links, delayed
from benches.consensus.side import AMOUNT_MINOR, PARTIES, SEATS, Applied
from benches.processes import Usage, usage

ROOT: Final = Path(__file__).resolve().parent.parent.parent
SOURCE: Final = Path(__file__).resolve().with_name("peer")
BINARY: Final = ROOT / "build" / "consensus-peer"
TUNED: Final = "tuned"
DEFAULT: Final = "default"
SIGNATURE_BYTES: Final = 64
ENDING_BYTES: Final = IDENTIFIER_BYTES + 1
POOL_FULL: Final = 4
POOL_FULL_MS: Final = 50
READY_SECONDS_MAX: Final = 60.0
STOP_SECONDS_MAX: Final = 15.0


def build() -> None:
    """Make the peer's program.

    Raises:
        SystemExit: Go is not here, or does not build it.
    """
    if shutil.which("go") is None:
        raise SystemExit(
            "make bench-consensus compares with CometBFT and needs Go 1.26 or newer, and go is not on PATH."
        )
    BINARY.parent.mkdir(exist_ok=True)
    done = subprocess.run(["go", "build", "-o", str(BINARY), "."], cwd=SOURCE, check=False)
    if done.returncode != 0:
        raise SystemExit(
            "go build failed for benches/consensus/peer; its modules come from Go's module proxy."
        )


def describe(configuration: str) -> list[str]:
    """The settings that matter, one a line."""
    command = [str(BINARY), "describe", configuration]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def version() -> str:
    """Of CometBFT, as go.mod asks for it."""
    return next(
        line.split()[-1]
        for line in (SOURCE / "go.mod").read_text("utf-8").splitlines()
        if "cometbft/cometbft v" in line
    )


class PeerSide:
    """`Side` of a running network; use `peer_side`."""

    settle_seconds = 0.0
    """What it puts off (the index, at its defaults) is left out, to its advantage."""

    def __init__(self, transfer_bytes: int) -> None:
        self._padding = bytes(transfer_bytes - 2 * IDENTIFIER_BYTES - 16 - SIGNATURE_BYTES)
        self._chance = random.Random(5)
        self._keys = [SigningKey.generate(Suite.ED25519) for _ in range(PARTIES)]
        self._names = [new_identifier() for _ in range(PARTIES)]
        self._sequences = [0] * PARTIES
        self.addresses: list[str] = []
        self.processes: list[subprocess.Popen[bytes]] = []

    def accounts(self) -> bytes:
        """Name and key of each, as every node is told."""
        return b"".join(name + key.public_key for name, key in zip(self._names, self._keys, strict=True))

    def start(self, configuration: str, directory: Path, addresses: Sequence[str], links: Links) -> None:
        """Make a chain whose nodes listen at ``addresses`` and find each other there, or by ``links``."""
        command = [str(BINARY), "files", configuration, str(directory), *addresses]
        subprocess.run(command, check=True, capture_output=True)
        for (source, target), link in links.items():
            settings = directory / f"node{source}" / "config" / "config.toml"
            settings.write_text(settings.read_text().replace(f"@{addresses[target]}", f"@{link}"))
        (directory / "accounts").write_bytes(self.accounts())
        for seat, door in enumerate(self.addresses):
            command = [str(BINARY), "run", str(directory / f"node{seat}"), door]
            log = directory / f"node{seat}.log"
            self.processes.append(processes.spawn(command, log=log, on_any_thread=True))

    def doors(self) -> Sequence[Door]:
        return [PeerDoor(address) for address in self.addresses]

    def sign(self, count: int) -> tuple[list[Signed], int]:
        signed = []
        for _ in range(count):
            source, destination = self._chance.sample(range(PARTIES), 2)
            self._sequences[source] += 1
            body = (
                self._names[source]
                + self._names[destination]
                + self._sequences[source].to_bytes(8, "big")
                + AMOUNT_MINOR.to_bytes(8, "big")
                + self._padding
            )
            data = body + self._keys[source].sign(body)
            signed.append(Signed(hashlib.sha256(data).digest()[:IDENTIFIER_BYTES], data))
        return signed, now_ms() + EXPIRY_MS

    def check(self, outcome: Outcome) -> None:
        if outcome.end is not End.COMMITTED:
            raise AssertionError(f"the peer refused a transfer: {outcome.reason}")

    async def watch(self, seat: int) -> AsyncIterator[Applied]:
        stream = await open_stream(self.addresses[seat], wants_ids=False)
        with contextlib.suppress(DoorClosed):
            async for height, _ in stream.frames():
                yield Applied(height)

    async def newest_final(self, seat: int) -> tuple[int, float] | None:
        return None  # it applies a block before it tells of it

    def cpu_seconds(self) -> dict[str, float]:
        return {"nodes": sum(used.cpu_seconds for used in self._usages())}

    def memory_bytes(self) -> int:
        return sum(used.pss_bytes for used in self._usages())

    def _usages(self) -> list[Usage]:
        return [usage(process.pid) for process in self.processes if process.poll() is None]

    def stop(self) -> None:
        """Have all nodes end."""
        for process in self.processes:
            processes.stop(process, first=signal.SIGTERM, seconds=STOP_SECONDS_MAX)

    def kill(self, seat: int) -> None:
        self.processes[seat].kill()
        self.processes[seat].wait()


class PeerDoor:
    """A node as the submitter sees it."""

    def __init__(self, address: str) -> None:
        self._address = address

    @property
    def name(self) -> str:
        return self._address

    async def open(self) -> PeerStream:
        return await open_stream(self._address, wants_ids=True)

    async def find(self, _transaction_id: bytes) -> News | None:
        return None  # asked only after trouble, which then fails the run

    async def block_time_ms(self) -> int:
        return 0


class PeerStream:
    """A connection to a node's door; frames as in `peer/door.go`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, transactions: Sequence[bytes]) -> None:
        batch = b"".join(len(one).to_bytes(2, "big") + one for one in transactions)
        try:
            self._writer.write(len(batch).to_bytes(4, "big") + batch)
            await self._writer.drain()
        except OSError as error:
            raise DoorClosed(str(error)) from error

    async def frames(self) -> AsyncIterator[tuple[int, bytes]]:
        """Height and endings, as they come."""
        try:
            while True:
                head = await self._reader.readexactly(12)
                endings = await self._reader.readexactly(int.from_bytes(head[8:], "big") * ENDING_BYTES)
                yield int.from_bytes(head[:8], "big"), endings
        except (OSError, asyncio.IncompleteReadError) as error:
            raise DoorClosed(str(error)) from error

    async def news(self) -> AsyncIterator[Sequence[News]]:
        async for height, endings in self.frames():
            yield [
                _news(height, endings[at : at + IDENTIFIER_BYTES], endings[at + IDENTIFIER_BYTES])
                for at in range(0, len(endings), ENDING_BYTES)
            ]

    async def close(self) -> None:
        self._writer.close()


async def open_stream(address: str, *, wants_ids: bool) -> PeerStream:
    """Connect to a node's door.

    Raises:
        DoorClosed: nobody listens.
    """
    host, _, port = address.rpartition(":")
    try:
        reader, writer = await asyncio.open_connection(host, int(port), limit=1 << 22)
    except OSError as error:
        raise DoorClosed(str(error)) from error
    writer.write(bytes([wants_ids]))
    return PeerStream(reader, writer)


def _news(height: int, identifier: bytes, code: int) -> News:
    if height and code == 0:
        return News(identifier, NewsState.COMMITTED, height=height, receipt=b"\0")
    wait_ms = POOL_FULL_MS if code == POOL_FULL else 0
    return News(identifier, NewsState.REFUSED, reason=f"code {code}", retry_after_ms=wait_ms)


@asynccontextmanager
async def peer_side(
    configuration: str, directory: Path, transfer_bytes: int, delay_ms: int = 0
) -> AsyncIterator[PeerSide]:
    """A new network in a directory, running meanwhile."""
    side = PeerSide(transfer_bytes)
    taken: set[int] = set()
    addresses = []
    for _ in range(2 * SEATS):
        port = files.free_port(taken=taken)
        taken.add(port)
        addresses.append(f"127.0.0.1:{port}")
    side.addresses = addresses[SEATS:]
    with delayed(addresses[:SEATS], delay_ms, directory / "delay.log") as links:
        try:
            await asyncio.to_thread(side.start, configuration, directory, addresses[:SEATS], links)
            await _until_ready(side, directory)
            yield side
        finally:
            await asyncio.to_thread(side.stop)


async def _until_ready(side: PeerSide, directory: Path) -> None:
    async with asyncio.timeout(READY_SECONDS_MAX):
        for seat, address in enumerate(side.addresses):
            while True:
                try:
                    stream = await open_stream(address, wants_ids=False)
                except DoorClosed:
                    if side.processes[seat].poll() is not None:
                        log = (directory / f"node{seat}.log").read_text()[-2_000:]
                        raise SystemExit(f"a peer's node did not start: {log}") from None
                    await asyncio.sleep(0.1)
                else:
                    await stream.close()
                    break
