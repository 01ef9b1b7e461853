"""What a validator may lose: its life at any moment, its database, and its record with it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import psycopg
import pytest
from icn.consensus.v1.block_pb2 import Certificate
from icn.ledger.v1.service_pb2 import GetBlockRequest, ListEntriesRequest
from icn_client.acting import actor_of, now_ms, read_receipt
from icn_client.connection import Connection, NetworkFile, ask
from icn_client.keystore import Identity
from icn_client.platforms import found_network, open_founders
from icn_client.replay import agreed_root
from icn_client.status import read_status
from icn_client.submitter import Submitter
from icn_client.transactions import EXPIRY_MS, transfer
from icn_kit.errors import DomainError
from icn_localnet.network import NetworkOptions
from icn_localnet.platform import RunningPlatform, launch
from icn_localnet.postgres import PostgresServer

EPOCH_MS = 60_000
"""The shortest."""
WAIT_SECONDS = 150.0
VICTIM = 2
WINDOW = 25
"""Transfers under way: a load, on a machine that has four validators to run."""
PAUSE_SECONDS = 0.2
NAMES = ("harvest-farm", "sunrise-bakery", "riverside-housing", "wheelwright-workshop")


@pytest.fixture(scope="module")
def zone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPlatform]:
    """A platform of its own with short epochs."""
    network = found_network(
        tmp_path_factory.mktemp("lost") / "zone",
        validators=4,
        options=NetworkOptions(epoch_ms=EPOCH_MS, heartbeat_ms=2_000),
    )
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("ICN_CONSENSUS_STATE_SYNC_HEIGHTS_MIN", "1")  # as soon as there is a snapshot
        running = launch(network)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def command(zone: RunningPlatform) -> Callable[..., Any]:
    """Run `icn` on the platform; its one JSON object."""

    def run(*arguments: str, as_json: tuple[str, ...] = ("--json",)) -> Any:
        done = subprocess.run(
            [sys.executable, "-m", "icn_client.cli", *arguments, "--data", str(zone.directory), *as_json],
            cwd=zone.directory.parent,
            env={**os.environ, "HOME": str(zone.directory.parent)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


@pytest.fixture(scope="module")
def accounts(command: Callable[..., Any]) -> list[str]:
    """An account of each of two founders in a unit without a floor."""
    unit = command("unit", "create", "SEED", "--scale", "0", "--floor", "-1000000", "--as", NAMES[0])["unit"]
    return [command("account", "open", "--unit", unit, "--as", name)["account"] for name in NAMES[:2]]


def founder(zone: RunningPlatform, name: str) -> Identity:
    (found,) = [one for one in open_founders(zone.directory) if one.name == name]
    return found


class Load:
    """One founder's transfers of 1, WINDOW at a time; every outcome has to be a commit that applied."""

    def __init__(self, zone: RunningPlatform, accounts: list[str]) -> None:
        self.accounts = [bytes.fromhex(account) for account in accounts]
        self.acknowledged: dict[bytes, int] = {}
        """Height by transaction id."""
        self._zone = zone
        self._is_over = False

    async def run(self) -> None:
        network = NetworkFile.load(self._zone.directory)
        async with Connection(network) as connection, Submitter(connection.doors(), WINDOW) as submitter:
            actor = await actor_of(connection, founder(self._zone, NAMES[0]))
            while submitter.outstanding or not self._is_over:
                while submitter.room > 0 and not self._is_over:
                    expire_time_ms = now_ms() + EXPIRY_MS
                    submitter.put(actor.sign([transfer(*self.accounts, 1)], expire_time_ms), expire_time_ms)
                for outcome in await submitter.take():
                    read_receipt(outcome)
                    self.acknowledged[outcome.signed.transaction_id] = outcome.height
                await asyncio.sleep(PAUSE_SECONDS)

    def end(self) -> None:
        self._is_over = True


