"""Keys are remembered for seconds, and asked for again when somebody doubts them."""

from __future__ import annotations

import asyncio

import pytest
from icn.ledger.v1.service_pb2 import GetControllerResponse
from icn.ledger.v1.state_pb2 import ControllerLeaf
from icn.ledger.v1.transaction_pb2 import ControllerKey, KeyScope, PublicKey
from icn_crypto.suites import SigningKey, Suite, key_id
from icn_kit import key_directory
from icn_kit.errors import NotFound, Unauthenticated, Unavailable
from icn_kit.key_directory import NEWEST_SECONDS, REMEMBERED_SECONDS_MAX, LedgerKeyDirectory

ANA, BEN = b"a" * 16, b"b" * 16
KEY = SigningKey.from_seed(Suite.ED25519, b"1" * 32)


class Ledger:
    def __init__(self) -> None:
        self.calls: list[str] = []
        self.threshold = 1
        self.refusal: Exception | None = None

    async def get_controller(self, name: str) -> GetControllerResponse:
        self.calls.append(name)
        await asyncio.sleep(0)
        if self.refusal is not None:
            raise self.refusal
        entry = PublicKey(suite=1, public_key=KEY.public_key)
        leaf = ControllerLeaf(
            principal=bytes.fromhex(name.removeprefix("principals/")),
            threshold=self.threshold,
            keys=[ControllerKey(public_keys=[entry]), ControllerKey(public_keys=[entry], scope=KeyScope())][
                :1
            ],
            sponsor=BEN,
        )
        return GetControllerResponse(controller=leaf)


class Time:
    now = 100.0

    def __call__(self) -> float:
        return self.now


async def test_keys_are_those_of_the_leaf() -> None:
    ledger = Ledger()
    keys = await LedgerKeyDirectory(ledger).keys_of(ANA)
    assert (keys.principal, keys.threshold, keys.sponsor) == (ANA, 1, BEN)
    assert list(keys.keys) == [key_id({Suite.ED25519: KEY.public_key})]
    (key,) = keys.keys.values()
    assert (key.public_keys, key.is_scoped) == ({1: KEY.public_key}, False)
    assert ledger.calls == [f"principals/{ANA.hex()}"]


async def test_they_are_remembered_for_two_seconds_and_not_longer() -> None:
    ledger, time = Ledger(), Time()
    directory = LedgerKeyDirectory(ledger, time)
    await directory.keys_of(ANA)
    ledger.threshold = 2
    time.now += REMEMBERED_SECONDS_MAX - 0.001
    assert (await directory.keys_of(ANA)).threshold == 1
    time.now += 0.001
    assert (await directory.keys_of(ANA)).threshold == 2


async def test_who_asks_for_the_newest_makes_the_ledger_answer_four_times_a_second_at_most() -> None:
    ledger, time = Ledger(), Time()
    directory = LedgerKeyDirectory(ledger, time)
    for _ in range(10):
        await directory.keys_of(ANA, is_newest=True)
    assert len(ledger.calls) == 1
    time.now += NEWEST_SECONDS
    await directory.keys_of(ANA, is_newest=True)
    assert len(ledger.calls) == 2


async def test_many_who_ask_at_once_are_one_question() -> None:
    ledger = Ledger()
    directory = LedgerKeyDirectory(ledger)
    await asyncio.gather(*(directory.keys_of(ANA) for _ in range(50)))
    assert len(ledger.calls) == 1


async def test_an_event_makes_it_forget() -> None:
    ledger = Ledger()
    directory = LedgerKeyDirectory(ledger)
    await directory.keys_of(ANA)
    directory.forget(ANA)
    directory.forget(BEN)
    await directory.keys_of(ANA)
    assert len(ledger.calls) == 2


async def test_an_unknown_principal_is_asked_for_again_since_it_may_just_have_been_opened() -> None:
    ledger = Ledger()
    directory = LedgerKeyDirectory(ledger)
    ledger.refusal = NotFound("CONTROLLER_UNKNOWN", "no such controller")
    with pytest.raises(Unauthenticated) as refusal:
        await directory.keys_of(ANA)
    assert refusal.value.reason == "CONTROLLER_UNKNOWN"
    ledger.refusal = None
    assert (await directory.keys_of(ANA)).principal == ANA


async def test_an_outage_is_not_an_answer_and_not_remembered() -> None:
    ledger = Ledger()
    directory = LedgerKeyDirectory(ledger)
    ledger.refusal = Unavailable("NO_VALIDATOR_REACHABLE", "nobody")
    with pytest.raises(Unavailable):
        await directory.keys_of(ANA)
    ledger.refusal = None
    assert (await directory.keys_of(ANA)).principal == ANA


async def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_directory, "PRINCIPALS_MAX", 3)
    ledger = Ledger()
    directory = LedgerKeyDirectory(ledger)
    principals = [bytes([number]) * 16 for number in range(4)]
    for principal in principals:
        await directory.keys_of(principal)
    await directory.keys_of(principals[3])
    assert len(ledger.calls) == 4
    await directory.keys_of(principals[0])
    assert len(ledger.calls) == 5
