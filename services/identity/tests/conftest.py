"""An organization with its keystore, a ledger in memory, and the service's calls over a real database."""

from __future__ import annotations

import json
import secrets
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from google.protobuf.message import Message
from icn.identity.v1 import service_pb2
from icn.kit.v1.command_pb2 import CommandBody, CommandRequest, CommandSignature, SignedCommand
from icn_credentials import organization, status_list, webvh_author, webvh_log
from icn_credentials.multikey import KeyKind, PublicKey
from icn_credentials.proofs import EDDSA_JCS, MLDSA65_JCS, add_proof
from icn_crypto.suites import SigningKey, Suite, key_id
from icn_identity.api.identity_service import PREFIX, IdentityServicer
from icn_identity.domain.principals import Controller, ControllerKey, Membership, Person, Recovery
from icn_identity.events.permissions import OwnPermissions
from icn_identity.store.unit_of_work import IdentityUnitOfWork
from icn_identity.usecases.ports import Surroundings
from icn_kit.block_clock import BlockMoment
from icn_kit.commands import CommandVerifier, DirectoryKey, PrincipalKeys, command_preimage
from icn_kit.database import Database
from icn_kit.errors import Unauthenticated
from icn_localnet.pytest_plugin import DatabaseFor

GENESIS = bytes(range(32))
DOMAIN = "coop.example"
START_MS = 1_790_000_000_000
DAY_MS = 86_400_000


@dataclass
class KeyOf:
    """One key with its secrets."""

    secrets: dict[Suite, SigningKey]

    @classmethod
    def make(cls, *suites: Suite) -> KeyOf:
        return cls({suite: SigningKey.generate(suite) for suite in suites or tuple(Suite)})

    @property
    def public(self) -> dict[Suite, bytes]:
        return {suite: secret.public_key for suite, secret in self.secrets.items()}

    @property
    def id(self) -> bytes:
        return key_id(self.public)

    @property
    def ed25519(self) -> PublicKey:
        return PublicKey(KeyKind.ED25519, self.secrets[Suite.ED25519].public_key)


@dataclass
class Ledger:
    """Implements the port, and the key directory of commands."""

    controllers: dict[bytes, Controller] = field(default_factory=dict)
    memberships: dict[tuple[bytes, bytes], Membership] = field(default_factory=dict)
    recoveries: dict[bytes, Recovery] = field(default_factory=dict)

    def enrol(self, principal: bytes, keys: Sequence[KeyOf], threshold: int = 1, **more: Any) -> None:
        listed = {key.id: ControllerKey(dict(key.public)) for key in keys}
        listed |= more.pop("scoped", {})
        self.controllers[principal] = Controller(principal, threshold, listed, **more)

    def admit(
        self,
        organization_: bytes,
        member: bytes,
        status: str = "active",
        *,
        height: int = 1,
        since_ms: int = START_MS,
    ) -> None:
        seen = Membership(organization_, member, status, since_ms, height)
        self.memberships[organization_, member] = seen

    async def controller(self, principal: bytes) -> Controller | None:
        return self.controllers.get(principal)

    async def membership(self, organization_: bytes, member: bytes) -> Membership | None:
        return self.memberships.get((organization_, member))

    async def person(self, principal: bytes) -> Person | None:
        if principal not in self.controllers:
            return None
        mine = tuple(one for (_, member), one in self.memberships.items() if member == principal)
        return Person(self.controllers[principal], self.recoveries.get(principal), mine)

    async def keys_of(self, principal: bytes, *, is_newest: bool = False) -> PrincipalKeys:
        found = self.controllers.get(principal)
        if found is None:
            raise Unauthenticated("CONTROLLER_UNKNOWN", "no such principal")
        keys = {name: DirectoryKey(key.public_keys, key.is_scoped) for name, key in found.keys.items()}
        return PrincipalKeys(principal, found.threshold, keys, b"")


@dataclass
class Clock:
    """A clock that is set."""

    time_ms: int = START_MS

    def now_ms(self) -> int:
        return self.time_ms


@dataclass
class Height:
    """A chain that stands where it is put."""

    newest: BlockMoment | None = None

    def stand(self, height: int, time_ms: int) -> None:
        self.newest = BlockMoment(height, time_ms)