async def entries(ledger: Any, account: bytes) -> AsyncIterator[Any]:
    """All of an account, as one validator lists them."""
    request = ListEntriesRequest(account=f"accounts/{account.hex()}", page_size=500)
    while True:
        page = await ask(ledger.ListEntries(request))
        for entry in page.entries:
            yield entry
        request.page_token = page.next_page_token
        if not page.next_page_token:
            return


async def check_nothing_is_lost(zone: RunningPlatform, load: Load) -> None:
    """Each validator has every acknowledged transfer, where it was acknowledged, and the same state."""
    async with Connection(NetworkFile.load(zone.directory)) as connection:
        await agreed_root(connection, max(load.acknowledged.values()))
        for address in connection.network.validators:
            found = [entry async for entry in entries(connection.ledger(address), load.accounts[0])]
            assert len(found) == len(load.acknowledged)
            assert {one.transaction_id: one.height for one in found} == load.acknowledged, address.name
        balances = [(await connection.account(account)).leaf.balance_minor for account in load.accounts]
        assert balances == [-len(load.acknowledged), len(load.acknowledged)]


async def settled(zone: RunningPlatform, seat: int) -> None:
    """Return when a validator has executed as much as another."""

    async def stands() -> bool:
        status = await read_status(NetworkFile.load(zone.directory))
        heights = [one.answer.executed_height if one.answer else -1 for one in status.validators]
        own = status.validators[seat].answer
        return own is not None and not own.is_catching_up and heights[seat] >= max(heights) - 2 > 0

    deadline = time.monotonic() + WAIT_SECONDS
    while not await stands():
        assert time.monotonic() < deadline, f"validator {seat} does not catch up"
        await asyncio.sleep(0.3)


@pytest.mark.timeout(400)
def test_kill_9_of_each_validator_in_turn_under_load_loses_nothing_acknowledged(
    zone: RunningPlatform, accounts: list[str]
) -> None:
    async def play() -> None:
        load = Load(zone, accounts)
        running = asyncio.create_task(load.run())
        for seat in range(4):
            before = len(load.acknowledged)
            await asyncio.sleep(1)
            await asyncio.to_thread(zone.kill, seat)
            while len(load.acknowledged) < before + WINDOW:
                assert not running.done(), running.result()
                await asyncio.sleep(0.1)
            await asyncio.to_thread(zone.start, seat)
            await settled(zone, seat)
        load.end()
        await running
        await check_nothing_is_lost(zone, load)

    asyncio.run(play())


@pytest.mark.timeout(400)
def test_a_lost_database_comes_back_from_the_others_while_they_go_on(
    zone: RunningPlatform, accounts: list[str], command: Callable[..., Any]
) -> None:
    before = command("account", "show", accounts[0])["balance_minor"]
    zone.lose(VICTIM)
    command("pay", accounts[1], "1", "--as", NAMES[0], "--from", accounts[0])
    zone.come_back(VICTIM)
    asyncio.run(settled(zone, VICTIM))
    assert command("account", "show", accounts[0])["balance_minor"] == str(int(before) - 1)
    assert VICTIM in signers_soon(zone, {VICTIM}), "it votes with the key it had"


def signers_soon(zone: RunningPlatform, wanted: set[int], blocks: int = 6) -> set[int]:
    """Seats that signed one of the next finalizations that another validator stores, until all wanted did."""
    dsn = PostgresServer(zone.network.validator_directory(0) / "postgres").dsn("consensus")
    found: set[int] = set()
    with psycopg.connect(dsn, autocommit=True) as database:
        newest = "SELECT coalesce(max(height), 0) FROM consensus.final_blocks"
        ((height,),) = database.execute(newest).fetchall()
        deadline = time.monotonic() + WAIT_SECONDS
        rows: list[Any] = []
        while len(rows) < blocks and not wanted <= found:
            assert time.monotonic() < deadline, f"{len(rows)} blocks"
            time.sleep(0.5)
            rows = database.execute(
                "SELECT finalization FROM consensus.final_blocks WHERE height > %s", (height,)
            ).fetchall()
            found = {one.seat for (row,) in rows for one in Certificate.FromString(row).signatures}
    return found


