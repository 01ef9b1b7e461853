"""Routes that sign in and out. A session only reads; whatever changes something is signed."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from typing import Annotated, TypeVar

from icn.kit.v1.command_pb2 import CommandSignature
from icn_kit.errors import InvalidArgument, Unauthenticated
from litestar import Response, delete, get, post
from litestar.di import NamedDependency
from litestar.openapi.spec import Example, OpenAPIMediaType, Operation, Reference, RequestBody
from litestar.params import QueryParameter

from icn_gateway.api import views
from icn_gateway.api.bodies import JSON, decode_json, media_type, read_body
from icn_gateway.api.context import Context
from icn_gateway.api.declared import problems
from icn_gateway.api.edge import CLIENT_ADDRESS
from icn_gateway.api.problems import AnyRequest, HttpProblem
from icn_gateway.domain.sign_in import Session, show_code
from icn_gateway.usecases.sign_in import Granted

BODY_BYTES_MAX = 160 * 1024
"""Sixteen signatures of the largest suite in hex, with the JSON around them."""
COOKIE = "icn_session"
COOKIE_SECURE = "__Host-icn_session"
TOKEN_CHARACTERS_MAX = 128
_ALWAYS = (400, 401, 408, 409, 413, 415, 429, 500, 502, 503, 504)

_Body = TypeVar("_Body")


@dataclass
class ChallengeOperation(Operation):
    """Declares the body that the handler reads itself."""

    def __post_init__(self) -> None:
        self.request_body = _body("ChallengeRequest", "Who wants to sign in.")


@dataclass
class SignInOperation(Operation):
    """Declares the body that the handler reads itself."""

    def __post_init__(self) -> None:
        self.request_body = _body("SignInRequest", "The signed challenge.")


def _body(schema: str, description: str) -> RequestBody:
    reference = Reference(ref=f"#/components/schemas/{schema}")
    return RequestBody(
        required=True, description=description, content={JSON: OpenAPIMediaType(schema=reference)}
    )


@post(
    "/v1/sessions/challenges",
    status_code=200,
    responses=problems(*_ALWAYS),
    request_max_body_size=BODY_BYTES_MAX,
    operation_class=ChallengeOperation,
    response_description="Something to sign.",
    tags=["Sessions"],
)
async def make_challenge(request: AnyRequest, context: NamedDependency[Context]) -> views.SignInChallenge:
    """Ask for something to sign. It is good for two minutes and once.

    401 with reason CONTROLLER_UNKNOWN: there is no such principal.
    """
    limit_sign_in(request, context)
    asked = await _read(request, views.ChallengeRequest)
    challenge = await context.sign_in.challenge(bytes.fromhex(asked.principal))
    return views.SignInChallenge(
        challenge=challenge.content.hex(),
        origins=list(context.sign_in.origins),
        expire_time_ms=challenge.expire_time_ms,
    )


@post(
    "/v1/sessions",
    status_code=200,
    responses=problems(*_ALWAYS, 403),
    request_max_body_size=BODY_BYTES_MAX,
    operation_class=SignInOperation,
    response_description="A session or, for a page, a code that opens one.",
    tags=["Sessions"],
)
async def create_session(request: AnyRequest, context: NamedDependency[Context]) -> Response[views.SignedIn]:
    """Sign in with a signed challenge.

    The session reads what only its principal may see, and ends after twelve hours or when the principal's
    keys change. A code opens a session in a browser, once, within five minutes.
    """
    limit_sign_in(request, context)
    asked = await _read(request, views.SignInRequest)
    content = bytes.fromhex(asked.challenge)
    signatures = [
        CommandSignature(
            suite=signature.suite,
            key_id=bytes.fromhex(signature.key_id),
            signature=bytes.fromhex(signature.signature),
        )
        for signature in asked.signatures
    ]
    if len({signature.key_id for signature in signatures}) != len(signatures):
        raise InvalidArgument("INVALID_ARGUMENT", "signatures: a key is listed twice")
    if asked.purpose == "page":
        granted = await context.sign_in.make_code(content, signatures)
        answer = _for_page(granted, context.sign_in.origins[0])
    else:
        granted = await context.sign_in.sign_in(content, signatures)
        answer = views.SignedIn(
            principal=granted.session.principal.hex(),
            expire_time_ms=granted.session.expire_time_ms,
            token=granted.token,
        )
    return Response(answer, headers={"cache-control": "no-store"})


def _for_page(granted: Granted, origin: str) -> views.SignedIn:
    code = show_code(granted.token)
    return views.SignedIn(
        principal=granted.session.principal.hex(),
        expire_time_ms=granted.session.expire_time_ms,
        code=code,
        link=f"{origin}/sign-in?code={code}",
    )


@get("/v1/sessions", responses=problems(*_ALWAYS), tags=["Sessions"])
async def get_session(request: AnyRequest, context: NamedDependency[Context]) -> Response[views.SessionView]:
    """Who is signed in with the token or cookie of this request. 401 with reason SESSION_UNKNOWN."""
    session = await require_session(request, context)
    return Response(
        views.SessionView(principal=session.principal.hex(), expire_time_ms=session.expire_time_ms),
        headers={"cache-control": "no-store"},
    )


@delete("/v1/sessions", status_code=200, responses=problems(*_ALWAYS, 403), tags=["Sessions"])
async def end_sessions(
    request: AnyRequest,
    context: NamedDependency[Context],
    everywhere: Annotated[
        bool,
        QueryParameter(
            name="everywhere",
            description="End every session and code of the principal, on whatever device.",
            examples=[Example(value=False)],
        ),
    ] = False,
) -> views.SessionsEnded:
    """Sign out."""
    require_same_origin(request, context)
    session = await require_session(request, context)
    if everywhere:
        return views.SessionsEnded(ended=await context.sign_in.end_all(session.principal))
    await context.sign_in.end(token_of(request))
    return views.SessionsEnded(ended=1)


async def require_session(request: AnyRequest, context: Context) -> Session:
    """Who is signed in.

    Raises:
        Unauthenticated: SESSION_UNKNOWN.
    """
    token = token_of(request)
    if not token:
        raise Unauthenticated("SESSION_UNKNOWN", "not signed in")
    return await context.sign_in.recognize(token)


def token_of(request: AnyRequest) -> str:
    """The token of a request, from its Authorization header or cookie; empty when there is none."""
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        token = credentials.strip()
    else:
        token = request.cookies.get(COOKIE_SECURE) or request.cookies.get(COOKIE) or ""
    return token if len(token) <= TOKEN_CHARACTERS_MAX else ""


def require_same_origin(request: AnyRequest, context: Context) -> None:
    """Refuse what another site has made a browser send. Programs send neither header.

    Raises:
        HttpProblem: 403, CROSS_SITE.
    """
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    is_ours = site in {"same-origin", "none"} if site else origin in {None, *context.sign_in.origins}
    if not is_ours:
        raise HttpProblem(403, "CROSS_SITE", "another site's page has sent this")


def limit_sign_in(request: AnyRequest, context: Context) -> None:
    """Signatures cost more to check than pages to show, and codes must not be guessed.

    Raises:
        HttpProblem: 429, TOO_MANY_REQUESTS.
    """
    address = str(request.scope.get(CLIENT_ADDRESS, ""))
    wait_seconds = context.sign_in_limit.take(address, monotonic())
    if wait_seconds:
        raise HttpProblem(
            429,
            "TOO_MANY_REQUESTS",
            "this address signs in too often",
            retry_after_seconds=wait_seconds,
        )


async def _read(request: AnyRequest, form: type[_Body]) -> _Body:
    if media_type(request) != JSON:
        raise HttpProblem(415, "MEDIA_TYPE_NOT_SUPPORTED", f"the body must be {JSON}")
    return decode_json(await read_body(request), form)
