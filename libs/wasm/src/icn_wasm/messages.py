"""What goes into a contract and what comes out of it, as CosmWasm's JSON.

Source: docs/spec/vm.md, "Input" and "Answers"; cosmwasm-std 2: Env, MessageInfo, Response, ContractResult.
"""

import base64
import binascii
from dataclasses import dataclass
from typing import Any, Final

from icn_wasm import limits
from icn_wasm.json_text import NotContractJson, encode, parse
from icn_wasm.refusals import Stopped, StopReason

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Coin:
    """An amount of a unit, in its smallest division."""

    denomination: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Environment:
    """Where and when a call happens."""

    chain_id: str
    height: int
    time_nanoseconds: int
    """Block time, since 1970."""
    contract: str
    transaction_index: int | None = None

    def encode(self) -> bytes:
        """As a contract reads it."""
        return encode(
            {
                "block": {
                    "height": self.height,
                    "time": str(self.time_nanoseconds),
                    "chain_id": self.chain_id,
                },
                "transaction": None if self.transaction_index is None else {"index": self.transaction_index},
                "contract": {"address": self.contract},
            }
        )


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and what comes along."""

    sender: str
    funds: tuple[Coin, ...] = ()

    def encode(self) -> bytes:
        """As a contract reads it."""
        funds = [{"denom": coin.denomination, "amount": str(coin.amount_minor)} for coin in self.funds]
        return encode({"sender": self.sender, "funds": funds})


@dataclass(frozen=True, slots=True)
class Attribute:
    """A name and a value of an event."""

    key: str
    value: str


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, for those who listen."""

    type: str
    attributes: tuple[Attribute, ...]


@dataclass(frozen=True, slots=True)
class Response:
    """What a call that went well leaves besides its writes."""

    data: bytes | None
    """A query's answer is here too."""
    events: tuple[Event, ...] = ()
    messages: tuple[JsonObject, ...] = ()
    """Messages for the ledger, in order, applied all or nothing."""


_CONTRACT_ATTRIBUTE: Final = "_contract_address"
_SUB_MESSAGE_MEMBERS: Final = frozenset({"id", "msg", "gas_limit", "reply_on", "payload"})


def check_message(message: bytes) -> None:
    """Raises Stopped where the message is too long or not JSON."""
    if len(message) > limits.MESSAGE_BYTES_MAX:
        raise Stopped(StopReason.MESSAGE_INVALID, f"{len(message)} bytes, at most {limits.MESSAGE_BYTES_MAX}")
    try:
        parse(message)
    except NotContractJson as error:
        raise Stopped(StopReason.MESSAGE_INVALID, str(error)) from None


def read_response(result: bytes, contract: str) -> Response:
    """The answer to instantiate and execute. Raises Stopped: CONTRACT_ERROR where the contract refused."""
    answer = _ok(result)
    if not isinstance(answer, dict) or not set(answer) <= {"messages", "attributes", "events", "data"}:
        raise _invalid("ok is not a response")
    events = []
    own = _attributes(answer.get("attributes", []), contract)
    if len(own) > 1:
        events.append(Event("wasm", own))
    for event in _list(answer.get("events", []), limits.EVENTS_MAX, "events"):
        kind = event.get("type") if isinstance(event, dict) else None
        if not isinstance(kind, str) or not 2 <= len(kind.strip()) <= limits.NAME_BYTES_MAX:
            raise _invalid("an event has no type of 2 to 256 characters")
        events.append(Event(f"wasm-{kind.strip()}", _attributes(event.get("attributes", []), contract)))
    messages = _list(answer.get("messages", []), limits.MESSAGES_MAX, "messages")
    return Response(
        data=_binary(answer.get("data")),
        events=tuple(events),
        messages=tuple(_sub_message(message) for message in messages),
    )


def read_query_answer(result: bytes) -> Response:
    """The answer to a query, which is JSON in base64. Raises Stopped."""
    content = _binary(_ok(result))
    if content is None:
        raise _invalid("ok is not a string in base64")
    try:
        parse(content)
    except NotContractJson as error:
        raise _invalid(f"the answer: {error}") from None
    return Response(data=content)


def _ok(result: bytes) -> Any:
    try:
        value = parse(result)
    except NotContractJson as error:
        raise _invalid(str(error)) from None
    if not isinstance(value, dict) or len(value) != 1 or not set(value) <= {"ok", "error"}:
        raise _invalid("neither ok nor error")
    if "error" in value:
        if not isinstance(value["error"], str):
            raise _invalid("error is not a string")
        raise Stopped(StopReason.CONTRACT_ERROR, value["error"][: limits.TEXT_BYTES_MAX])
    return value["ok"]


def _attributes(value: Any, contract: str) -> tuple[Attribute, ...]:
    found = [Attribute(_CONTRACT_ATTRIBUTE, contract)]
    for attribute in _list(value, limits.ATTRIBUTES_MAX, "attributes"):
        if not isinstance(attribute, dict) or set(attribute) != {"key", "value"}:
            raise _invalid("an attribute is not a key and a value")
        key, text = attribute["key"], attribute["value"]
        if not isinstance(key, str) or not isinstance(text, str):
            raise _invalid("an attribute is not of strings")
        if not key.strip() or key.strip().startswith("_"):
            raise _invalid("an attribute's key is empty or begins with _")
        found.append(Attribute(key.strip(), text.strip()))
    return tuple(found)


def _sub_message(value: Any) -> JsonObject:
    if not isinstance(value, dict) or not set(value) <= _SUB_MESSAGE_MEMBERS:
        raise _invalid("a message has other members")
    if value.get("reply_on", "never") != "never":
        raise Stopped(StopReason.REPLY_UNSUPPORTED, "a message asks for a reply")
    if value.get("gas_limit") is not None or value.get("payload", "") != "":
        raise Stopped(StopReason.REPLY_UNSUPPORTED, "a message has a gas limit or payload of its own")
    message = value.get("msg")
    if not isinstance(message, dict) or len(message) != 1:
        raise _invalid("a message is not an object with one member")
    return message


def _list(value: Any, most: int, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise _invalid(f"{what}: not an array")
    if len(value) > most:
        raise _invalid(f"{len(value)} {what}, at most {most}")
    return value


def _binary(value: Any) -> bytes | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise _invalid("data is not a string in base64")
    try:
        content = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise _invalid("data is not base64") from None
    if base64.b64encode(content).decode() != value:
        raise _invalid("data is not base64 in its one form")
    return content


def _invalid(message: str) -> Stopped:
    return Stopped(StopReason.RESULT_INVALID, message)
