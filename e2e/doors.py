"""The platform's public doors for the stories: whoever acts signs, a door carries the bytes and reads back.

`RestDoor` knows nothing but HTTP, `GrpcDoor` the validators and services themselves. What both read is put in
the form of docs/spec/gateway.md, "Documents", so that it can be compared.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

import httpx
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from icn.governance.v1 import service_pb2 as governance
from icn.kit.v1.command_pb2 import CommandRequest, SignedCommand
from icn.ledger.v1 import service_pb2 as ledger
from icn.ledger.v1.state_pb2 import Receipt
from icn.ledger.v1.transaction_pb2 import Countersignature
from icn_client.commands import method_of
from icn_client.connection import Connection
from icn_client.submitter import DOUBTFUL_REASONS, End, Submitter
from icn_client.transactions import Signed
from icn_kit.errors import DomainError

SOON_SECONDS = 120.0
"""On a busy machine with a part of the platform gone; a second on a quiet one."""
CALL_SECONDS = 30.0
POLL_SECONDS = 0.15
WAIT_MS = 5_000
AWAY_STATUSES = frozenset({202, 429, 502, 503, 504})
"""The end is open, or nobody answers for the moment: the same bytes are sent again."""
AWAY_KINDS = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "RESOURCE_EXHAUSTED"})


class Refused(Exception):
    """A definite no; ``reason`` is stable."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Ended:
    """What a final block made of a transaction."""

    transaction: str
    height: int
    status: str
    reason: str
    figures: Mapping[str, int]
    postings: tuple[tuple[str, str, int, int], ...]
    """Account, the other side, amount, balance; minor units."""


class Door(Protocol):
    """A way into the platform. The same bytes are sent again until there is a definite answer."""

    async def transact(self, signed: Signed, expire_time_ms: int) -> Ended:
        """A transaction's end. Raises Refused when no pool takes it."""
        ...

    async def command(self, signed: SignedCommand) -> dict[str, Any]:
        """The service's answer. Raises Refused."""
        ...

    async def countersign(self, decision: bytes, given: Countersignature) -> int:
        """How many there are. Raises Refused."""
        ...

    async def read(self, path: str, request: Message) -> dict[str, Any]:
        """What ``GET path``, or the call of this request, answers. Raises Refused."""
        ...

    async def result(self, proposal: bytes) -> bytes:
        """A poll's result. Raises Refused."""
        ...

    async def transaction(self, identifier: bytes) -> Ended:
        """A transaction that is committed. Raises Refused."""
        ...

    async def account(self, account: bytes) -> dict[str, int]:
        """Balance, held and floor, minor units. Raises Refused."""
        ...

    async def entries(self, account: bytes) -> list[tuple[int, int]]:
        """Amount and balance, the newest first. Raises Refused."""
        ...


