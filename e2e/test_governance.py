"""A federation decides on the running platform; one steward short, or one wrong recount, enacts nothing."""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any

import psycopg
from icn.governance.v1.service_pb2 import (
    DECISION_STATE_PROPOSED,
    PROPOSAL_STATE_COUNTED,
    PROPOSAL_STATE_ENACTED,
)
from icn_client.acting import actor_of, now_ms
from icn_client.connection import Connection, NetworkFile
from icn_client.decisions import set_floor
from icn_client.governance import (
    Governance,
    cast_ballot,
    election_draft,
    new_opening,
    new_secret,
    open_poll,
    plain_draft,
)
from icn_client.names import identifier_in
from icn_client.platforms import open_founders
from icn_client.submitter import Submitter
from icn_kit.errors import DomainError
from icn_localnet.postgres import PostgresServer

COOPS = ("bakery", "farm", "housing", "workshop")
WAIT_SECONDS = 120.0


async def wait_until(is_so: Any, what: str) -> Any:
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            if found := await is_so():
                return found
        except DomainError:
            pass  # the service is being started again
        assert time.monotonic() < deadline, f"waited too long for {what}"
        await asyncio.sleep(0.3)


class Federation:
    """The founders of the platform, who are here a federation too."""

    def __init__(self, running: Any, answer: Any) -> None:
        self.running = running
        founded = answer(
            *("federation", "found", "Valley", "--poll-time", "1s"),
            *(part for name in COOPS for part in ("--founder", name)),
        )
        self.id = bytes.fromhex(founded["federation"])
        self.identities = {identity.name: identity for identity in open_founders(running.directory)}

    def connect(self) -> Connection:
        return Connection(NetworkFile.load(self.running.directory))

    async def opened(
        self, connection: Connection, draft: Any, seconds: float, secrets: dict[str, bytes]
    ) -> bytes:
        """A poll that is open for some seconds; its proposal."""
        governance, proposer = Governance(connection), self.identities["farm"]
        shown = await governance.create(proposer, draft)
        proposal = identifier_in(shown.name, "proposals")
        for name, secret in secrets.items():
            await governance.commit_lot(self.identities[name], proposal, secret)
        document = await governance.announce(proposer, proposal, now_ms() + int(seconds * 1000))
        async with Submitter(connection.doors()) as submitter:
            await open_poll(submitter, await actor_of(connection, proposer), document)
        return proposal

    async def vote(self, connection: Connection, proposal: bytes, rankings: dict[str, Any]) -> None:
        async with Submitter(connection.doors()) as submitter:
            for name, ranking in rankings.items():
                identity = self.identities[name]
                await cast_ballot(
                    Governance(connection),
                    submitter,
                    await actor_of(connection, identity),
                    proposal=proposal,
                    opening=new_opening(identity.principal, ranking),
                )


def database_of_governance(federation: Any) -> str:
    return PostgresServer(federation.network.shared_directory / "postgres").dsn("governance")


