"""A stopped validator's ledger made anew: in place of the old one as a whole, or not at all."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import psycopg
import pytest
from icn.consensus.v1.block_pb2 import Block, BlockHeader
from icn.kit.v1.envelope_pb2 import EventEnvelope
from icn_audit.final_blocks import final_blocks
from icn_chain.header import header_hash
from icn_consensus.usecases.ports import StoredBlock
from icn_kit.bus import Bus
from icn_kit.database import Database
from icn_kit.relay import Relay
from icn_ledger.main import open_state
from icn_localnet.ledger_rebuild import RebuildRefused, rebuild_ledger
from icn_localnet.nats import NatsServer
from icn_localnet.network import SERVICES, Network, ServiceAddresses, ValidatorAddresses
from icn_localnet.parts import VALIDATOR_PACKAGES
from icn_localnet.postgres import DATABASE, PostgresServer
from icn_localnet.supervisor import AlreadyRunning, locked
from icn_localnet.template import make_clusters
from icn_machine.blocks.final_block import FinalBlock
from icn_machine.blocks.ports import ExecutedBlock

from libs.audit.tests.chain import Chain
from libs.machine.tests.workload import Workload
from libs.machine.tests.zone import Zone, ledger_over, make_zone

SEED = 21
BLOCKS = 24
NOBODY = "127.0.0.1:9"
STATE = """
    SELECT executed_height, (SELECT state_root FROM ledger.blocks ORDER BY height DESC LIMIT 1),
        (SELECT count(*) FROM ledger.entries), (SELECT count(*) FROM ledger.outbox),
        (SELECT array_agg(nspname::text ORDER BY nspname) FROM pg_namespace WHERE nspname LIKE 'ledger%')
    FROM ledger.chain
"""
"""Height, root, how much history there is, and the schemas there are of ledgers."""


@pytest.fixture(scope="module")
def zone() -> Zone:
    return make_zone()


@pytest.fixture(scope="module")
def chain(zone: Zone) -> Chain:
    """Blocks with everything in them, and an end of an epoch."""

    async def grow() -> Chain:
        made = Chain(zone)
        for transactions in Workload(zone, SEED).blocks(BLOCKS - 2):
            await made.add(*transactions)
        await made.pass_edge()
        await made.add()
        return made

    return asyncio.run(grow())


@pytest.fixture(scope="module")
def blocks(chain: Chain) -> list[FinalBlock]:
    return list(final_blocks(BytesIO(chain.archive()).read))


@dataclass
class Validator:
    """A validator that nobody runs, with its server."""

    network: Network
    server: PostgresServer
    zone: Zone

    def rebuild(self, archive: Path | None = None, *, may_replace: bool = True, **changes: Any) -> Any:
        return rebuild_ledger(self.network, 0, archive=archive, may_replace=may_replace, **changes)

    def ask(self, *statements: str) -> list[Any]:
        """Rows of the last statement, from the server that is started for it."""
        self.server.start()
        try:
            with self.server.connect(DATABASE) as connection:
                for statement in statements[:-1]:
                    connection.execute(statement)  # type: ignore[arg-type]
                cursor = connection.execute(statements[-1])  # type: ignore[arg-type]
                return cursor.fetchall() if cursor.description else []
        finally:
            self.server.stop()

    def keep(self, blocks: Sequence[FinalBlock]) -> None:
        """Put blocks into consensus's store."""
        with psycopg.connect(self.server.dsn("consensus")) as connection:
            for block in map(self.stored, blocks):
                connection.execute(
                    "INSERT INTO final_blocks (height, hash, epoch, view, block, finalization,"
                    " descendant_headers) VALUES (%s, %s, %s, %s, %s, %s, %s)",
                    (
                        block.height,
                        block.hash,
                        block.epoch,
                        block.view,
                        block.block,
                        block.finalization,
                        list(block.descendant_headers),
                    ),
                )

    def stored(self, block: FinalBlock) -> StoredBlock:
        header = BlockHeader.FromString(block.header)
        data = Block(
            header=block.header, transactions=block.transactions, parent_certificate=block.parent_certificate
        ).SerializeToString(deterministic=True)
        return StoredBlock(
            header.height,
            header_hash(self.zone.genesis.hash, block.header),
            header.epoch,
            header.view,
            data,
            block.finalization,
            block.descendant_headers,
        )

    def execute(self, blocks: Sequence[FinalBlock], nats: NatsServer | None = None) -> ExecutedBlock:
        """Have the ledger execute blocks, and its relay publish all there is; the server runs."""

        async def work() -> ExecutedBlock:
            database = await Database.open(self.server.dsn("ledger"), "ledger")
            state = await open_state(database, self.zone.genesis)
            for block in blocks:
                await ledger_over(state, self.zone, None).executor.execute(block)
            if nats is not None:
                await publish(database, nats)
            await state.close()
            await database.close()
            return state.newest

        return asyncio.run(work())


