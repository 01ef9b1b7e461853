"""VerifyCredential: by the logs and lists that are stored here."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from icn_credentials import credential, json_forms, proofs, status_list, webvh_did
from icn_credentials.credential import Status, Verdict
from icn_credentials.faults import CredentialFault, InvalidCredential
from icn_credentials.organization import status_list_url
from icn_credentials.resolver import Resolver, split_url
from icn_credentials.status_list import StatusList
from icn_credentials.webvh_log import Log
from icn_kit.errors import InvalidArgument

from icn_identity.domain.claims import VERIFY_BYTES_MAX
from icn_identity.usecases.logs import LogMemory
from icn_identity.usecases.ports import Surroundings, UnitOfWork


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict, and whose DID the issuer is here."""

    verdict: Verdict
    organization: bytes | None


async def verify_credential(
    document: bytes, uow: UnitOfWork, logs: LogMemory, around: Surroundings
) -> Judged:
    """The verdict on any credential; never a refusal for one that does not hold.

    Raises:
        InvalidArgument: DOCUMENT_TOO_LARGE.
    """
    if len(document) > VERIFY_BYTES_MAX:
        raise InvalidArgument(
            "DOCUMENT_TOO_LARGE",
            f"{len(document)} bytes, at most {VERIFY_BYTES_MAX} are verified",
            size_bytes=len(document),
            size_bytes_max=VERIFY_BYTES_MAX,
        )
    try:
        form = json_forms.read_object(document, VERIFY_BYTES_MAX, "the credential", InvalidCredential)
        scids = _scids_named(form)
    except CredentialFault as fault:
        return Judged(Verdict(False, str(fault), (), status=Status.NOT_CHECKED), None)
    known: dict[str, Log] = {}
    principals: dict[str, bytes] = {}
    lists: dict[str, StatusList] = {}
    async with uow:
        for scid in sorted(scids):
            found = await logs.of_scid(scid, uow)
            if found is None:
                continue
            principal, log = found
            known[scid] = log
            principals[log.last.did] = principal
            listed = await uow.status_lists.get(principal)
            if listed is not None:
                url = status_list_url(around.domain, principal)
                lists[url] = StatusList((status_list.REVOCATION,), listed.bits)
    verdict = await asyncio.to_thread(
        credential.verify, form, Resolver(known).verification_method, around.clock.now_ms(), lists
    )
    return Judged(verdict, principals.get(verdict.issuer))


def _scids_named(form: json_forms.JsonObject) -> set[str]:
    """The did:webvh of issuer and keys, as many as there are proofs and one. Raises CredentialFault."""
    named = [str(proof.get("verificationMethod", "")) for proof in proofs.proofs_of(form)]
    found: set[str] = set()
    for name in (credential.issuer_of(form), *named):
        if name.startswith(webvh_did.PREFIX):
            did, _, _ = split_url(name)
            found.add(webvh_did.read(did).scid)
    return found