def test_a_floor_is_set_by_more_than_two_thirds_of_the_stewards_and_by_nothing_less(
    icn: Any, answer: Any, federation: Any, tmp_path: Path
) -> None:
    valley = Federation(federation, answer)
    stewards = {"ICN_STEWARD_KEYSTORE": str(tmp_path / "stewards")}
    unit = answer(
        *("unit", "create", "HOURS", "--scale", "2", "--floor", "-500", "--as", "bakery"),
        *("--authority", valley.id.hex()),
    )["unit"]
    account = answer("account", "open", "--unit", unit, "--as", "farm")["account"]
    for name in COOPS:
        answer("steward", "key", "--as", name, **stewards)
    draft = plain_draft(
        valley.id, "A lower floor", "Shall we?", 4, actions=[set_floor(bytes.fromhex(account), -120_000)]
    )

    async def poll() -> bytes:
        async with valley.connect() as connection:
            proposal = await valley.opened(connection, draft, 40, {})
            votes = {"bakery": [[1]], "farm": [[1]], "housing": [[1]], "workshop": [[2]]}
            await valley.vote(connection, proposal, votes)
            # However long this takes: the poll closes by block time, and the service finds that it has.
            await asyncio.to_thread(federation.kill_process, "governance")
            governance = Governance(connection)

            async def is_counted() -> bool:
                return (await governance.proposal(proposal)).state == PROPOSAL_STATE_COUNTED

            await wait_until(is_counted, "the count")
            return proposal

    proposal = asyncio.run(poll())
    name = f"proposals/{proposal.hex()}"
    data = ("--data", str(federation.directory))

    def floor() -> str:
        return str(answer("account", "show", account)["floor_minor"])

    for number, coop in enumerate(("bakery", "housing"), start=1):
        (step,) = answer("steward", "once", name, "--as", coop, **stewards)["steps"]
        assert (step["outcome"], step["countersignatures"]) == ("countersigned", number)
    decision = answer("proposal", "show", name)["decision"]
    short = icn("federation", "enact", decision, "--as", "bakery", *data)
    assert short.returncode == 1
    assert "QUORUM_NOT_MET" in short.stderr
    assert floor() == "-50000"

    with psycopg.connect(database_of_governance(federation), autocommit=True) as host:
        told = host.execute("SELECT result FROM proposals WHERE proposal = %s", (proposal,)).fetchone()
        assert told is not None
        forged = told[0].replace(b'"yes":"3"', b'"yes":"4"')
        assert forged != told[0]
        host.execute("UPDATE proposals SET result = %s WHERE proposal = %s", (forged, proposal))
        for coop in ("farm", "workshop"):
            refused = icn("steward", "once", name, "--as", coop, "--json", *data, **stewards)
            assert refused.returncode == 1
            assert json.loads(refused.stdout)["steps"][0]["reason"] == "RESULT_DIFFERS"
        host.execute("UPDATE proposals SET result = %s WHERE proposal = %s", (told[0], proposal))
        kept = host.execute("DELETE FROM openings WHERE proposal = %s RETURNING *", (proposal,)).fetchall()
        refused = icn("steward", "once", name, "--as", "farm", "--json", *data, **stewards)
        assert json.loads(refused.stdout)["steps"][0]["reason"] == "RESULT_DIFFERS"
        for row in kept:
            host.execute(
                "INSERT INTO openings (proposal, voter, commitment, salt, ballot)"
                " VALUES (%s, %s, %s, %s, %s)",
                row[:5],
            )
    assert floor() == "-50000"

    (step,) = answer("steward", "once", name, "--as", "farm", **stewards)["steps"]
    assert (step["outcome"], step["countersignatures"]) == ("enacted", 3)
    assert floor() == "-120000"
    result = answer("proposal", "result", name)
    assert result["recounted"] and result["tally"]["result"]["yes"] == "3"

    async def enacted() -> Any:
        async with valley.connect() as connection:
            governance = Governance(connection)

            async def is_enacted() -> Any:
                shown = await governance.proposal(proposal)
                return shown if shown.state == PROPOSAL_STATE_ENACTED else None

            shown = await wait_until(is_enacted, "the event")
            waiting = [one async for one in governance.decisions(DECISION_STATE_PROPOSED, valley.id)]
            assert waiting == []
            return shown

    shown = asyncio.run(enacted())
    proof = tmp_path / "poll.json"
    assert icn("proof", "fetch", f"polls/{proposal.hex()}", "--out", str(proof), *data).returncode == 0
    genesis = str(federation.directory / "genesis.json")
    verified = json.loads(icn("proof", "verify", str(proof), "--genesis", genesis).stdout)
    assert verified["valid"]
    assert verified["statement"]["result"] == shown.result_digest.hex()

    for path in (tmp_path / "stewards").iterdir():
        assert path.stat().st_mode & 0o077 == 0, "for its owner only"
    for process in federation.processes().values():
        environment = Path(f"/proc/{process['pid']}/environ").read_bytes()
        assert b"ICN_STEWARD_KEYSTORE" not in environment and os.fsencode(str(tmp_path)) not in environment


def test_a_tie_is_broken_by_the_tellers_lots_and_recorded(
    answer: Any, federation: Any, tmp_path: Path
) -> None:
    valley = Federation(federation, answer)
    stewards = {"ICN_STEWARD_KEYSTORE": str(tmp_path / "stewards")}
    for name in COOPS:
        answer("steward", "key", "--as", name, **stewards)
    secrets = {"bakery": new_secret(), "housing": new_secret()}
    draft = election_draft(
        valley.id,
        "Speaker",
        "Who speaks for us?",
        ["Ana", "Ben"],
        1,
        tellers=[valley.identities[name].principal for name in secrets],
        electorate="members",
    )

    async def elect() -> bytes:
        async with valley.connect() as connection:
            governance = Governance(connection)
            proposal = await valley.opened(connection, draft, 30, secrets)
            votes = {"bakery": [[1]], "farm": [[2]], "housing": [[1]], "workshop": [[2]]}
            await valley.vote(connection, proposal, votes)

            async def is_counted() -> Any:
                shown = await governance.proposal(proposal)
                return shown if shown.result_digest else None

            shown = await wait_until(is_counted, "the count")
            assert not shown.is_complete and not shown.decision
            for name, secret in secrets.items():
                await governance.reveal_lot(valley.identities[name], proposal, secret)

            async def is_complete() -> bool:
                return bool((await governance.proposal(proposal)).is_complete)

            await wait_until(is_complete, "the lots")
            return proposal

    proposal = asyncio.run(elect())
    name = f"proposals/{proposal.hex()}"
    outcomes = [
        answer("steward", "once", name, "--as", coop, **stewards)["steps"][0]["outcome"]
        for coop in ("bakery", "farm", "housing")
    ]
    assert outcomes == ["countersigned", "countersigned", "enacted"]
    result = answer("proposal", "result", name)
    assert (result["lots"]["state"], len(result["winners"])) == ("drawn", 1)
    assert result["lots"]["secrets"]
