"""DIDs, memberships and offices: made and signed where the keys are, sent to identity as commands.

Source: docs/spec/identity.md.
"""

from __future__ import annotations

import json
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from icn.identity.v1 import service_pb2
from icn_credentials import organization, proofs, status_list, webvh_author, webvh_log
from icn_credentials.json_forms import JsonObject
from icn_credentials.multikey import KeyKind, PublicKey
from icn_credentials.webvh_log import Log
from icn_crypto.suites import Suite
from icn_kit.errors import DomainError, FailedPrecondition, NotFound

from icn_client.acting import now_ms
from icn_client.commands import command
from icn_client.connection import Connection
from icn_client.keystore import Identity
from icn_client.transactions import KeyPair, controller_key_id

PREFIX: Final = "/icn.identity.v1.IdentityService/"
INDEX_TRIES: Final = 8
"""Indices of a status list are drawn at random; with half a list used, one of 256 issues would fail."""
REVOKE_TRIES: Final = 4
"""Somebody else of the organization may revoke at the same time."""
SECOND_MS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Issued:
    """A credential that identity has taken."""

    name: str
    """``credentials/<32 hex>``."""
    document: JsonObject


async def get_principal(connection: Connection, principal: bytes) -> service_pb2.GetPrincipalResponse:
    """What identity knows of a principal. NotFound with reason CONTROLLER_UNKNOWN."""
    request = service_pb2.GetPrincipalRequest(name=f"principals/{principal.hex()}")
    return await connection.call_service(PREFIX + "GetPrincipal", request, service_pb2.GetPrincipalResponse)


async def get_did_log(connection: Connection, name: str) -> bytes:
    """Content of ``did.jsonl`` of a principal (``principals/…``) or did:webvh. NotFound: DID_UNKNOWN."""
    request = service_pb2.GetDidLogRequest(name=name)
    answer = await connection.call_service(PREFIX + "GetDidLog", request, service_pb2.GetDidLogResponse)
    return answer.log


async def publish_did(
    connection: Connection, identity: Identity, signer: Identity | None = None
) -> service_pb2.PublishDidEntryResponse:
    """Bring an organization's did:webvh in line with its keys on the ledger; makes it where there is none.

    Args:
        connection: to the platform.
        identity: of the organization, with its present keys.
        signer: whose key signs the entry: the organization's own, or its guardian's after a recovery.

    Raises:
        FailedPrecondition: DID_CURRENT, there is nothing to change; KEY_NOT_IN_FORCE, no key of the signer
            may update the DID.
        DomainError: identity's refusal.
    """
    controller = await connection.controller(identity.principal)
    keys = _own_keys(controller)
    updating = organization.update_keys(keys)
    if controller.HasField("recovery"):
        updating += await _guardian_keys(connection, controller.recovery.guardian)
    try:
        content = await get_did_log(connection, f"principals/{identity.principal.hex()}")
    except NotFound:
        entry = await _first_entry(connection, signer or identity, identity.principal, keys, updating)
    else:
        entry = _next_entry(webvh_log.read_log(content, now_ms()), signer or identity, keys, updating)
    return await command(
        connection,
        identity,
        PREFIX + "PublishDidEntry",
        service_pb2.PublishDidEntry(entry=entry),
        service_pb2.PublishDidEntryResponse,
    )


async def issue(
    connection: Connection,
    identity: Identity,
    subject: bytes,
    *,
    office: str = "",
    valid_until_ms: int | None = None,
) -> Issued:
    """Sign a membership, or an office where one is named, and publish it; makes the status list if need be.

    Raises:
        DomainError: identity's refusal, such as NOT_A_MEMBER or DID_UNKNOWN.
    """
    did = await _did_of(connection, identity)
    list_url = await _ensure_status_list(connection, identity, did)
    refusal: DomainError | None = None
    for _ in range(INDEX_TRIES):
        form = organization.claim_credential(
            uuid=str(uuid.uuid4()),
            issuer=did,
            subject=subject,
            list_url=list_url,
            list_index=secrets.randbelow(status_list.ENTRIES_MIN),
            valid_from_ms=now_ms(),
            valid_until_ms=valid_until_ms,
            office=office,
        )
        document = sign(form, identity, did)
        request = service_pb2.PublishCredential(document=json.dumps(document).encode())
        try:
            answer = await command(
                connection,
                identity,
                PREFIX + "PublishCredential",
                request,
                service_pb2.PublishCredentialResponse,
            )
        except FailedPrecondition as error:
            if error.reason != "STATUS_INDEX_TAKEN":
                raise
            refusal = error
            continue
        return Issued(answer.credential.name, document)
    assert refusal is not None, "there was a try"
    raise refusal


