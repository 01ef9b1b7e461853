"""`icn member` and `icn authority` read what a ledger answers, over real sockets."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from icn.ledger.v1 import service_pb2 as ledger
from icn.ledger.v1 import state_pb2 as state
from icn.ledger.v1.service_pb2_grpc import LedgerServiceServicer, add_LedgerServiceServicer_to_server
from icn.ledger.v1.transaction_pb2 import AuthorityRules, Share
from icn_client import institutions
from icn_client.connection import Connection, NetworkFile
from icn_client.platforms import LOCK_NAME
from icn_kit.errors import NotFound
from icn_kit.server import GrpcServer

FEDERATION, SHOP, ANA = b"f" * 16, b"s" * 16, b"a" * 16
DAY = 86_400_000
RULES = AuthorityRules(vouches_min=2, majority=Share(numerator=3, denominator=5))


def membership(organization: bytes, member: bytes, status: int, **times: int) -> state.MembershipLeaf:
    return state.MembershipLeaf(
        organization=organization,
        member=member,
        status=status,  # type: ignore[arg-type]
        vouchers=[SHOP],
        payer=SHOP,
        **times,  # type: ignore[arg-type]
    )


MEMBERSHIPS = [
    membership(FEDERATION, bytes([number]) * 16, 2 + number % 2, since_time_ms=DAY, ended_time_ms=number % 2)
    for number in range(5)
]


class Institutions(LedgerServiceServicer):
    """A federation of five, two of which have left, in pages of two."""

    async def GetAuthority(self, request: Any, context: Any) -> Any:  # noqa: N802 - named by gRPC
        if request.name != f"authorities/{FEDERATION.hex()}":
            raise NotFound("AUTHORITY_UNKNOWN", "there is no such authority")
        leaf = state.AuthorityLeaf(authority=FEDERATION, rules=RULES, members=3)
        return ledger.GetAuthorityResponse(authority=leaf, height=7)

    async def GetMembership(self, request: Any, context: Any) -> Any:  # noqa: N802 - named by gRPC
        if request.name != f"memberships/{SHOP.hex()}/{ANA.hex()}":
            raise NotFound("MEMBERSHIP_UNKNOWN", "there is no such membership")
        leaf = membership(SHOP, ANA, 2, applied_time_ms=DAY, since_time_ms=2 * DAY)
        return ledger.GetMembershipResponse(membership=leaf, height=7)

    async def ListMemberships(self, request: Any, context: Any) -> Any:  # noqa: N802 - named by gRPC
        first = int(request.page_token or 0)
        rows = MEMBERSHIPS if request.organization else [membership(FEDERATION, ANA, 1)]
        return ledger.ListMembershipsResponse(
            memberships=rows[first : first + 2],
            next_page_token=str(first + 2) if len(rows) > first + 2 else "",
        )

    async def ListBallots(self, request: Any, context: Any) -> Any:  # noqa: N802 - named by gRPC
        first = int(request.page_token or 0)
        return ledger.ListBallotsResponse(
            ballots=[state.BallotLeaf(voter=bytes([number]) * 16) for number in (first, first + 1)],
            next_page_token=str(first + 2) if first < 2 else "",
        )

    async def ListDuties(self, request: Any, context: Any) -> Any:  # noqa: N802 - named by gRPC
        return ledger.ListDutiesResponse(duties=[state.DutyLeaf(organization=SHOP, epoch=3, blocks=9)])


@pytest.fixture
async def folder(tmp_path: Path, zone: Any) -> AsyncIterator[Path]:
    """Directory of a platform whose one validator is `Institutions`."""
    server = GrpcServer("127.0.0.1:0", [(add_LedgerServiceServicer_to_server, Institutions())])
    await server.start()
    (tmp_path / "genesis.json").write_bytes(zone.genesis_bytes)
    validator = {"seat": 0, "name": "v0", "organization": "00" * 16}
    document = {
        "format": 3,
        "gateway": {"url": "http://127.0.0.1:1"},
        "client_tls": None,
        "services": {},
        "supervisor_pid": os.getpid(),
        "ready_pid": os.getpid(),
        "validators": [{**validator, "consensus": server.address, "ledger": server.address}],
    }
    (tmp_path / "network.json").write_text(json.dumps(document))
    with (tmp_path / LOCK_NAME).open("wb") as lock:  # as the platform holds it while it runs
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield tmp_path
    await server.drain(0)


async def icn(folder: Path, *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the command, while the server here answers."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "icn_client.cli", *arguments, "--data", str(folder)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_an_authority_is_shown_with_its_active_members_and_quorum(folder: Path) -> None:
    code, out, err = await icn(folder, "authority", "show", FEDERATION.hex(), "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == {
        "authority": FEDERATION.hex(),
        "members": [(bytes([number]) * 16).hex() for number in (0, 2, 4)],
        "threshold": 0,
        "quorum": 3,
        "vouches_min": 2,
        "poll_ms_min": "259200000",
        "quorum_share": "1/2",
        "majority_share": "3/5",
        "constitutional_quorum_share": "2/3",
        "constitutional_majority_share": "2/3",
    }
    code, out, _ = await icn(folder, "authority", "show", f"authorities/{FEDERATION.hex()}")
    assert code == 0 and "quorum     3 of 3 members" in out
    assert "polls      open for 3d at least" in out
    assert "votes      more than 1/2 of all members must vote, more than 3/5 vote yes" in out
    code, out, err = await icn(folder, "authority", "show", SHOP.hex())
    assert (code, out) == (1, "") and "AUTHORITY_UNKNOWN" in err


async def test_a_membership_is_shown_for_people_and_for_programs(folder: Path) -> None:
    code, out, _ = await icn(folder, "member", "show", SHOP.hex(), ANA.hex())
    assert code == 0
    assert "status        active" in out and "member since  1970-01-03 00:00:00+00:00" in out
    code, out, _ = await icn(folder, "member", "show", SHOP.hex(), ANA.hex(), "--json")
    shown = json.loads(out)
    assert (shown["status"], shown["since_time_ms"], shown["vouchers"]) == (
        "active",
        str(2 * DAY),
        [SHOP.hex()],
    )
    code, out, err = await icn(folder, "member", "show", SHOP.hex(), SHOP.hex())
    assert (code, out) == (1, "") and "MEMBERSHIP_UNKNOWN" in err


async def test_memberships_are_listed_over_every_page(folder: Path) -> None:
    code, out, _ = await icn(folder, "member", "list", "--organization", FEDERATION.hex(), "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [(row["member"], row["status"]) for row in rows] == [
        ((bytes([number]) * 16).hex(), "ended" if number % 2 else "active") for number in range(5)
    ]
    code, out, _ = await icn(folder, "member", "list", "--member", ANA.hex())
    assert code == 0 and FEDERATION.hex() in out and "applied" in out


async def test_ballots_and_duties_are_read_to_their_end(folder: Path) -> None:
    async with Connection(NetworkFile.load(folder)) as connection:
        voters = [ballot.voter[0] async for ballot in institutions.ballots(connection, b"p" * 16)]
        assert voters == [0, 1, 2, 3]
        duties = [duty.blocks async for duty in institutions.duties(connection)]
        assert duties == [9]
