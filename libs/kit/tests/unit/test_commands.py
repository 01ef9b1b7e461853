"""Commands: who signed, for what, until when. Source: docs/spec/command.md."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn.kit.v1.command_pb2 import CommandBody, CommandSignature, SignedCommand
from icn.ledger.v1.service_pb2 import GetAccountRequest
from icn_crypto.suites import SigningKey, Suite, key_id
from icn_kit.commands import (
    AHEAD_MS_MAX,
    COMMAND_LIFETIME_MS_MAX,
    CommandVerifier,
    DirectoryKey,
    PrincipalKeys,
    command_id,
    command_preimage,
)
from icn_kit.errors import DomainError, Unauthenticated

GENESIS = bytes(range(32))
NOW_MS = 1_800_000_000_000
METHOD = "/icn.example.v1.ExampleService/DoIt"
ANA = b"a" * 16


class Clock:
    def now_ms(self) -> int:
        return NOW_MS


class Directory:
    """What is remembered, and what the ledger would say if asked again."""

    def __init__(self, known: PrincipalKeys, newest: PrincipalKeys | None = None) -> None:
        self.known, self.newest = known, newest or known
        self.asked: list[bool] = []

    async def keys_of(self, principal: bytes, *, is_newest: bool = False) -> PrincipalKeys:
        self.asked.append(is_newest)
        if principal != self.known.principal:
            raise Unauthenticated("CONTROLLER_UNKNOWN", "no such controller")
        return self.newest if is_newest else self.known


class Signer:
    def __init__(self, number: int, suites: tuple[Suite, ...] = (Suite.ED25519,)) -> None:
        self.keys = {suite: SigningKey.from_seed(suite, bytes([number]) * 32) for suite in suites}
        self.id = key_id({suite: key.public_key for suite, key in self.keys.items()})

    def entry(self, is_scoped: bool = False) -> DirectoryKey:
        return DirectoryKey({int(suite): key.public_key for suite, key in self.keys.items()}, is_scoped)

    def sign(self, body: bytes, genesis: bytes = GENESIS, suite: Suite = Suite.ED25519) -> CommandSignature:
        return CommandSignature(
            suite=suite, key_id=self.id, signature=self.keys[suite].sign(command_preimage(genesis, body))
        )


SIGNERS = sorted((Signer(number) for number in range(1, 4)), key=lambda signer: signer.id)


def keys(*signers: Signer, threshold: int = 1, is_scoped: bool = False) -> PrincipalKeys:
    return PrincipalKeys(ANA, threshold, {signer.id: signer.entry(is_scoped) for signer in signers}, b"")


def body_bytes(**changes: Any) -> bytes:
    fields: dict[str, Any] = {
        "method": METHOD,
        "principal": ANA,
        "issue_time_ms": NOW_MS,
        "expire_time_ms": NOW_MS + 60_000,
        "nonce": b"n" * 16,
        "request": GetAccountRequest(name="accounts/1").SerializeToString(),
        **changes,
    }
    return CommandBody(**fields).SerializeToString(deterministic=True)


async def read(directory: Directory, body: bytes, *signatures: CommandSignature) -> Any:
    verifier = CommandVerifier(GENESIS, directory, Clock())
    return await verifier.read(SignedCommand(body=body, signatures=signatures), METHOD, GetAccountRequest)


async def reason(directory: Directory, body: bytes, *signatures: CommandSignature) -> str:
    with pytest.raises(DomainError) as refusal:
        await read(directory, body, *signatures)
    return refusal.value.reason


async def test_a_signed_command_is_read_with_its_bytes_and_its_id() -> None:
    body = body_bytes()
    signature = SIGNERS[0].sign(body)
    command = await read(Directory(keys(SIGNERS[0])), body, signature)
    assert command.request == GetAccountRequest(name="accounts/1")
    assert (command.principal, command.method, command.issue_time_ms) == (ANA, METHOD, NOW_MS)
    assert command.body == body
    assert SignedCommand.FromString(command.signatures).signatures == [signature]
    assert command.id == command_id(GENESIS, body)


async def test_the_id_does_not_depend_on_who_signed() -> None:
    body = body_bytes()
    directory = Directory(keys(*SIGNERS))
    ids = {(await read(directory, body, signer.sign(body))).id for signer in SIGNERS}
    assert len(ids) == 1


async def test_either_suite_of_a_key_signs_for_it() -> None:
    signer = Signer(9, (Suite.ED25519, Suite.ML_DSA_65))
    body = body_bytes()
    for suite in Suite:
        command = await read(Directory(keys(signer)), body, signer.sign(body, suite=suite))
        assert command.id == command_id(GENESIS, body)


async def test_the_threshold_counts_signatures_exactly() -> None:
    body = body_bytes()
    directory = Directory(keys(*SIGNERS, threshold=2))
    signatures = [signer.sign(body) for signer in SIGNERS]
    assert await reason(directory, body, signatures[0]) == "THRESHOLD_NOT_MET"
    await read(directory, body, *signatures[:2])
    await read(directory, body, *signatures)


async def test_one_bad_signature_is_not_made_good_by_enough_others() -> None:
    body = body_bytes()
    bad = SIGNERS[1].sign(body_bytes(nonce=b"m" * 16))
    assert (
        await reason(Directory(keys(*SIGNERS)), body, SIGNERS[0].sign(body), bad)
        == "COMMAND_SIGNATURE_INVALID"
    )


async def test_a_key_twice_is_one_key() -> None:
    body = body_bytes()
    signature = SIGNERS[0].sign(body)
    directory = Directory(keys(*SIGNERS, threshold=2))
    assert await reason(directory, body, signature, signature) == "COMMAND_MALFORMED"


async def test_a_signature_for_another_zone_is_noise() -> None:
    body = body_bytes()
    signature = SIGNERS[0].sign(body, genesis=bytes(32))
    assert await reason(Directory(keys(SIGNERS[0])), body, signature) == "COMMAND_SIGNATURE_INVALID"


async def test_a_strange_key_a_scoped_key_and_a_strange_principal_are_refused() -> None:
    body = body_bytes()
    signature = SIGNERS[0].sign(body)
    assert await reason(Directory(keys(SIGNERS[1])), body, signature) == "KEY_UNKNOWN"
    assert await reason(Directory(keys(SIGNERS[0], is_scoped=True)), body, signature) == "KEY_SCOPED"
    strange = replace(keys(SIGNERS[0]), principal=b"b" * 16)
    assert await reason(Directory(strange), body, signature) == "CONTROLLER_UNKNOWN"


async def test_a_key_that_was_just_added_counts_and_the_ledger_is_asked_once_more_only() -> None:
    body = body_bytes()
    signature = SIGNERS[0].sign(body)
    directory = Directory(keys(SIGNERS[1]), newest=keys(SIGNERS[0]))
    await read(directory, body, signature)
    assert directory.asked == [False, True]
    directory = Directory(keys(SIGNERS[0]))
    await read(directory, body, signature)
    assert directory.asked == [False]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"method": "/icn.example.v1.ExampleService/Undo"}, "METHOD_MISMATCH"),
        ({"principal": b"a" * 15}, "COMMAND_MALFORMED"),
        ({"nonce": b""}, "COMMAND_MALFORMED"),
        ({"expire_time_ms": NOW_MS}, "COMMAND_MALFORMED"),
        ({"expire_time_ms": NOW_MS + COMMAND_LIFETIME_MS_MAX + 1}, "COMMAND_MALFORMED"),
        ({"expire_time_ms": NOW_MS + COMMAND_LIFETIME_MS_MAX}, None),
        ({"issue_time_ms": NOW_MS - 10, "expire_time_ms": NOW_MS - 1}, "COMMAND_EXPIRED"),
        ({"issue_time_ms": NOW_MS - 10, "expire_time_ms": NOW_MS}, None),
        (
            {"issue_time_ms": NOW_MS + AHEAD_MS_MAX + 1, "expire_time_ms": NOW_MS + AHEAD_MS_MAX + 2},
            "COMMAND_FROM_FUTURE",
        ),
        ({"issue_time_ms": NOW_MS + AHEAD_MS_MAX, "expire_time_ms": NOW_MS + AHEAD_MS_MAX + 1}, None),
        ({"request": b"\xff"}, "COMMAND_MALFORMED"),
        ({"request": b"\x0a\x01a\x10\x01"}, "COMMAND_MALFORMED"),
    ],
)
async def test_the_body_is_held_to_its_exact_borders(changes: Any, expected: str | None) -> None:
    body = body_bytes(**changes)
    directory = Directory(keys(SIGNERS[0]))
    if expected is None:
        await read(directory, body, SIGNERS[0].sign(body))
    else:
        assert await reason(directory, body, SIGNERS[0].sign(body)) == expected
        assert directory.asked == []


async def test_without_signatures_or_with_seventeen_it_is_malformed() -> None:
    body = body_bytes()
    signers = sorted((Signer(number) for number in range(1, 18)), key=lambda signer: signer.id)
    directory = Directory(keys(*signers))
    assert await reason(directory, body) == "COMMAND_MALFORMED"
    signatures = [signer.sign(body) for signer in signers]
    assert await reason(directory, body, *signatures) == "COMMAND_MALFORMED"
    await read(directory, body, *signatures[:16])


@given(st.binary(max_size=200), st.binary(max_size=70), st.integers(0, 3))
async def test_any_bytes_are_refused_and_nothing_else(body: bytes, signature: bytes, suite: int) -> None:
    with pytest.raises(DomainError):
        await read(
            Directory(keys(SIGNERS[0])),
            body,
            CommandSignature(suite=suite, key_id=SIGNERS[0].id, signature=signature),
        )