@pytest.fixture
def validator(zone: Zone, localnet_directory: Path) -> Iterator[Validator]:
    directory = Path(tempfile.mkdtemp(dir=localnet_directory))
    (directory / "genesis.json").write_text(json.dumps(zone.document))
    addresses = ValidatorAddresses(0, "Bakery", "00" * 16, NOBODY, NOBODY, NOBODY, NOBODY)
    services = {name: ServiceAddresses(NOBODY, NOBODY) for name in SERVICES}
    network = Network(directory, [addresses], services, gateway=NOBODY, metrics=NOBODY, nats=NOBODY)
    network.save()
    server = PostgresServer(network.validator_directory(0) / "postgres")
    yield Validator(network, server, zone)
    server.stop()
    shutil.rmtree(directory)


@pytest.fixture
def filled(validator: Validator, blocks: list[FinalBlock]) -> Validator:
    """One that has executed all blocks but the last, and keeps them."""
    make_clusters([validator.server], VALIDATOR_PACKAGES)
    validator.server.start()
    validator.keep(blocks[:-1])
    validator.execute(blocks[:-1])
    validator.server.stop()
    return validator


async def publish(database: Database, nats: NatsServer) -> None:
    """Run the relay until it has nothing left to publish."""
    bus = await Bus.connect(nats.url, "test")
    relay = Relay(database, bus, "ledger")
    relay.start()
    async with database.connection() as connection:
        row = await (
            await connection.execute("SELECT id FROM outbox ORDER BY position DESC LIMIT 1")
        ).fetchone()
    assert row is not None
    deadline = time.monotonic() + 30
    while (newest := await bus.newest_event("ledger")) is None or newest[0] != row[0]:
        assert time.monotonic() < deadline, newest
        await asyncio.sleep(0.1)
    await relay.stop()
    await bus.close()


def published(nats: NatsServer) -> list[EventEnvelope]:
    async def read() -> list[EventEnvelope]:
        bus = await Bus.connect(nats.url, "test")
        state = await bus.stream_state("ledger")
        assert state is not None
        found = [await bus.event_at("ledger", sequence) for sequence in range(1, state.last_sequence + 1)]
        await bus.close()
        return [event for event in found if event is not None]

    return asyncio.run(read())


def test_a_damaged_ledger_is_made_anew_and_goes_on_and_nobody_hears_an_event_twice(
    validator: Validator, blocks: list[FinalBlock], chain: Chain, nats_server: NatsServer
) -> None:
    make_clusters([validator.server], VALIDATOR_PACKAGES)
    validator.server.start()
    validator.keep(blocks[:-2])
    validator.execute(blocks[:-2], nats_server)
    validator.server.stop()
    before = published(nats_server)
    (whole,) = validator.ask(STATE)
    assert whole[-1] == ["ledger"]
    validator.ask("DELETE FROM ledger.entries WHERE height > 5", "UPDATE ledger.leaves SET height = 1")
    told: list[tuple[str, int, int]] = []
    rebuilt = validator.rebuild(tell=lambda *how: told.append(how))
    height = len(blocks) - 2
    named = BlockHeader.FromString(blocks[-3].header)
    assert rebuilt == {
        "height": height,
        "transactions": sum(len(block.transactions) for block in blocks[:-2]),
        "state_root": whole[1].hex(),
        "named_height": named.executed_height,
        "named_state_root": named.state_root.hex(),
    }
    assert {(doing, last) for doing, _, last in told} == {("execute", height)}
    assert validator.ask(STATE) == [whole], "every entry and every event is there again"
    validator.server.start()
    newest = validator.execute(blocks[-2:], nats_server)
    assert newest.state_root == chain.ledger.state.newest.state_root
    after = published(nats_server)
    assert after[: len(before)] == before
    assert len({event.id for event in after}) == len(after)
    assert {event.height for event in after[len(before) :]} <= {height + 1, height + 2}


def test_a_ledger_with_blocks_is_replaced_only_when_asked_for(filled: Validator) -> None:
    (before,) = filled.ask(STATE)
    with pytest.raises(RebuildRefused, match=f"stands at height {BLOCKS - 1}") as refusal:
        filled.rebuild(may_replace=False)
    assert refusal.value.reason == "LEDGER_NOT_EMPTY"
    assert filled.ask(STATE) == [before]
    filled.ask("UPDATE ledger.chain SET executed_height = 0", "SELECT")
    assert filled.rebuild(may_replace=False)["height"] == BLOCKS - 1, (
        "a ledger at genesis has nothing to lose"
    )
    assert filled.ask(STATE) == [before]


def test_a_running_platform_is_left_alone(filled: Validator) -> None:
    with locked(filled.network.directory), pytest.raises(AlreadyRunning):
        filled.rebuild()


class Interrupted(Exception):
    """As a signal would."""


