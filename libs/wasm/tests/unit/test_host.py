"""What the host answers: signatures, addresses, questions to the ledger."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from icn_crypto.suites import SigningKey, Suite
from icn_wasm import limits
from icn_wasm.addresses import address_fault, contract_address
from icn_wasm.assembly import assemble
from icn_wasm.host import _parts, _sections
from icn_wasm.refusals import StopReason

IMPORTS = """
(import "env" "ed25519_verify" (func $ed25519 (param i32 i32 i32) (result i32)))
(import "env" "ed25519_batch_verify" (func $batch (param i32 i32 i32) (result i32)))
(import "env" "secp256k1_verify" (func $secp256k1 (param i32 i32 i32) (result i32)))
(import "env" "secp256k1_recover_pubkey" (func $recover (param i32 i32 i32) (result i64)))
(import "env" "addr_validate" (func $validate (param i32) (result i32)))
(import "env" "addr_canonicalize" (func $canonicalize (param i32 i32) (result i32)))
(import "env" "query_chain" (func $chain (param i32) (result i32)))
"""
READ = """
(func $input (param $start i32) (param $size i32) (result i32)
  (call $key_begin (local.get $start) (local.get $size))
  (call $db_read (call $key_region)))
(func $stated (param $text i32)
  (call $key_begin 'out')
  (call $db_write (call $key_region) (local.get $text)))