async def revoke(connection: Connection, identity: Identity, name: str) -> list[str]:
    """Sign the status list with the credential's bit set, and publish it; names of what it revoked.

    Raises:
        FailedPrecondition: NOT_ISSUED_HERE, it is another organization's.
        DomainError: identity's refusal, such as CREDENTIAL_UNKNOWN.
    """
    stored = await get_credential(connection, name)
    if stored.organization != f"principals/{identity.principal.hex()}":
        raise FailedPrecondition("NOT_ISSUED_HERE", f"{name} is signed by {stored.organization}")
    (entry,) = status_list.status_entries(json.loads(stored.document))
    did = await _did_of(connection, identity)
    for tries_left in reversed(range(REVOKE_TRIES)):
        bits = await _status_bits(connection, identity.principal)
        changed = status_list.with_bits_set(bits, [entry.index])
        form = organization.status_list_credential(did, entry.list_url, changed, now_ms())
        try:
            return await _publish_list(connection, sign(form, identity, did), identity)
        except FailedPrecondition as error:
            if error.reason != "REVOCATION_UNDONE" or not tries_left:
                raise
    raise AssertionError("the last try returns or raises")


async def get_credential(connection: Connection, name: str) -> service_pb2.Credential:
    """A credential by its name. NotFound with reason CREDENTIAL_UNKNOWN."""
    answer = await connection.call_service(
        PREFIX + "GetCredential",
        service_pb2.GetCredentialRequest(name=name),
        service_pb2.GetCredentialResponse,
    )
    return answer.credential


async def list_credentials(
    connection: Connection, *, organization_: bytes | None = None, subject: bytes | None = None, limit: int
) -> list[service_pb2.Credential]:
    """Credentials of an organization or about a subject, newest first."""
    found: list[service_pb2.Credential] = []
    token = ""
    while len(found) < limit:
        request = service_pb2.ListCredentialsRequest(
            organization="" if organization_ is None else f"principals/{organization_.hex()}",
            subject="" if subject is None else f"principals/{subject.hex()}",
            page_size=min(100, limit - len(found)),
            page_token=token,
        )
        page = await connection.call_service(
            PREFIX + "ListCredentials", request, service_pb2.ListCredentialsResponse
        )
        found += page.credentials
        token = page.next_page_token
        if not token:
            break
    return found


async def get_status_list(connection: Connection, principal: bytes) -> bytes:
    """The credential of an organization's status list, JSON. NotFound with reason STATUS_LIST_UNKNOWN."""
    request = service_pb2.GetStatusListRequest(organization=f"principals/{principal.hex()}")
    answer = await connection.call_service(
        PREFIX + "GetStatusList", request, service_pb2.GetStatusListResponse
    )
    return answer.document


async def check_permission(
    connection: Connection, subject: bytes, relation: str, organization_: bytes, height: int = 0
) -> service_pb2.CheckPermissionResponse:
    """Whether somebody has a relation, with the tuples that carry it."""
    request = service_pb2.CheckPermissionRequest(
        subject=f"principals/{subject.hex()}",
        relation=relation,
        object=f"organizations/{organization_.hex()}",
        height=height,
    )
    return await connection.call_service(
        PREFIX + "CheckPermission", request, service_pb2.CheckPermissionResponse
    )


def sign(form: JsonObject, identity: Identity, did: str) -> JsonObject:
    """The document with a proof of every suite of as many keys as the identity's threshold."""
    for key in identity.keys[: identity.threshold]:
        for suite in key.signing_keys:
            form = proofs.add_proof(
                form,
                _SUITES[suite],
                key.signing_keys[suite].sign,
                verification_method=organization.method_id(did, key.key_id, suite),
                created_ms=now_ms(),
            )
    return form