class RestDoor:
    """The gateway, as a client without any of our protos would use it to carry signed bytes."""

    def __init__(self, url: str) -> None:
        self._client = httpx.AsyncClient(base_url=url, timeout=CALL_SECONDS)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self._client.aclose()

    async def transact(self, signed: Signed, expire_time_ms: int) -> Ended:
        """Until a final block includes it."""
        deadline = time.monotonic() + SOON_SECONDS
        while True:
            try:
                answer = await self._post("/v1/transactions", signed.data, wait_ms=WAIT_MS)
            except Refused as refusal:
                if refusal.reason == "SEQUENCE_USED":  # perhaps by an earlier sending of the same
                    return await self.transaction(signed.transaction_id)
                if refusal.reason not in DOUBTFUL_REASONS or time.monotonic() > deadline:
                    raise
                await asyncio.sleep(POLL_SECONDS)  # a validator that is behind
                continue
            return _ended(answer)

    async def command(self, signed: SignedCommand) -> dict[str, Any]:
        """Through ``/v1/commands``."""
        answer = await self._post("/v1/commands", signed.SerializeToString(deterministic=True))
        assert answer["method"] == method_of(signed)
        response: dict[str, Any] = answer["response"]
        return response

    async def countersign(self, decision: bytes, given: Countersignature) -> int:
        """As JSON."""
        body = {
            "signer": given.signer.hex(),
            "key_id": given.key_id.hex(),
            "suite": given.suite,
            "signature": given.signature.hex(),
        }
        path = f"/v1/certificates/{decision.hex()}/countersignatures"
        return int((await self._ask("POST", path, json=body)).json()["countersignatures"])

    async def read(self, path: str, request: Message) -> dict[str, Any]:
        """The path alone says what is asked."""
        found: dict[str, Any] = (await self._ask("GET", path)).json()
        return found

    async def result(self, proposal: bytes) -> bytes:
        """The bytes as they come."""
        return (await self._ask("GET", f"/v1/proposals/{proposal.hex()}/result")).content

    async def transaction(self, identifier: bytes) -> Ended:
        """By id."""
        return _ended((await self._ask("GET", f"/v1/transactions/{identifier.hex()}")).json())

    async def account(self, account: bytes) -> dict[str, int]:
        """Without what only REST adds."""
        shown = (await self._ask("GET", f"/v1/accounts/{account.hex()}")).json()
        return {name: int(shown[name]) for name in ("balance_minor", "held_minor", "floor_minor")}

    async def entries(self, account: bytes) -> list[tuple[int, int]]:
        """The first page, which is all that a story makes."""
        shown = (await self._ask("GET", f"/v1/accounts/{account.hex()}/entries")).json()
        return [(int(one["amount_minor"]), int(one["balance_minor"])) for one in shown["entries"]]

    async def _post(self, path: str, content: bytes, **query: int) -> Any:
        headers = {"content-type": "application/octet-stream"}
        return (await self._ask("POST", path, content=content, params=query, headers=headers)).json()

    async def _ask(self, method: str, path: str, **parts: Any) -> httpx.Response:
        deadline = time.monotonic() + SOON_SECONDS
        while True:
            said: object
            try:
                answer = await self._client.request(method, path, **parts)
            except httpx.TransportError as error:
                said = error
            else:
                if answer.status_code not in AWAY_STATUSES:
                    break
                said = answer.text
            assert time.monotonic() < deadline, f"no answer of {method} {path}: {said}"
            await asyncio.sleep(POLL_SECONDS)
        if answer.status_code != 200:
            raise Refused(answer.json()["reason"], answer.text)
        return answer


def _ended(shown: Mapping[str, Any]) -> Ended:
    receipt = shown["receipt"]
    return Ended(
        shown["transaction_id"],
        shown["height"],
        receipt["status"],
        receipt["reason"] or "",
        {name: int(value) for name, value in receipt["figures"].items()},
        tuple(
            (one["account"], one["counter_account"], int(one["amount_minor"]), int(one["balance_minor"]))
            for one in receipt["postings"]
        ),
    )