def test_what_is_interrupted_leaves_the_old_ledger_and_nothing_beside_it(filled: Validator) -> None:
    (before,) = filled.ask(STATE)

    def interrupt(doing: str, _height: int, _last: int) -> None:
        if doing == "execute":
            raise Interrupted

    with pytest.raises(Interrupted):
        filled.rebuild(tell=interrupt)
    assert filled.ask(STATE) == [before]


def test_what_is_killed_leaves_the_old_ledger_and_is_made_again_from_the_start(filled: Validator) -> None:
    (before,) = filled.ask(STATE)
    program = (
        "import sys, time; from pathlib import Path; from icn_localnet.network import Network;"
        "from icn_localnet.ledger_rebuild import rebuild_ledger;"
        "told = lambda doing, height, last: (print(doing, flush=True), time.sleep(60));"
        "rebuild_ledger(Network.load(Path(sys.argv[1])), 0, may_replace=True, tell=told)"
    )
    command = [sys.executable, "-c", program, str(filled.network.directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "execute\n"
        os.kill(process.pid, signal.SIGKILL)
    assert filled.ask(STATE) == [(*before[:-1], ["ledger", "ledger_rebuilt"])]
    filled.rebuild()
    assert filled.ask(STATE) == [before]


def test_heights_that_are_missing_are_named_and_an_archive_can_bring_them(
    filled: Validator, chain: Chain, tmp_path: Path
) -> None:
    archive = tmp_path / "archive.icn"
    (before,) = filled.ask(STATE)
    filled.ask("DELETE FROM consensus.final_blocks WHERE height <= 3", "SELECT")
    with pytest.raises(RebuildRefused, match="blocks 1 to 3 are not here, but those from 4 on") as refusal:
        filled.rebuild()
    assert refusal.value.reason == "HISTORY_MISSING"
    assert filled.ask(STATE) == [before]
    archive.write_bytes(part(chain, 3))
    told: list[str] = []
    rebuilt = filled.rebuild(archive, tell=lambda doing, _height, _last: told.append(doing))
    assert rebuilt["height"] == BLOCKS - 1, "the archive's, then its own"
    assert {"verify", "execute"} == set(told)
    assert filled.ask(STATE) == [before]
    archive.write_bytes(part(chain, 2))
    with pytest.raises(RebuildRefused, match="blocks 3 to 3 are not here, but those from 4 on"):
        filled.rebuild(archive)
    archive.write_bytes(chain.archive())
    assert filled.rebuild(archive)["height"] == BLOCKS, "the archive has a block that is not here"


def part(chain: Chain, height: int) -> bytes:
    """An archive of the first blocks."""

    async def make() -> bytes:
        made = Chain(make_zone())
        for transactions in list(Workload(made.zone, SEED).blocks(BLOCKS - 2))[:height]:
            await made.add(*transactions)
        assert made.headers == chain.headers[:height]
        return made.archive()

    return asyncio.run(make())


def test_an_archive_that_does_not_hold_is_refused(filled: Validator, chain: Chain, tmp_path: Path) -> None:
    archive = tmp_path / "archive.icn"
    content = bytearray(chain.archive())
    content[len(content) // 2] ^= 1
    archive.write_bytes(content)
    with pytest.raises(RebuildRefused, match="chunk/") as refusal:
        filled.rebuild(archive)
    assert refusal.value.reason == "ARCHIVE_INVALID"
    with pytest.raises(RebuildRefused, match="No such file") as refusal:
        filled.rebuild(tmp_path / "none")
    assert refusal.value.reason == "FILE_UNREADABLE"


def test_a_root_that_differs_is_told_with_both_and_the_old_ledger_stays(
    filled: Validator, blocks: list[FinalBlock]
) -> None:
    (before,) = filled.ask(STATE)
    header = BlockHeader.FromString(blocks[-2].header)
    root, header.state_root = header.state_root, bytes(32)
    wrong = filled.stored(blocks[-2]._replace(header=header.SerializeToString(deterministic=True)))
    filled.ask(
        f"UPDATE consensus.final_blocks SET block = '\\x{wrong.block.hex()}' WHERE height = {wrong.height}"
    )
    said = (
        f"state_root after height {header.executed_height}: block {wrong.height} names "
        f"{bytes(32).hex()}, executing gives {root.hex()}"
    )
    with pytest.raises(RebuildRefused, match=said) as refusal:
        filled.rebuild()
    assert refusal.value.reason == "ROOT_DIFFERS"
    assert filled.ask(STATE) == [before]


def test_without_a_block_there_is_nothing_to_make_a_ledger_from(validator: Validator) -> None:
    with pytest.raises(RebuildRefused, match="has no database") as refusal:
        validator.rebuild()
    assert refusal.value.reason == "NO_BLOCKS"
    make_clusters([validator.server], VALIDATOR_PACKAGES)
    with pytest.raises(RebuildRefused, match="keeps no block") as refusal:
        validator.rebuild()
    assert refusal.value.reason == "NO_BLOCKS"