@pytest.mark.timeout(500)
def test_who_lost_the_record_too_follows_and_votes_again_with_a_key_its_organization_has_signed(
    zone: RunningPlatform, accounts: list[str], command: Callable[..., Any]
) -> None:
    seat = zone.network.genesis.validators[VICTIM]
    zone.lose(VICTIM, with_record=True)
    zone.come_back(VICTIM)
    log = zone.directory / f"validator-{VICTIM}" / "validator.log"
    deadline = time.monotonic() + WAIT_SECONDS
    while "RecordLogMissing" not in log.read_text("utf-8"):
        assert time.monotonic() < deadline, "a key without its record starts"
        time.sleep(0.5)
    folder = zone.directory.parent
    key = folder / "consensus.json"
    offer = folder / "offer.json"
    new = ("validators", "key", "new", "--for", seat.organization.hex(), "--out", str(key))
    offered = command(*new, as_json=())
    offer.write_text(json.dumps(offered))
    used = command("validators", "key", "use", str(key), "--validator", str(VICTIM))
    assert used["ed25519"] == offered["public_keys"]["ed25519"]
    asyncio.run(settled(zone, VICTIM))
    command("pay", accounts[1], "1", "--as", NAMES[0], "--from", accounts[0])
    assert VICTIM not in signers_soon(zone, {VICTIM}), "nobody has signed for its key"
    (name,) = [name for name in NAMES if founder(zone, name).principal == seat.organization]
    command("validators", "rekey", "--as", name, "--offer", str(offer))
    deadline = time.monotonic() + WAIT_SECONDS
    while command("validators", "show")["in_force"]["seats"][VICTIM]["public_keys"] != offered["public_keys"]:
        assert time.monotonic() < deadline, "no edge"
        command("pay", accounts[1], "1", "--as", NAMES[0], "--from", accounts[0])
        time.sleep(2)
    assert VICTIM in signers_soon(zone, {VICTIM}), "it votes in the epoch whose set names its key"
    zone.kill(0)
    try:  # a quorum of three needs it now
        command("pay", accounts[1], "1", "--as", NAMES[0], "--from", accounts[0])
    finally:
        zone.start(0)


@pytest.mark.timeout(400)
def test_after_epochs_a_lost_database_begins_with_the_others_state_and_says_what_history_it_lacks(
    zone: RunningPlatform, accounts: list[str], command: Callable[..., Any]
) -> None:
    seat = 1
    directory = zone.directory
    deadline = time.monotonic() + WAIT_SECONDS
    while "snapshot written" not in (directory / "validator-0" / "validator.log").read_text("utf-8"):
        assert time.monotonic() < deadline, "no snapshot"
        time.sleep(1)
    log = directory / f"validator-{seat}" / "validator.log"
    said_before = len(log.read_text("utf-8"))
    zone.lose(seat)
    command("pay", accounts[1], "1", "--as", NAMES[0], "--from", accounts[0])
    zone.come_back(seat)
    asyncio.run(settled(zone, seat))
    assert "begins with a snapshot" in log.read_text("utf-8")[said_before:]
    asyncio.run(check_lacks_only_history(zone, seat))
    assert seat in signers_soon(zone, {seat}), "it votes with the key it had"


async def check_lacks_only_history(zone: RunningPlatform, seat: int) -> None:
    """A validator has the others' newest state, and refuses what lies before its own history."""
    async with Connection(NetworkFile.load(zone.directory)) as connection:
        address = connection.network.validators[seat]
        await agreed_root(connection, (await connection.status(address)).executed_height)
        with pytest.raises(DomainError) as refused:
            await ask(connection.ledger(address).GetBlock(GetBlockRequest(name="blocks/1")))
        assert refused.value.reason == "HISTORY_MISSING"
        assert int(str(refused.value.metadata["from_height"])) > 1
