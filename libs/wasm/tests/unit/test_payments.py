"""What a contract may ask of the ledger: bank.send, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from icn_wasm.payments import MessageRefused, Payment, read_payments

TO, UNIT = "a1" * 16, "d4" * 16


def send(to: Any = TO, *coins: Any, **more: Any) -> dict[str, Any]:
    return {"bank": {"send": {"to_address": to, "amount": list(coins) or [coin()], **more}}}


def coin(amount: Any = "7", unit: Any = UNIT, **more: Any) -> dict[str, Any]:
    return {"denom": unit, "amount": amount, **more}


def test_every_coin_is_a_payment_in_order() -> None:
    other = "e5" * 16
    read = read_payments([send(TO, coin(), coin("8", other)), send("b2" * 16)])
    assert read == (Payment(TO, UNIT, 7), Payment(TO, other, 8), Payment("b2" * 16, UNIT, 7))
    assert read_payments([send(TO, coin(str(2**62)))])[0].amount_minor == 2**62
    assert len(read_payments([send()] * 16)) == 16


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([{"bank": {"burn": {"amount": []}}}], "MESSAGE_UNSUPPORTED"),
        ([{"wasm": {"execute": {}}}], "MESSAGE_UNSUPPORTED"),
        ([{"bank": 7}], "MESSAGE_UNSUPPORTED"),
        ([send(memo="x")], "MESSAGE_UNSUPPORTED"),
        ([send("anna")], "PAYMENT_INVALID"),
        ([send(TO.upper())], "PAYMENT_INVALID"),
        ([send(7)], "PAYMENT_INVALID"),
        ([send(TO, coin("7", "hours"))], "PAYMENT_INVALID"),
        ([send(TO, coin("0"))], "PAYMENT_INVALID"),
        ([send(TO, coin("07"))], "PAYMENT_INVALID"),
        ([send(TO, coin("-7"))], "PAYMENT_INVALID"),
        ([send(TO, coin("٧"))], "PAYMENT_INVALID"),
        ([send(TO, coin(7))], "PAYMENT_INVALID"),
        ([send(TO, coin(str(2**62 + 1)))], "PAYMENT_INVALID"),
        ([send(TO, coin(more="x"))], "PAYMENT_INVALID"),
        ([send(TO, 7)], "PAYMENT_INVALID"),
        ([send()] * 17, "PAYMENT_INVALID"),
        ([send(), {"wasm": {}}], "MESSAGE_UNSUPPORTED"),
    ],
)
def test_another_message_stops_the_call(messages: list[dict[str, Any]], reason: str) -> None:
    with pytest.raises(MessageRefused) as refusal:
        read_payments(messages)
    assert refusal.value.reason == reason
