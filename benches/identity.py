"""CPU of identity's calls in one process over a real Postgres: `.venv/bin/python benches/identity.py`.

An organization with one key of both suites publishes credentials, revokes them, and has them verified; CPU is
this process's alone, without gRPC. Medians of calls.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import statistics
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from icn.identity.v1 import service_pb2
from icn_client.commands import sign_command
from icn_client.identities import sign
from icn_client.keystore import Identity
from icn_client.transactions import KeyPair
from icn_credentials import organization, status_list, webvh_author, webvh_log
from icn_credentials.multikey import KeyKind, PublicKey
from icn_crypto.suites import Suite
from icn_identity.api.identity_service import PREFIX, IdentityServicer
from icn_identity.domain.principals import Controller, ControllerKey, Membership
from icn_identity.events.permissions import OwnPermissions
from icn_identity.store.unit_of_work import IdentityUnitOfWork
from icn_identity.usecases.ports import Surroundings
from icn_kit import migrate
from icn_kit.block_clock import BlockMoment
from icn_kit.clock import SystemClock
from icn_kit.commands import CommandVerifier, DirectoryKey, PrincipalKeys
from icn_kit.database import Database
from icn_localnet.postgres import PostgresServer

CALLS = 100
GENESIS = bytes(range(32))
DOMAIN = "coop.example"
MEMBER = b"m" * 16


class OneOrganization:
    """A ledger with one organization, of which everybody is a member."""

    def __init__(self, identity: Identity) -> None:
        keys = {
            key.key_id: ControllerKey({int(suite): public for suite, public in key.public_keys.items()})
            for key in identity.keys
        }
        self._controller = Controller(identity.principal, 1, keys)

    async def controller(self, _principal: bytes) -> Controller:
        """The organization's."""
        return self._controller

    async def membership(self, organization_: bytes, member: bytes) -> Membership:
        """Always active."""
        return Membership(organization_, member, "active", 1)

    async def keys_of(self, principal: bytes, *, is_newest: bool = False) -> PrincipalKeys:
        """For commands."""
        keys = {name: DirectoryKey(key.public_keys, False) for name, key in self._controller.keys.items()}
        return PrincipalKeys(principal, 1, keys, b"")


class Standing:
    """A chain that stands at a height."""

    newest = BlockMoment(10, 1_700_000_000_000)


async def main() -> None:
    """Print the table."""
    identity = Identity("bakery", secrets.token_bytes(16), 1, (KeyPair.generate(tuple(Suite)),))
    with tempfile.TemporaryDirectory(prefix="icn-bench-") as folder:
        Path(folder).chmod(0o711)  # noqa: ASYNC240 - before anything runs
        server = PostgresServer(Path(folder) / "postgres")
        server.start()
        try:
            server.create_database("bench")
            dsn = server.create_role_and_schema("identity", "bench")
            migrate.upgrade(dsn, "identity", migrate.versions_folder_of("icn_identity"))
            database = await Database.open(dsn, "identity")
            await measure(database, identity)
            await database.close()
        finally:
            server.stop()


async def measure(database: Database, identity: Identity) -> None:
    """Every call in turn."""
    ledger: Any = OneOrganization(identity)
    permissions = OwnPermissions(database)
    around = Surroundings(GENESIS, DOMAIN, SystemClock(), ledger, Standing(), permissions)
    servicer = IdentityServicer(
        CommandVerifier(GENESIS, ledger, SystemClock()),
        lambda: IdentityUnitOfWork(database, around.zone),
        around,
    )

    def command(name: str, request: Any) -> Any:
        signed = sign_command(GENESIS, identity.keys, identity.principal, PREFIX + name, request)
        return getattr(service_pb2, f"{name}Request")(command=signed)

    entry = first_entry(identity)
    did = webvh_log.read_log(entry, 2**52).last.did
    await servicer.PublishDidEntry(command("PublishDidEntry", service_pb2.PublishDidEntry(entry=entry)), None)
    url = organization.status_list_url(DOMAIN, identity.principal)

    def listed(*indices: int) -> Any:
        bits = status_list.with_bits_set(status_list.empty(), indices)
        form = organization.status_list_credential(did, url, bits, now_ms())
        document = json.dumps(sign(form, identity, did)).encode()
        return command("PublishStatusList", service_pb2.PublishStatusList(document=document))

    await servicer.PublishStatusList(listed(), None)
    documents = [claim(identity, did, url, index) for index in range(CALLS)]
    published = [
        command("PublishCredential", service_pb2.PublishCredential(document=document))
        for document in documents
    ]
    lists = [listed(*range(count + 1)) for count in range(CALLS)]
    print("| call | CPU-ms |\n|---|---|")
    await show("PublishCredential, an office", lambda n: servicer.PublishCredential(published[n], None))
    await show("the same again", lambda n: servicer.PublishCredential(published[n], None))
    verifying = [service_pb2.VerifyCredentialRequest(document=document) for document in documents]
    await show("VerifyCredential", lambda n: servicer.VerifyCredential(verifying[n], None))
    await show("PublishStatusList, one revoked", lambda n: servicer.PublishStatusList(lists[n], None))
    asking = service_pb2.ListCredentialsRequest(organization=f"principals/{identity.principal.hex()}")
    await show("ListCredentials, a page of 20", lambda _: servicer.ListCredentials(asking, None))
    resolving = service_pb2.ResolveDidRequest(did=did)
    await show("ResolveDid", lambda _: servicer.ResolveDid(resolving, None))


async def show(name: str, call: Callable[[int], Awaitable[object]]) -> None:
    """Median CPU of a call."""
    spent = []
    for number in range(CALLS):
        started = time.process_time_ns()
        await call(number)
        spent.append(time.process_time_ns() - started)
    print(f"| {name} | {statistics.median(spent) / 1e6:.2f} |", flush=True)


def first_entry(identity: Identity) -> bytes:
    """The organization's DID."""
    (key,) = identity.keys
    document = organization.mirror_document(
        organization.did_template(DOMAIN, identity.principal),
        {key.key_id: {int(suite): raw for suite, raw in key.public_keys.items()}},
    )
    public = PublicKey(KeyKind.ED25519, key.public_keys[Suite.ED25519])
    return webvh_author.first_entry(
        document, [public], public, key.signing_keys[Suite.ED25519].sign, time_ms=now_ms()
    )


def claim(identity: Identity, did: str, url: str, index: int) -> bytes:
    """An office of its own for each index."""
    form = organization.claim_credential(
        uuid=str(uuid.uuid4()),
        issuer=did,
        subject=MEMBER,
        list_url=url,
        list_index=index,
        valid_from_ms=1_600_000_000_000,
        office=f"office{index}",
    )
    return json.dumps(sign(form, identity, did)).encode()


def now_ms() -> int:
    """The time of day."""
    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    asyncio.run(main())