"""
EXECUTE = '(func (export "execute") (param i32 i32 i32) (result i32) {} (call $done))'
START = '(func (export "instantiate") (param i32 i32 i32) (result i32) (call $done))'


def asked(deploy: Any, call: str, balances: dict[tuple[str, str], int] | None = None, **inputs: bytes) -> Any:
    """Execute with these inputs under their names; the outcome."""
    deployed = deploy(assemble(READ + EXECUTE.format(call) + START, imports=IMPORTS))
    deployed.balances = balances
    deployed.storage.update({name.encode(): content for name, content in inputs.items()})
    outcomes = [deployed.execute(gas_limit=limits.GAS_MAX) for _ in range(2)]
    assert outcomes[0].gas_used == outcomes[1].gas_used
    return outcomes[0]


def code(deploy: Any, name: str, **inputs: bytes) -> int:
    """The number that a verification answers."""
    parts = " ".join(f"(call $input '{part}')" for part in ("a", "b", "c"))
    call = f"""(local $code i32) (local.set $code (call ${name} {parts}))
      (call $key_begin 'out') (call $save (i64.extend_i32_u (local.get $code)))"""
    outcome = asked(deploy, call, **inputs)
    return int.from_bytes(outcome.writes[0].value, "little")


KEY = SigningKey.from_seed(Suite.ED25519, bytes(32))


def test_ed25519_is_verified(deploy: Any) -> None:
    signature = KEY.sign(b"hello")
    assert code(deploy, "ed25519", a=b"hello", b=signature, c=KEY.public_key) == 0
    assert code(deploy, "ed25519", a=b"hullo", b=signature, c=KEY.public_key) == 1
    assert code(deploy, "ed25519", a=b"hello", b=signature[:63], c=KEY.public_key) == 4
    assert code(deploy, "ed25519", a=b"hello", b=signature, c=KEY.public_key[:31]) == 5


def test_ed25519_is_verified_in_batches(deploy: Any) -> None:
    one, two = KEY.sign(b"one"), KEY.sign(b"two")
    key = KEY.public_key
    assert code(deploy, "batch", a=_sections(b"one", b"two"), b=_sections(one, two), c=_sections(key)) == 0
    assert code(deploy, "batch", a=_sections(b"one"), b=_sections(one, one), c=_sections(key, key)) == 0
    assert code(deploy, "batch", a=_sections(b"one", b"two"), b=_sections(two, one), c=_sections(key)) == 1
    assert (
        code(deploy, "batch", a=_sections(b"one", b"two", b"x"), b=_sections(one, two), c=_sections(key)) == 7
    )
    assert code(deploy, "batch", a=b"one", b=_sections(one), c=_sections(key)) == 7


def test_parts_are_taken_apart_as_they_were_put_together() -> None:
    assert _parts(b"", 9) == []
    assert _parts(_sections(b"", b"a", b"bc"), 3) == [b"", b"a", b"bc"]
    assert _parts(_sections(b"", b"a", b"bc"), 2) is None
    assert _parts(b"abc", 3) is None
    assert _parts(b"a\0\0\0\2", 3) is None


def signed(message: bytes) -> tuple[bytes, bytes, bytes]:
    key = ec.derive_private_key(7, ec.SECP256K1())
    digest = hashlib.sha256(message).digest()
    r, s = decode_dss_signature(key.sign(digest, ec.ECDSA(Prehashed(SHA256()))))
    public = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return digest, r.to_bytes(32, "big") + s.to_bytes(32, "big"), public


def test_secp256k1_is_verified(deploy: Any) -> None:
    digest, signature, key = signed(b"hello")
    assert code(deploy, "secp256k1", a=digest, b=signature, c=key) == 0
    assert code(deploy, "secp256k1", a=hashlib.sha256(b"").digest(), b=signature, c=key) == 1
    assert code(deploy, "secp256k1", a=digest[:31], b=signature, c=key) == 3
    assert code(deploy, "secp256k1", a=digest, b=bytes([1]) + bytes(63), c=key) == 4
    assert code(deploy, "secp256k1", a=digest, b=signature, c=b"\6" + key[1:]) == 5
    assert code(deploy, "secp256k1", a=digest, b=signature, c=b"\4" + bytes(63) + b"\1") == 10


@pytest.mark.parametrize("parameter", [0, 1])
def test_a_secp256k1_key_is_recovered(parameter: int, deploy: Any) -> None:
    digest, signature, key = signed(b"hello")
    call = f"""(local $found i64)
      (local.set $found (call $recover (call $input 'a') (call $input 'b') (i32.const {parameter})))
      (call $stated (i32.wrap_i64 (local.get $found)))"""
    found = asked(deploy, call, a=digest, b=signature).writes[0].value
    assert len(found) == 65
    other = asked(
        deploy,
        call.replace(f"(i32.const {parameter})", f"(i32.const {1 - parameter})"),
        a=digest,
        b=signature,
    )
    assert key in (found, other.writes[0].value)


def test_a_wrong_recovery_parameter_is_a_number(deploy: Any) -> None:
    digest, signature, _ = signed(b"hello")
    call = """(local $found i64)
      (local.set $found (call $recover (call $input 'a') (call $input 'b') (i32.const 2)))
      (call $key_begin 'out') (call $save (local.get $found))"""
    outcome = asked(deploy, call, a=digest, b=signature)
    assert int.from_bytes(outcome.writes[0].value, "little") == 6 << 32


def test_addresses_are_checked_and_their_own_canonical_form(deploy: Any) -> None:
    call = """(local $to i32) (local.set $to (call $allocate (i32.const 64)))
      (if (call $validate (call $input 'a')) (then (unreachable)))
      (if (call $canonicalize (call $input 'a') (local.get $to)) (then (unreachable)))
      (call $stated (local.get $to))"""
    assert asked(deploy, call, a=b"accounts/7f3a").writes[0].value == b"accounts/7f3a"
    assert (
        asked(deploy, "(call $stated (call $validate (call $input 'a')))", a=b"Anna")
        .writes[0]
        .value.startswith(b"an address is")
    )


@pytest.mark.parametrize("text", [b"a", b"a" * 64, b"contracts/00", b"a.b_c-d"])
def test_an_address_in_form_has_no_fault(text: bytes) -> None:
    assert address_fault(text) is None


@pytest.mark.parametrize("text", [b"", b"a" * 65, b"A", b"/a", b"a/", b"a b", b"\xc3\xa4", b"a\n"])
def test_another_text_is_no_address(text: bytes) -> None:
    assert address_fault(text) is not None


def test_addresses_of_contracts_differ_by_zone_code_and_number() -> None:
    made = {
        contract_address(bytes([zone]) * 32, bytes([checksum]) * 32, sequence)
        for zone in range(2)
        for checksum in range(2)
        for sequence in range(2)
    }
    assert len(made) == 8
    assert contract_address(bytes(32), bytes(32), 1) == "contracts/f3ee455fd51c69981f3932f8984495c0"
    assert all(address_fault(address.encode()) is None for address in made)


def test_nothing_but_balances_can_be_asked_of_the_ledger(deploy: Any) -> None:
    call = "(call $stated (call $chain (call $input 'a')))"
    answer = json.loads(asked(deploy, call, a=b'{"bank":{"supply":{}}}').writes[0].value)
    assert answer == {"error": {"unsupported_request": {"kind": "bank"}}}
    answer = json.loads(asked(deploy, call, a=b"?").writes[0].value)
    assert list(answer["error"]) == ["invalid_request"]


BALANCE = b'{"bank":{"balance":{"address":"a1","denom":"b2"}}}'
STATED = "(call $stated (call $chain (call $input 'a')))"


def test_a_declared_balance_is_answered_and_another_one_stops_the_call(deploy: Any) -> None:
    for balances, expected in (
        ({("a1", "b2"): 70}, {"amount": {"denom": "b2", "amount": "70"}}),
        ({("a1", "c3"): 70}, None),
        ({}, None),
    ):
        outcome = asked(deploy, STATED, balances=balances, a=BALANCE)
        if expected is None:
            assert outcome.stopped.reason == StopReason.KEY_UNDECLARED
        else:
            answer = json.loads(outcome.writes[0].value)
            assert json.loads(base64.b64decode(answer["ok"]["ok"])) == expected


def test_without_a_ledger_there_are_no_balances(deploy: Any) -> None:
    answer = json.loads(asked(deploy, STATED, a=BALANCE).writes[0].value)
    assert answer == {"error": {"unsupported_request": {"kind": "bank"}}}
