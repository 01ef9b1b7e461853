"""GetDidLog and ResolveDid: what is stored, and DIDs that say it themselves."""

from __future__ import annotations

from icn_credentials import webvh_did
from icn_credentials.faults import CredentialFault
from icn_credentials.faults import NotFound as VersionNotFound
from icn_credentials.resolver import Resolution, Version, resolve
from icn_credentials.webvh_log import Log
from icn_kit.errors import InvalidArgument, NotFound

from icn_identity.domain.refusals import did_unknown
from icn_identity.usecases.logs import LogMemory
from icn_identity.usecases.ports import UnitOfWork


async def get_did_log(principal: bytes, uow: UnitOfWork, logs: LogMemory) -> Log:
    """The log of a principal.

    Raises:
        NotFound: DID_UNKNOWN.
    """
    async with uow:
        log = await logs.of(principal, uow)
    if log is None:
        raise did_unknown(f"principals/{principal.hex()}")
    return log


async def find_did_log(did: str, uow: UnitOfWork, logs: LogMemory) -> Log:
    """The log of a did:webvh.

    Raises:
        InvalidArgument: DID_INVALID.
        NotFound: DID_UNKNOWN.
    """
    try:
        scid = webvh_did.read(did).scid
    except CredentialFault as fault:
        raise InvalidArgument("DID_INVALID", str(fault)) from fault
    async with uow:
        found = await logs.of_scid(scid, uow)
    if found is None or all(entry.did != did for entry in found[1].entries):
        raise did_unknown(did)
    return found[1]


async def resolve_did(did: str, version: Version, uow: UnitOfWork, logs: LogMemory) -> Resolution:
    """The document of a DID.

    Raises:
        InvalidArgument: DID_INVALID.
        NotFound: DID_UNKNOWN, also for a version that the log does not have.
    """
    known: dict[str, Log] = {}
    if did.startswith(webvh_did.PREFIX):
        log = await find_did_log(did, uow, logs)
        known[log.scid] = log
    try:
        return resolve(did, version, known)
    except VersionNotFound as fault:
        raise NotFound("DID_UNKNOWN", str(fault)) from fault
    except CredentialFault as fault:
        raise InvalidArgument("DID_INVALID", str(fault)) from fault
