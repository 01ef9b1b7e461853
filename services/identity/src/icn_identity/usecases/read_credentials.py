"""GetCredential, ListCredentials, GetStatusList: what is stored."""

from __future__ import annotations

from collections.abc import Sequence

from icn_kit.errors import NotFound

from icn_identity.usecases.ports import StoredCredential, StoredList, UnitOfWork


async def get_credential(credential_id: bytes, uow: UnitOfWork) -> StoredCredential:
    """One credential.

    Raises:
        NotFound: CREDENTIAL_UNKNOWN.
    """
    async with uow:
        stored = await uow.credentials.get(credential_id)
    if stored is None:
        raise NotFound("CREDENTIAL_UNKNOWN", f"no credential {credential_id.hex()}")
    return stored


async def list_credentials(
    uow: UnitOfWork, *, organization: bytes | None, subject: bytes | None, before: int | None, count: int
) -> Sequence[StoredCredential]:
    """Credentials of an organization or about a subject, newest first."""
    async with uow:
        return await uow.credentials.page(
            organization=organization, subject=subject, before=before, count=count
        )


async def get_status_list(organization: bytes, uow: UnitOfWork) -> StoredList:
    """The newest list of an organization.

    Raises:
        NotFound: STATUS_LIST_UNKNOWN.
    """
    async with uow:
        listed = await uow.status_lists.get(organization)
    if listed is None:
        raise NotFound("STATUS_LIST_UNKNOWN", f"principals/{organization.hex()} has no status list")
    return listed