_SUITES: Final[Mapping[Suite, proofs.Suite]] = {
    Suite.ED25519: proofs.EDDSA_JCS,
    Suite.ML_DSA_65: proofs.MLDSA65_JCS,
}


def _own_keys(controller: Any) -> dict[bytes, dict[int, bytes]]:
    """Public keys of a controller's unscoped keys, by key id."""
    return {
        controller_key_id(key): {entry.suite: entry.public_key for entry in key.public_keys}
        for key in controller.keys
        if not key.HasField("scope")
    }


async def _guardian_keys(connection: Connection, guardian: bytes) -> list[PublicKey]:
    """Ed25519 keys of a guardian; none where it has no keys of its own."""
    try:
        return organization.update_keys(_own_keys(await connection.controller(guardian)))
    except NotFound:
        return []


async def _first_entry(
    connection: Connection,
    signer: Identity,
    principal: bytes,
    keys: Mapping[bytes, Mapping[int, bytes]],
    updating: list[PublicKey],
) -> bytes:
    template = (await get_principal(connection, principal)).did_template
    pair = _signing_pair(signer, [key.did_key_part() for key in updating])
    return webvh_author.first_entry(
        organization.mirror_document(template, keys),
        updating,
        _public_key(pair),
        pair.signing_keys[Suite.ED25519].sign,
        time_ms=now_ms(),
    )


def _next_entry(
    log: Log, signer: Identity, keys: Mapping[bytes, Mapping[int, bytes]], updating: list[PublicKey]
) -> bytes:
    last = log.last
    free = {name: last.document[name] for name in ("service", "alsoKnownAs") if name in last.document}
    document = organization.mirror_document(last.did, keys) | free
    names = [key.did_key_part() for key in updating]
    if document == last.document and names == list(last.parameters.update_keys):
        raise FailedPrecondition("DID_CURRENT", f"{last.did} shows the ledger's keys already")
    pair = _signing_pair(signer, last.parameters.update_keys)
    return webvh_author.next_entry(
        last,
        document,
        {"updateKeys": list(names)},
        _public_key(pair),
        pair.signing_keys[Suite.ED25519].sign,
        time_ms=max(now_ms(), last.version_time_ms + SECOND_MS),
    )


def _signing_pair(signer: Identity, allowed: Any) -> KeyPair:
    for pair in signer.keys:
        if Suite.ED25519 in pair.signing_keys and _public_key(pair).did_key_part() in allowed:
            return pair
    raise FailedPrecondition(
        "KEY_NOT_IN_FORCE",
        f"no key of {signer.name} may update the DID; after a recovery the guardian's may (--by GUARDIAN)",
    )


def _public_key(pair: KeyPair) -> PublicKey:
    return PublicKey(KeyKind.ED25519, pair.public_keys[Suite.ED25519])


async def _did_of(connection: Connection, identity: Identity) -> str:
    found = await get_principal(connection, identity.principal)
    if not found.did:
        raise FailedPrecondition(
            "DID_UNKNOWN", f"{identity.name} has no DID yet: icn did create --as {identity.name}"
        )
    return found.did


async def _ensure_status_list(connection: Connection, identity: Identity, did: str) -> str:
    """The URL of the organization's status list, which is made empty where there is none."""
    try:
        listed = json.loads(await get_status_list(connection, identity.principal))
        return str(listed["id"])
    except NotFound:
        pass
    domain = did.split(":")[3]
    url = organization.status_list_url(domain, identity.principal)
    form = organization.status_list_credential(did, url, status_list.empty(), now_ms())
    await _publish_list(connection, sign(form, identity, did), identity)
    return url


async def _status_bits(connection: Connection, principal: bytes) -> bytes:
    return status_list.read_list(json.loads(await get_status_list(connection, principal))).bits


async def _publish_list(connection: Connection, document: JsonObject, identity: Identity) -> list[str]:
    answer = await command(
        connection,
        identity,
        PREFIX + "PublishStatusList",
        service_pb2.PublishStatusList(document=json.dumps(document).encode()),
        service_pb2.PublishStatusListResponse,
    )
    return list(answer.revoked)
