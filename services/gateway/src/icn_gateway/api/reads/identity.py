"""DIDs with their logs, credentials, status lists, and the tuples that say who may do what."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import Message
from icn_kit.errors import InvalidArgument

from icn_gateway.api.fields import EXAMPLE_ID, HEIGHT_MAX, PAGE_SIZE_MAX
from icn_gateway.api.reads.route import (
    Content,
    Parameter,
    Read,
    identifier,
    json_content,
    only_of,
    paging,
    whole,
    word,
)
from icn_gateway.usecases.contracts import method

_JSON_LINES = "text/jsonl"
_LOG_SECONDS = 5
"""A log grows by an entry now and then; who resolves a DID wants the newest."""
_EXAMPLE_DID = "did:key:z6MkpTHR8VNsBxYAAWHut2Geadd9jSwuBV8xRoAnwWsdvktH"
_HEIGHT = whole("height", "Block height to judge at; 0: the newest there is.", HEIGHT_MAX, 0, 0)


def _resolved(_request: Message, response: Any) -> Content:
    """As a DID resolver answers (https://www.w3.org/TR/did-resolution/), the document as it was signed."""
    json_content(response.document), json_content(response.metadata)
    return Content(
        b'{"didDocument":%s,"didDocumentMetadata":%s}' % (response.document, response.metadata),
        "application/json",
    )


def _log(_request: Message, response: Any) -> Content:
    return Content(response.log, _JSON_LINES, {"cache-control": f"max-age={_LOG_SECONDS}"})


def _document(_request: Message, response: Any) -> Content:
    return json_content(response.document)


def _credential(_request: Message, response: Any) -> Content:
    return json_content(response.credential.document)


def _either(*names: str) -> Any:
    def check(fields: dict[str, Any]) -> None:
        if not any(fields[name] for name in names):
            raise InvalidArgument("INVALID_ARGUMENT", f"give at least one of {' and '.join(names)}")

    return check


def _resource(name: str, what: str) -> Parameter:
    return Parameter(
        name,
        name,
        f"{what}, a resource name such as `organizations/<32 hex>`.",
        "[a-z]{1,32}/[0-9a-f]{32}",
        65,
        f"organizations/{EXAMPLE_ID}",
    )


_DID = Parameter(
    "did",
    "did",
    "did:key, did:peer or did:webvh, without a query.",
    "did:[a-z0-9]{1,16}:[A-Za-z0-9._:%=-]{1,2000}",
    2_048,
    _EXAMPLE_DID,
)
_ORGANIZATION = identifier("organization_id", "organization", "principals", "Organization")

READS = (
    Read(
        "/v1/identities/{principal_id:str}",
        "GetIdentity",
        "Identity",
        method("identity", "GetPrincipal"),
        (identifier("principal_id", "name", "principals", "Principal"),),
    ),
    Read(
        "/v1/dids/{did:str}",
        "ResolveDid",
        "Identity",
        method("identity", "ResolveDid"),
        (
            _DID,
            Parameter(
                "version_id",
                "version_id",
                "Id of a version; absent: the newest.",
                "([0-9]{1,6}-[A-Za-z0-9]{1,100})?",
                107,
                "",
                default="",
            ),
            whole("version_number", "Number of a version from 1; 0: not asked.", 1_000_000, 0, 0),
            whole(
                "version_time_ms", "The version in force then, unix milliseconds; 0: now.", HEIGHT_MAX, 0, 0
            ),
        ),
        content=_resolved,
    ),
    Read(
        "/orgs/{organization_id:str}/did.jsonl",
        "GetDidLog",
        "Identity",
        method("identity", "GetDidLog"),
        (identifier("organization_id", "name", "principals", "Organization"),),
        content=_log,
        media_types=(_JSON_LINES,),
    ),
    Read(
        "/orgs/{organization_id:str}/status",
        "GetStatusListAtItsAddress",
        "Identity",
        method("identity", "GetStatusList"),
        (_ORGANIZATION,),
        content=_document,
    ),
    Read(
        "/v1/status-lists/{organization_id:str}",
        "GetStatusList",
        "Identity",
        method("identity", "GetStatusList"),
        (_ORGANIZATION,),
        content=_document,
    ),
    Read(
        "/v1/credentials",
        "ListCredentials",
        "Identity",
        method("identity", "ListCredentials"),
        (
            only_of("organization", "organization", "principals", "Signed by this organization"),
            only_of("subject", "subject", "principals", "About this principal"),
            *paging(100),
        ),
        check=_either("organization", "subject"),
    ),
    Read(
        "/v1/credentials/{credential_id:str}",
        "GetCredential",
        "Identity",
        method("identity", "GetCredential"),
        (identifier("credential_id", "name", "credentials", "Credential"),),
    ),
    Read(
        "/v1/credentials/{credential_id:str}/document",
        "GetCredentialDocument",
        "Identity",
        method("identity", "GetCredential"),
        (identifier("credential_id", "name", "credentials", "Credential"),),
        content=_credential,
    ),
    Read(
        "/v1/permissions",
        "ListPermissions",
        "Identity",
        method("identity", "ListPermissions"),
        (
            only_of("subject", "subject", "principals", "What this principal may do"),
            Parameter(
                "object",
                "object",
                "Who may do something on this, a resource name; absent for all.",
                "([a-z]{1,32}/[0-9a-f]{32})?",
                65,
                "",
                default="",
            ),
            _HEIGHT,
            *paging(PAGE_SIZE_MAX),
        ),
        check=_either("subject", "object"),
    ),
    Read(
        "/v1/permissions/check",
        "CheckPermission",
        "Identity",
        method("identity", "CheckPermission"),
        (
            identifier("subject", "subject", "principals", "Who"),
            word("relation", "relation", "`member`, `officer` or an office.", "member"),
            _resource("object", "On what"),
            _HEIGHT,
        ),
    ),
)
