"""What goes into a contract and what is read out of its answers."""

from __future__ import annotations

import base64
import json

import pytest
from icn_wasm.messages import Attribute, Caller, Coin, Environment, Event, read_query_answer, read_response
from icn_wasm.refusals import Stopped, StopReason

HERE = "contracts/00"
FULL = {
    "messages": [
        {
            "id": 0,
            "msg": {"bank": {"burn": {"amount": []}}},
            "gas_limit": None,
            "reply_on": "never",
            "payload": "",
        }
    ],
    "attributes": [{"key": " action ", "value": "pay"}],
    "events": [{"type": "paid", "attributes": [{"key": "to", "value": ""}]}],
    "data": "AAE=",
}


def ok(**changed: object) -> bytes:
    return json.dumps({"ok": {**FULL, **changed}}).encode()


def reason(result: bytes) -> StopReason:
    with pytest.raises(Stopped) as stopped:
        read_response(result, HERE)
    return stopped.value.reason


def test_the_input_is_written_as_contracts_read_it() -> None:
    assert Environment("icn", 7, 5, HERE, 2).encode() == (
        b'{"block":{"height":7,"time":"5","chain_id":"icn"},"transaction":{"index":2},'
        b'"contract":{"address":"contracts/00"}}'
    )
    assert b'"transaction":null' in Environment("icn", 7, 5, HERE).encode()
    assert Caller("anna", (Coin("hours", 2**100),)).encode() == (
        b'{"sender":"anna","funds":[{"denom":"hours","amount":"1267650600228229401496703205376"}]}'
    )


def test_a_full_response_is_read() -> None:
    response = read_response(ok(), HERE)
    own = Attribute("_contract_address", HERE)
    assert response.data == b"\0\1"
    assert response.messages == ({"bank": {"burn": {"amount": []}}},)
    assert response.events == (
        Event("wasm", (own, Attribute("action", "pay"))),
        Event("wasm-paid", (own, Attribute("to", ""))),
    )


def test_an_empty_response_is_read() -> None:
    response = read_response(b'{"ok":{}}', HERE)
    assert (response.data, response.events, response.messages) == (None, (), ())


@pytest.mark.parametrize(
    "result",
    [
        b"",
        b"7",
        b"{}",
        b'{"ok":{},"error":"x"}',
        b'{"ok":7}',
        b'{"error":7}',
        b'{"Ok":{}}',
        ok(other=1),
        ok(data="AAE"),
        ok(data="AAF="),
        ok(data=7),
        ok(attributes={}),
        ok(attributes=[{"key": "a"}]),
        ok(attributes=[{"key": "a", "value": 1}]),
        ok(attributes=[{"key": " ", "value": ""}]),
        ok(attributes=[{"key": "_a", "value": ""}]),
        ok(attributes=[{"key": "a", "value": ""}] * 65),
        ok(events=[{"type": "p", "attributes": []}]),
        ok(events=["paid"]),
        ok(messages=[{"id": 0, "msg": {}}]),
        ok(messages=[{"id": 0, "msg": {"a": 1, "b": 2}}]),
        ok(messages=[{"id": 0, "msg": {"a": 1}, "else": 1}]),
        ok(messages=[{"msg": {"a": 1}}] * 65),
    ],
)
def test_an_answer_in_another_form_is_invalid(result: bytes) -> None:
    assert reason(result) == StopReason.RESULT_INVALID


@pytest.mark.parametrize("asked", [{"reply_on": "always"}, {"gas_limit": 5}, {"payload": "AA=="}])
def test_replies_are_said_to_be_unsupported(asked: dict[str, object]) -> None:
    assert reason(ok(messages=[{"id": 1, "msg": {"a": 1}, **asked}])) == StopReason.REPLY_UNSUPPORTED


def test_an_error_of_the_contract_is_cut_where_it_is_long() -> None:
    with pytest.raises(Stopped) as stopped:
        read_response(json.dumps({"error": "x" * 5_000}).encode(), HERE)
    assert stopped.value.reason == StopReason.CONTRACT_ERROR
    assert stopped.value.message == "x" * 2_048


def test_a_querys_answer_is_json_in_base64() -> None:
    answered = json.dumps({"ok": base64.b64encode(b'{"a":"1"}').decode()}).encode()
    assert read_query_answer(answered).data == b'{"a":"1"}'
    for wrong in (b'{"ok":null}', b'{"ok":{}}', b'{"ok":"AAE="}', b'{"ok":"MS41"}'):
        with pytest.raises(Stopped) as stopped:
            read_query_answer(wrong)
        assert stopped.value.reason == StopReason.RESULT_INVALID
