"""Commands as a device signs them are commands as a service reads them."""

from __future__ import annotations

import time

import pytest
from icn.kit.v1.command_pb2 import CommandRequest, SignedCommand
from icn.ledger.v1.service_pb2 import GetAccountRequest
from icn_client.commands import command_id, method_of, service_of, sign_command
from icn_client.transactions import KeyPair
from icn_crypto.suites import Suite
from icn_kit.clock import SystemClock
from icn_kit.commands import CommandVerifier, DirectoryKey, PrincipalKeys
from icn_kit.errors import DomainError

GENESIS = bytes(range(32))
METHOD = "/icn.marketplace.v1.MarketplaceService/AcceptOffer"
ANA = b"a" * 16


class Directory:
    def __init__(self, keys: list[KeyPair], threshold: int) -> None:
        self.known = PrincipalKeys(
            ANA,
            threshold,
            {
                key.key_id: DirectoryKey({int(s): public for s, public in key.public_keys.items()}, False)
                for key in keys
            },
            b"",
        )

    async def keys_of(self, _principal: bytes, *, is_newest: bool = False) -> PrincipalKeys:
        return self.known


async def test_what_a_threshold_signs_the_service_takes_and_knows_again() -> None:
    keys = [KeyPair.generate((Suite.ED25519, Suite.ML_DSA_65)), KeyPair.generate(), KeyPair.generate()]
    request = GetAccountRequest(name="accounts/1")
    signed = sign_command(GENESIS, keys[:2], ANA, METHOD, request)
    carried = CommandRequest.FromString(CommandRequest(command=signed).SerializeToString()).command
    verifier = CommandVerifier(GENESIS, Directory(keys, threshold=2), SystemClock())
    command = await verifier.read(carried, METHOD, GetAccountRequest)
    assert command.request == request
    assert command.id == command_id(GENESIS, signed)
    assert command.issue_time_ms == pytest.approx(time.time() * 1000, abs=60_000)


async def test_the_same_wish_twice_is_two_commands() -> None:
    key = KeyPair.generate()
    request = GetAccountRequest(name="accounts/1")
    signed = [sign_command(GENESIS, [key], ANA, METHOD, request, issue_time_ms=1) for _ in range(2)]
    assert command_id(GENESIS, signed[0]) != command_id(GENESIS, signed[1])


async def test_a_carrier_can_change_nothing() -> None:
    key = KeyPair.generate()
    signed = sign_command(GENESIS, [key], ANA, METHOD, GetAccountRequest(name="accounts/1"))
    changed = SignedCommand(
        body=signed.body.replace(b"accounts/1", b"accounts/2"), signatures=signed.signatures
    )
    verifier = CommandVerifier(GENESIS, Directory([key], threshold=1), SystemClock())
    with pytest.raises(DomainError) as refusal:
        await verifier.read(changed, METHOD, GetAccountRequest)
    assert refusal.value.reason == "COMMAND_SIGNATURE_INVALID"


def test_the_method_names_the_service() -> None:
    signed = sign_command(GENESIS, [KeyPair.generate()], ANA, METHOD, GetAccountRequest())
    assert method_of(signed) == METHOD
    assert service_of(METHOD) == "marketplace"