class GrpcDoor:
    """Validators and services, each at its own address."""

    def __init__(self, connection: Connection, submitter: Submitter) -> None:
        self._connection = connection
        self._submitter = submitter

    async def transact(self, signed: Signed, expire_time_ms: int) -> Ended:
        """Streamed to a validator, to the next if that one is gone."""
        (outcome,) = await self._submitter.submit([signed], expire_time_ms)
        if outcome.end is not End.COMMITTED:
            raise Refused(outcome.reason, outcome.message)
        return _ended_of(outcome.height, Receipt.FromString(outcome.receipt))

    async def command(self, signed: SignedCommand) -> dict[str, Any]:
        """To the service that its method names."""
        method = method_of(signed)
        service = method.split("/")[1].rpartition(".")[0]
        response = _message(f"{service}.{method.rpartition('/')[2]}Response")
        request = CommandRequest(command=signed)
        return document(await _answered(lambda: self._connection.call_service(method, request, response)))

    async def countersign(self, decision: bytes, given: Countersignature) -> int:
        """To governance."""
        request = governance.SubmitCountersignatureRequest(
            decision=f"decisions/{decision.hex()}", countersignature=given
        )
        return int((await self._call(request)).countersignatures)

    async def read(self, path: str, request: Message) -> dict[str, Any]:
        """The request alone says what is asked."""
        return document(await self._call(request))

    async def result(self, proposal: bytes) -> bytes:
        """The bytes as they come."""
        request = governance.GetResultRequest(proposal=f"proposals/{proposal.hex()}")
        found: bytes = (await self._call(request)).result
        return found

    async def transaction(self, identifier: bytes) -> Ended:
        """By id."""
        found = await self._call(ledger.GetTransactionRequest(name=f"transactions/{identifier.hex()}"))
        return _ended_of(found.height, found.receipt)

    async def account(self, account: bytes) -> dict[str, int]:
        """Of its leaf."""
        found = await self._call(ledger.GetAccountRequest(name=f"accounts/{account.hex()}"))
        leaf = found.account.leaf
        return {name: getattr(leaf, name) for name in ("balance_minor", "held_minor", "floor_minor")}

    async def entries(self, account: bytes) -> list[tuple[int, int]]:
        """The first page."""
        found = await self._call(ledger.ListEntriesRequest(account=f"accounts/{account.hex()}"))
        return [(one.posting.amount_minor, one.posting.balance_minor) for one in found.entries]

    async def _call(self, request: Message) -> Any:
        name = request.DESCRIPTOR.name.removesuffix("Request")
        package = request.DESCRIPTOR.file.package
        area = package.split(".")[1]
        if area == "ledger":
            return await _answered(lambda: self._connection.read(lambda stub: getattr(stub, name)(request)))
        method = f"/{package}.{area.title()}Service/{name}"
        response = _message(f"{package}.{name}Response")
        return await _answered(lambda: self._connection.call_service(method, request, response))


def _message(full_name: str) -> type[Message]:
    return GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(full_name))


def _ended_of(height: int, receipt: Receipt) -> Ended:
    postings = tuple(
        (one.account.hex(), one.counter_account.hex(), one.amount_minor, one.balance_minor)
        for one in receipt.postings
    )
    status = document(receipt)["status"]
    figures = {one.name: one.value for one in receipt.figures}
    return Ended(receipt.transaction_id.hex(), height, status, receipt.reason, figures, postings)


async def _answered(call: Callable[[], Awaitable[Any]]) -> Any:
    deadline = time.monotonic() + SOON_SECONDS
    while True:
        try:
            return await call()
        except DomainError as error:
            if error.kind.name not in AWAY_KINDS:
                raise Refused(error.reason, error.message) from error
            assert time.monotonic() < deadline, f"no answer: {error}"
        await asyncio.sleep(POLL_SECONDS)


def document(message: Message) -> dict[str, Any]:
    """A message by the table of docs/spec/gateway.md, "Documents"; no code of the gateway."""
    found: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.is_repeated:
            found[field.name] = [_value(field, one) for one in value]
        elif field.has_presence and not message.HasField(field.name):
            if field.containing_oneof is None or len(field.containing_oneof.fields) == 1:
                found[field.name] = None
        else:
            found[field.name] = _value(field, value)
    return found


def _value(field: Any, value: Any) -> Any:
    if field.message_type is not None:
        return document(value)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return value.hex()
    if field.enum_type is not None:
        prefix = re.sub("(?<!^)(?=[A-Z])", "_", field.enum_type.name).upper() + "_"
        return field.enum_type.values_by_number[value].name.removeprefix(prefix).lower()
    is_long = field.cpp_type in (FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64)
    is_small = field.name.split("_")[-1] in ("height", "epoch", "ms")
    return str(value) if is_long and not is_small else value
