"""A co-op's DID and credentials from its keystore to a stranger's check, through kills and a lost key."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from pathlib import Path
from typing import Any

import pytest
from icn_client.connection import Connection, NetworkFile
from icn_client.identities import check_permission
from icn_kit.errors import DomainError

DELAY_SECONDS = 15
"""Long enough for a command on a busy machine, short enough to be waited for."""
WAIT_SECONDS_MAX = 60.0


def admitted(icn: Any, answer: Any, folder: Path, name: str, *options: str) -> str:
    """Make keys and have the bakery, which becomes the guardian, admit them; returns the principal."""
    made = icn("keys", "new", name, *options, "--json")
    assert made.returncode == 0, made.stderr
    public = folder / f"{name}.public.json"
    public.write_text(icn("keys", "export", name).stdout)
    answer("account", "admit", str(public), "--as", "bakery", "--delay", f"{DELAY_SECONDS}s")
    return str(json.loads(made.stdout)["principal"])


def becomes(federation: Any, subject: str, relation: str, organization: str, is_wanted: bool) -> bool:
    """Whether identity comes to answer so; a change holds from a block on, and an idle chain makes few."""

    async def ask() -> bool:
        async with Connection(NetworkFile.load(federation.directory)) as connection:
            until = time.monotonic() + WAIT_SECONDS_MAX
            while time.monotonic() < until:
                with contextlib.suppress(DomainError):  # it may be starting again
                    verdict = await check_permission(
                        connection, bytes.fromhex(subject), relation, bytes.fromhex(organization)
                    )
                    if verdict.is_allowed is is_wanted:
                        return True
                await asyncio.sleep(0.5)
        return False

    return asyncio.run(ask())


@pytest.mark.timeout(600)
def test_a_coop_names_itself_issues_revokes_and_goes_on_after_it_lost_its_key(
    icn: Any, answer: Any, federation: Any, tmp_path: Path
) -> None:
    answer("unit", "create", "NAMES", "--scale", "2", "--floor", "-50", "--as", "bakery")
    coop = admitted(icn, answer, tmp_path, "orchard", "--post-quantum")
    ina = admitted(icn, answer, tmp_path, "ina")
    data = ("--data", str(federation.directory))

    # A DID that everybody can resolve, from a log that nobody has to trust.
    did = answer("did", "create", "--as", "orchard")["did"]
    again = icn("did", "create", "--as", "orchard", *data)
    assert (again.returncode, "DID_CURRENT" in again.stderr) == (1, True)
    log = tmp_path / "did.jsonl"
    assert icn("did", "log", coop, "--out", str(log), *data).returncode == 0
    document = json.loads(icn("did", "resolve", did, "--log", str(log)).stdout)
    assert document["id"] == did and len(document["assertionMethod"]) == 2

    # Nobody is made a member by a credential.
    early = icn("vc", "issue", "membership", "--as", "orchard", "--to", ina, *data)
    assert (early.returncode, "NOT_A_MEMBER" in early.stderr) == (1, True)
    answer("member", "apply", coop, "--as", "ina")
    answer("member", "admit", ina, "--as", "orchard")
    federation.kill_process("identity")
    membership = tmp_path / "membership.json"
    answer("vc", "issue", "membership", "--as", "orchard", "--to", ina, "--out", str(membership))
    office = answer("vc", "issue", "office", "--name", "treasurer", "--as", "orchard", "--to", ina)[
        "credential"
    ]
    assert becomes(federation, ina, "office.treasurer", coop, True)
    assert becomes(federation, ina, "member", coop, True)
    assert becomes(federation, coop, "member", coop, False)

    def verify(*options: str) -> Any:
        done = icn("vc", "verify", str(membership), "--log", str(log), *options)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    statuses = tmp_path / "list.json"
    assert icn("vc", "status-list", coop, "--out", str(statuses), *data).returncode == 0
    found = verify("--status-list", str(statuses))
    assert (found["valid"], found["issuer_bound"], found["status"]) == (True, True, "good")
    assert len(found["proofs"]) == 2
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 1))

    # Revoked: the office is gone at once, the membership stays.
    assert answer("vc", "revoke", office, "--as", "orchard")["revoked"] == [office]
    assert becomes(federation, ina, "officer", coop, False)
    assert becomes(federation, ina, "member", coop, True)
    shown = {one["name"]: one["revoked_ms"] for one in answer("vc", "list", "--of", coop)["credentials"]}
    assert len(shown) == 2 and shown[office] is not None

    # The key is lost; the guardian helps on the ledger, and then continues the log of the DID.
    (tmp_path / "keys" / "orchard.json").unlink()
    assert icn("keys", "new", "orchard", "--post-quantum", "--for", coop).returncode == 0
    public = tmp_path / "orchard.public.json"
    public.write_text(icn("keys", "export", "orchard").stdout)
    answer("recovery", "start", str(public), "--as", "bakery")
    portrait = answer("did", "show", coop)
    assert portrait["recovery"]["guardian"] == portrait["guardian"] and portrait["did_current"]
    until = time.monotonic() + WAIT_SECONDS_MAX
    while icn("recovery", "complete", coop, "--as", "bakery", *data).returncode:
        assert time.monotonic() < until
        time.sleep(2)
    portrait = answer("did", "show", coop)
    assert (portrait["recovery"], portrait["did"], portrait["did_current"]) == (None, did, False)
    alone = icn("did", "rotate", "--as", "orchard", *data)
    assert (alone.returncode, "KEY_NOT_IN_FORCE" in alone.stderr) == (1, True)
    federation.kill_process("identity")
    assert answer("did", "rotate", "--as", "orchard", "--by", "bakery")["did"] == did
    assert answer("did", "show", coop)["did_current"]
    assert icn("did", "log", coop, "--out", str(log), *data).returncode == 0
    assert len(log.read_bytes().splitlines()) == 2
    assert not verify()["valid"], "the key that signed it is no longer the co-op's"
    assert verify("--at", moment)["valid"]
    answer("vc", "issue", "membership", "--as", "orchard", "--to", ina, "--out", str(membership))
    assert verify()["valid"]