@dataclass
class Bakery:
    """An organization: its keystore signs entries, credentials, lists and commands."""

    principal: bytes
    keys: list[KeyOf]
    threshold: int = 1
    lines: list[bytes] = field(default_factory=list)
    list_bits: bytes = field(default_factory=status_list.empty)

    @property
    def did(self) -> str:
        return webvh_log.read_log(b"\n".join(self.lines), 2**52).last.did

    @property
    def list_url(self) -> str:
        return organization.status_list_url(DOMAIN, self.principal)

    def public(self) -> dict[bytes, dict[int, bytes]]:
        return {key.id: {int(suite): raw for suite, raw in key.public.items()} for key in self.keys}

    def entry(
        self,
        *,
        by: KeyOf | None = None,
        time_ms: int = START_MS,
        also: Sequence[KeyOf] = (),
        **parameters: Any,
    ) -> bytes:
        """The next line of the log: document and update keys of the present keys."""
        signer = by or self.keys[0]
        updating = [key.ed25519 for key in (*sorted(self.keys, key=lambda key: key.id), *also)]
        sign = signer.secrets[Suite.ED25519].sign
        if not self.lines:
            did = organization.did_template(DOMAIN, self.principal)
            document = organization.mirror_document(did, self.public())
            return webvh_author.first_entry(
                document, updating, signer.ed25519, sign, time_ms=time_ms, parameters=parameters
            )
        last = webvh_log.read_log(b"\n".join(self.lines), 2**52).last
        document = organization.mirror_document(last.did, self.public())
        changed = {"updateKeys": [key.did_key_part() for key in updating], **parameters}
        return webvh_author.next_entry(last, document, changed, signer.ed25519, sign, time_ms=time_ms)

    def sign(
        self,
        form: dict[str, Any],
        keys: Sequence[KeyOf] | None = None,
        suites: Sequence[Suite] = tuple(Suite),
    ) -> bytes:
        for key in self.keys[: self.threshold] if keys is None else keys:
            for suite in suites:
                form = add_proof(
                    form,
                    EDDSA_JCS if suite is Suite.ED25519 else MLDSA65_JCS,
                    key.secrets[suite].sign,
                    verification_method=organization.method_id(self.did, key.id, suite),
                    created_ms=START_MS,
                )
        return json.dumps(form).encode()

    def claim(self, subject: bytes, index: int, **more: Any) -> dict[str, Any]:
        values: dict[str, Any] = {
            "uuid": str(uuid.uuid4()),
            "issuer": self.did,
            "subject": subject,
            "list_url": self.list_url,
            "list_index": index,
            "valid_from_ms": START_MS,
        }
        return organization.claim_credential(**(values | more))

    def status_list(self, *set_indices: int, **changes: Any) -> bytes:
        self.list_bits = status_list.with_bits_set(self.list_bits, set_indices)
        form = organization.status_list_credential(self.did, self.list_url, self.list_bits, START_MS)
        return self.sign(form | changes)

    def command(
        self, name: str, request: Message, *, time_ms: int = START_MS, principal: bytes | None = None
    ) -> CommandRequest:
        body = CommandBody(
            method=PREFIX + name,
            principal=principal or self.principal,
            issue_time_ms=time_ms,
            expire_time_ms=time_ms + 600_000,
            nonce=secrets.token_bytes(16),
            request=request.SerializeToString(deterministic=True),
        ).SerializeToString(deterministic=True)
        message = command_preimage(GENESIS, body)
        signatures = [
            CommandSignature(suite=1, key_id=key.id, signature=key.secrets[Suite.ED25519].sign(message))
            for key in sorted(self.keys[: self.threshold], key=lambda key: key.id)
        ]
        return CommandRequest(command=SignedCommand(body=body, signatures=signatures))


@dataclass
class Service:
    """The calls, without a wire."""

    database: Database
    ledger: Ledger
    clock: Clock
    blocks: Height
    permissions: OwnPermissions
    servicer: IdentityServicer
    bakery: Bakery
    anna: bytes

    def unit_of_work(self) -> IdentityUnitOfWork:
        return IdentityUnitOfWork(self.database, GENESIS[:16])

    async def publish_entry(self, line: bytes | None = None) -> Any:
        entry = self.bakery.entry() if line is None else line
        request = self.bakery.command(
            "PublishDidEntry", service_pb2.PublishDidEntry(entry=entry), time_ms=self.clock.time_ms
        )
        answer = await self.servicer.PublishDidEntry(request, None)
        self.bakery.lines.append(entry)
        return answer

    async def publish_list(self, *indices: int, document: bytes | None = None) -> Any:
        content = self.bakery.status_list(*indices) if document is None else document
        request = self.bakery.command("PublishStatusList", service_pb2.PublishStatusList(document=content))
        return await self.servicer.PublishStatusList(request, None)

    async def publish(self, document: bytes) -> Any:
        request = self.bakery.command("PublishCredential", service_pb2.PublishCredential(document=document))
        return await self.servicer.PublishCredential(request, None)

    async def ready(self) -> None:
        """With a DID and an empty list, at height 10."""
        self.blocks.stand(10, START_MS)
        await self.publish_entry()
        await self.publish_list()

    async def events(self) -> list[tuple[str, bytes]]:
        """Names and payloads of what was published, in order."""
        from icn.kit.v1.envelope_pb2 import EventEnvelope

        async with self.database.transaction() as connection:
            cursor = await connection.execute("SELECT envelope FROM outbox ORDER BY fence, position")
            found = [EventEnvelope.FromString(row[0]) for row in await cursor.fetchall()]
        return [(one.subject.removeprefix("icn.identity.v1."), one.payload) for one in found]


@pytest.fixture
async def service(database_for: DatabaseFor) -> AsyncIterator[Service]:
    database = await Database.open(database_for("icn_identity"), "identity")
    ledger, clock, blocks = Ledger(), Clock(), Height()
    bakery = Bakery(b"b" * 16, [KeyOf.make()])
    anna = b"a" * 16
    ledger.enrol(bakery.principal, bakery.keys)
    ledger.enrol(anna, [KeyOf.make(Suite.ED25519)])
    ledger.admit(bakery.principal, anna)
    permissions = OwnPermissions(database)
    around = Surroundings(GENESIS, DOMAIN, clock, ledger, blocks, permissions)
    servicer = IdentityServicer(
        CommandVerifier(GENESIS, ledger, clock), lambda: IdentityUnitOfWork(database, around.zone), around
    )
    yield Service(database, ledger, clock, blocks, permissions, servicer, bakery, anna)
    await database.close()


@pytest.fixture
def new_key() -> Any:
    """Makes keys."""
    return KeyOf.make
