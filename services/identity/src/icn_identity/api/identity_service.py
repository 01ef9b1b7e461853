# ruff: noqa: N802, D102 - gRPC names the methods, the proto describes them
"""IdentityService. Source: protos/icn/identity/v1/service.proto."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from google.protobuf.message import Message
from icn.identity.v1 import service_pb2, service_pb2_grpc
from icn_credentials.proofs import ProofVerdict
from icn_credentials.resolver import Version
from icn_kit.commands import Command, CommandVerifier
from icn_kit.errors import InvalidArgument
from icn_kit.pages import PageTokens, check_page_size
from icn_kit.permissions import (
    HEIGHT_NONE,
    HeightNotReached,
    MalformedTuple,
    PermissionTuple,
    check_tuple,
)

from icn_identity.api.names import parse_identifier
from icn_identity.domain.principals import ControllerKey
from icn_identity.usecases.answers import credential_answer
from icn_identity.usecases.get_principal import Portrait, get_principal
from icn_identity.usecases.logs import LogMemory
from icn_identity.usecases.ports import Surroundings, UnitOfWork
from icn_identity.usecases.publish_credential import publish_credential
from icn_identity.usecases.publish_did_entry import publish_did_entry
from icn_identity.usecases.publish_status_list import publish_status_list
from icn_identity.usecases.read_credentials import get_credential, get_status_list, list_credentials
from icn_identity.usecases.resolve_did import find_did_log, get_did_log, resolve_did
from icn_identity.usecases.verify_credential import verify_credential

PREFIX: Final = "/icn.identity.v1.IdentityService/"
CREDENTIALS_PAGE_DEFAULT, CREDENTIALS_PAGE_MAX = 20, 100
"""A page of credentials is at most 6.5 MB, and 0.3 MB as a rule."""
TUPLES_PAGE_DEFAULT, TUPLES_PAGE_MAX = 100, 500
DID_CHARACTERS_MAX = 16_384
HEIGHT_MAX = 2**63 - 1
VERIFIED_AT_ONCE = 2
"""Documents of others, which may take half a second each of a thread."""

_PLACE_BYTES = 8
RequestT = TypeVar("RequestT", bound=Message)


class IdentityServicer(service_pb2_grpc.IdentityServiceServicer):
    """The RPCs; errors become statuses in the interceptor."""

    def __init__(
        self,
        commands: CommandVerifier,
        unit_of_work: Callable[[], UnitOfWork],
        around: Surroundings,
    ) -> None:
        self._commands = commands
        self._unit_of_work = unit_of_work
        self._around = around
        self._logs = LogMemory()
        self._tokens = PageTokens(around.genesis_hash)
        self._verifying = asyncio.Semaphore(VERIFIED_AT_ONCE)

    # -- writes

    async def PublishDidEntry(self, request: Any, _context: Any) -> service_pb2.PublishDidEntryResponse:
        command = await self._read(request, "PublishDidEntry", service_pb2.PublishDidEntry)
        return await publish_did_entry(command, self._unit_of_work(), self._logs, self._around)

    async def PublishCredential(self, request: Any, _context: Any) -> service_pb2.PublishCredentialResponse:
        command = await self._read(request, "PublishCredential", service_pb2.PublishCredential)
        return await publish_credential(command, self._unit_of_work(), self._logs, self._around)

    async def PublishStatusList(self, request: Any, _context: Any) -> service_pb2.PublishStatusListResponse:
        command = await self._read(request, "PublishStatusList", service_pb2.PublishStatusList)
        return await publish_status_list(command, self._unit_of_work(), self._logs, self._around)

    # -- principals and DIDs

    async def GetPrincipal(self, request: Any, _context: Any) -> service_pb2.GetPrincipalResponse:
        principal = parse_identifier(request.name, "principals")
        return _portrait(await get_principal(principal, self._unit_of_work(), self._logs, self._around))

    async def GetDidLog(self, request: Any, _context: Any) -> service_pb2.GetDidLogResponse:
        _check_did(request.name)
        if request.name.startswith("did:"):
            log = await find_did_log(request.name, self._unit_of_work(), self._logs)
        else:
            principal = parse_identifier(request.name, "principals")
            log = await get_did_log(principal, self._unit_of_work(), self._logs)
        content = b"".join(line + b"\n" for line in log.lines)
        return service_pb2.GetDidLogResponse(did=log.last.did, log=content)

    async def ResolveDid(self, request: Any, _context: Any) -> service_pb2.ResolveDidResponse:
        _check_did(request.did)
        _check_did(request.version_id)
        version = Version(
            request.version_id or None, request.version_number or None, request.version_time_ms or None
        )
        asked = (version.version_id, version.version_number, version.version_time_ms)
        if sum(one is not None for one in asked) > 1:
            raise InvalidArgument(
                "VERSION_AMBIGUOUS", "at most one of version_id, _number and _time_ms is set"
            )
        found = await resolve_did(request.did, version, self._unit_of_work(), self._logs)
        return service_pb2.ResolveDidResponse(document=_json(found.document), metadata=_json(found.metadata))

    # -- credentials

    async def GetCredential(self, request: Any, _context: Any) -> service_pb2.GetCredentialResponse:
        credential_id = parse_identifier(request.name, "credentials")
        stored = await get_credential(credential_id, self._unit_of_work())
        return service_pb2.GetCredentialResponse(credential=credential_answer(stored))

    async def ListCredentials(self, request: Any, _context: Any) -> service_pb2.ListCredentialsResponse:
        _check_one_of(organization=request.organization, subject=request.subject)
        organization = request.organization and parse_identifier(request.organization, "principals")
        subject = request.subject and parse_identifier(request.subject, "principals")
        count = check_page_size(request.page_size, CREDENTIALS_PAGE_DEFAULT, CREDENTIALS_PAGE_MAX)
        listing = f"credentials {request.organization} {request.subject}"
        place = self._tokens.read(listing, request.page_token, _PLACE_BYTES)
        found = await list_credentials(
            self._unit_of_work(),
            organization=organization or None,
            subject=subject or None,
            before=None if place is None else int.from_bytes(place, "big"),
            count=count + 1,
        )
        token = ""
        if len(found) > count:
            token = self._tokens.write(listing, found[count - 1].position.to_bytes(_PLACE_BYTES, "big"))
        return service_pb2.ListCredentialsResponse(
            credentials=[credential_answer(one) for one in found[:count]], next_page_token=token
        )

    async def GetStatusList(self, request: Any, _context: Any) -> service_pb2.GetStatusListResponse:
        organization = parse_identifier(request.organization, "principals")
        listed = await get_status_list(organization, self._unit_of_work())
        return service_pb2.GetStatusListResponse(document=listed.document)

    async def VerifyCredential(self, request: Any, _context: Any) -> service_pb2.VerifyCredentialResponse:
        async with self._verifying:
            judged = await verify_credential(request.document, self._unit_of_work(), self._logs, self._around)
        verdict = judged.verdict
        return service_pb2.VerifyCredentialResponse(
            is_valid=verdict.is_valid,
            reason=verdict.reason,
            proofs=[_proof(one) for one in verdict.proofs],
            issuer=verdict.issuer,
            is_issuer_bound=verdict.is_issuer_bound,
            organization="" if judged.organization is None else f"principals/{judged.organization.hex()}",
            status=verdict.status.value,
        )

    # -- permissions

    async def CheckPermission(self, request: Any, _context: Any) -> service_pb2.CheckPermissionResponse:
        _check_tuple(request.object, request.relation, request.subject)
        height = self._height(request.height)
        verdict = self._around.permissions.check(request.subject, request.relation, request.object, height)
        return service_pb2.CheckPermissionResponse(
            is_allowed=verdict.is_allowed, because=[_tuple(one) for one in verdict.because], height=height
        )

    async def ListPermissions(self, request: Any, _context: Any) -> service_pb2.ListPermissionsResponse:
        _check_one_of(subject=request.subject, object=request.object)
        if request.subject:
            parse_identifier(request.subject, "principals")
        else:
            parse_identifier(request.object, "organizations")
        count = check_page_size(request.page_size, TUPLES_PAGE_DEFAULT, TUPLES_PAGE_MAX)
        listing = f"permissions {request.subject} {request.object}"
        place = self._tokens.read(listing, request.page_token, 2 * _PLACE_BYTES)
        # A token carries the height, so that all pages show one moment.
        offset = 0 if place is None else int.from_bytes(place[_PLACE_BYTES:], "big")
        height = self._height(
            request.height if place is None else int.from_bytes(place[:_PLACE_BYTES], "big")
        )
        uow = self._unit_of_work()
        async with uow:
            found = await uow.tuples.holding(
                object_=request.object,
                subject=request.subject,
                height=height,
                offset=offset,
                count=count + 1,
            )
        token = ""
        if len(found) > count:
            place = height.to_bytes(_PLACE_BYTES, "big") + (offset + count).to_bytes(_PLACE_BYTES, "big")
            token = self._tokens.write(listing, place)
        return service_pb2.ListPermissionsResponse(
            tuples=[_tuple(one) for one in found[:count]], height=height, next_page_token=token
        )

    def _height(self, asked: int) -> int:
        reached = self._around.permissions.height
        if asked > HEIGHT_MAX:
            raise InvalidArgument("HEIGHT_OUT_OF_RANGE", f"height {asked} is above {HEIGHT_MAX}")
        if asked > reached:
            raise HeightNotReached(asked, reached)
        return asked or reached

    async def _read(self, request: Any, name: str, request_type: type[RequestT]) -> Command[RequestT]:
        return await self._commands.read(request.command, PREFIX + name, request_type)


def _check_did(text: str) -> None:
    if len(text) > DID_CHARACTERS_MAX:
        raise InvalidArgument("DID_INVALID", f"at most {DID_CHARACTERS_MAX} characters are read")


def _check_one_of(**given: str) -> None:
    if sum(bool(value) for value in given.values()) != 1:
        raise InvalidArgument("FILTER_AMBIGUOUS", f"exactly one of {' and '.join(given)} is set")


def _check_tuple(object_: str, relation: str, subject: str) -> None:
    try:
        check_tuple(object_, relation, subject)
    except MalformedTuple as fault:
        raise InvalidArgument("MALFORMED_TUPLE", str(fault)) from fault


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _proof(verdict: ProofVerdict) -> service_pb2.ProofVerdict:
    return service_pb2.ProofVerdict(
        is_valid=verdict.is_valid,
        reason=verdict.reason,
        cryptosuite=verdict.suite,
        verification_method=verdict.verification_method,
    )


def _tuple(found: PermissionTuple) -> service_pb2.PermissionTuple:
    return service_pb2.PermissionTuple(
        object=found.object,
        relation=found.relation,
        subject=found.subject,
        since_height=found.since_height,
        until_height=0 if found.until_height == HEIGHT_NONE else found.until_height,
    )


def _key(key_id: bytes, key: ControllerKey) -> service_pb2.PrincipalKey:
    return service_pb2.PrincipalKey(
        key_id=key_id, did=key.did, is_scoped=key.is_scoped, suites=sorted(key.public_keys)
    )


def _portrait(portrait: Portrait) -> service_pb2.GetPrincipalResponse:
    controller = portrait.person.controller
    recovery = None
    if (announced := portrait.person.recovery) is not None:
        recovery = service_pb2.RecoveryUnderWay(
            guardian=f"principals/{announced.guardian.hex()}",
            ready_time_ms=announced.ready_time_ms,
            keys=[_key(key_id, key) for key_id, key in sorted(announced.keys.items())],
        )
    return service_pb2.GetPrincipalResponse(
        name=f"principals/{controller.principal.hex()}",
        threshold=controller.threshold,
        keys=[_key(key_id, key) for key_id, key in sorted(controller.keys.items())],
        guardian=f"principals/{controller.guardian.hex()}" if controller.guardian else "",
        recovery_delay_ms=controller.recovery_delay_ms,
        recovery=recovery,
        did=portrait.did,
        did_template=portrait.did_template,
        memberships=[
            service_pb2.PrincipalMembership(
                organization=f"principals/{one.organization.hex()}",
                status=one.status,
                since_time_ms=one.since_time_ms,
            )
            for one in portrait.person.memberships
        ],
        is_did_current=portrait.is_did_current,
    )
