"""The file by which organizations start a chain again: who may sign, what it takes, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from icn.ledger.v1.state_pb2 import ControllerLeaf
from icn.ledger.v1.transaction_pb2 import ControllerKey, PublicKey
from icn_chain.epochs import read_header
from icn_chain.recovery import (
    BLOCK_ROOM_BYTES,
    build_body,
    build_certificate,
    check_recovery,
    parse_recovery,
)
from icn_chain.validator_set import Validator, ValidatorSet, parse_validator_set
from icn_client.chain_recovery import (
    RecoveryFile,
    RecoveryFileInvalid,
    check_file,
    check_fits,
    read_recovery_file,
    sign,
)
from icn_client.cli.main import app
from icn_client.keystore import Identity, Keystore
from icn_client.light.proof_file import ProofFile
from icn_client.transactions import KeyPair
from icn_crypto.possession import prove_possession
from icn_crypto.state_tree import StateTree, build, state_key
from icn_kit.errors import FailedPrecondition
from typer.testing import CliRunner

from libs.client.tests.conftest import Chain, Zone, make_keys

ROOT_AFTER = bytes([9]) * 32
PASSPHRASE = "a passphrase for tests"


def identity(zone: Zone, seat: int) -> Identity:
    """The organization of a seat."""
    keys = (KeyPair(zone.organization_keys[seat].values()),)
    return Identity(f"co-op-{seat}", zone.genesis.validators[seat].organization, 1, keys)


def controllers(zone: Zone) -> dict[bytes, bytes]:
    """Canonical leaf by organization."""
    return {
        seat.organization: ControllerLeaf(
            principal=seat.organization,
            threshold=1,
            keys=[
                ControllerKey(
                    public_keys=[
                        PublicKey(suite=int(suite), public_key=key.public_key)
                        for suite, key in sorted(keys.items())
                    ]
                )
            ],
        ).SerializeToString(deterministic=True)
        for seat, keys in zip(zone.genesis.validators, zone.organization_keys, strict=True)
    }


def make_file(zone: Zone, **changes: Any) -> RecoveryFile:
    """As `prepare` writes it, after the third block; ``changes`` are of the body."""
    leaves = controllers(zone)
    update = build({state_key(1, organization): leaf for organization, leaf in leaves.items()})
    tree = StateTree({prefix: page for prefix, page in update.pages.items() if page is not None})
    chain = Chain(zone)
    for _ in range(3):
        header = chain.add(state_root=update.root)
    first = zone.genesis.validators[0].organization
    proof = ProofFile(
        genesis=zone.genesis.hash,
        namespace=1,
        identifier=first,
        value=leaves[first],
        state_proof=tree.prove(state_key(1, first)),
        header=header,
        descendant_headers=(),
        finalization=zone.certificate(header),
        epochs=(),
    )
    new = make_keys(4)
    organizations = [seat.organization for seat in zone.genesis.validators]
    validators = ValidatorSet.of(
        Validator(one, tuple((int(suite), key.public_key) for suite, key in sorted(keys.items())))
        for one, keys in zip(organizations, new, strict=True)
    )
    named = read_header(zone.genesis.hash, header)
    fields: dict[str, Any] = {
        "protocol_version": 1,
        "epoch": 1,
        "height": named.height,
        "block_hash": named.hash,
        "state_root": ROOT_AFTER,
        "validator_set": validators.data,
        "possessions": [
            prove_possession(key, zone.genesis.hash, one)
            for one, keys in zip(organizations, new, strict=True)
            for _, key in sorted(keys.items())
        ],
    }
    proven = tuple(
        (leaves[one], json.dumps(tree.prove(state_key(1, one)).to_dict())) for one in sorted(organizations)
    )
    return RecoveryFile(zone.genesis.hash, proof, build_body(**{**fields, **changes}), proven, {})


def signed_by(zone: Zone, file: RecoveryFile, *seats: int) -> RecoveryFile:
    for seat in seats:
        file = sign(check_file(file, zone.genesis), identity(zone, seat), zone.genesis)
    return file


def test_three_of_four_organizations_start_the_chain_again(zone: Zone) -> None:
    file = make_file(zone)
    assert not check_file(signed_by(zone, file, 0, 3), zone.genesis).is_complete
    content = signed_by(zone, file, 0, 3, 2).to_bytes()
    terms = read_recovery_file(content, zone.genesis)
    assert terms.is_complete and terms.file.to_bytes() == content
    certificate = parse_recovery(terms.certificate.data)
    seated = parse_validator_set(zone.validator_set)
    check_recovery(certificate, terms.header, seated, zone.genesis.hash, zone.genesis)
    assert (certificate.height, certificate.state_root) == (3, ROOT_AFTER)
    assert read_recovery_file(signed_by(zone, terms.file, 0).to_bytes(), zone.genesis) == terms, "again"


def test_who_holds_no_seat_and_whose_keys_are_others_do_not_sign(zone: Zone) -> None:
    terms = check_file(make_file(zone), zone.genesis)
    with pytest.raises(RecoveryFileInvalid) as refused:
        sign(terms, Identity.generate("somebody"), zone.genesis)
    assert refused.value.reason == "NOT_SEATED"
    other = Identity.generate("co-op-0", principal=zone.genesis.validators[0].organization)
    with pytest.raises(RecoveryFileInvalid) as refused:
        sign(terms, other, zone.genesis)
    assert refused.value.reason == "KEY_UNKNOWN"


def spoil_signature(document: dict[str, Any]) -> None:
    signature = document["signatures"][0]["signature"]
    document["signatures"][0]["signature"] = f"{int(signature[0], 16) ^ 1:x}" + signature[1:]


SPOILED: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a member too many": (lambda d: d.update(more=1), "RECOVERY_FILE_MALFORMED"),
    "a member too few": (lambda d: d.pop("proof"), "RECOVERY_FILE_MALFORMED"),
    "another format": (lambda d: d.update(format="icn/recovery/v2"), "RECOVERY_FILE_MALFORMED"),
    "a body that is none": (lambda d: d.update(body="ff"), "RECOVERY_FILE_MALFORMED"),
    "a number for hex": (lambda d: d.update(body=7), "RECOVERY_FILE_MALFORMED"),
    "a controller that is none": (
        lambda d: d["controllers"][0].update(controller="ff"),
        "RECOVERY_FILE_MALFORMED",
    ),
    "a proof that is none": (lambda d: d["controllers"][0].update(state_proof={}), "RECOVERY_FILE_MALFORMED"),
    "a controller too few": (lambda d: d["controllers"].pop(), "NOT_SEATED"),
    "another zone": (lambda d: d.update(genesis="00" * 32), "WRONG_ZONE"),
    "a certificate that nobody signed": (
        lambda d: d["proof"].update(finalization="ff"),
        "PROOF_MALFORMED",
    ),
    "a spoiled signature": (spoil_signature, "SIGNATURE_INVALID"),
    "a key nobody has": (lambda d: d["signatures"][0].update(key_id="00" * 16), "KEY_UNKNOWN"),
}


@pytest.mark.parametrize("name", SPOILED)
def test_a_spoiled_file_is_refused_with_its_reason(zone: Zone, name: str) -> None:
    spoil, reason = SPOILED[name]
    document = json.loads(signed_by(zone, make_file(zone), 1).to_bytes())
    spoil(document)
    with pytest.raises(RecoveryFileInvalid) as refused:
        read_recovery_file(json.dumps(document).encode(), zone.genesis)
    assert refused.value.reason == reason


@pytest.mark.parametrize("content", [b"", b"[]", b"[" * 100_000, b"\xff", b'{"format":"icn/recovery/v1"}'])
def test_what_is_no_file_is_refused(zone: Zone, content: bytes) -> None:
    with pytest.raises(RecoveryFileInvalid, match="not a file"):
        read_recovery_file(content, zone.genesis)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"height": 2}, "RECOVERY_OTHER_BLOCK"),
        ({"block_hash": bytes(32)}, "RECOVERY_OTHER_BLOCK"),
        ({"protocol_version": 2}, "PROTOCOL_VERSION_UNKNOWN"),
        ({"possessions": [bytes(64)] * 8}, "POSSESSION_UNPROVEN"),
    ],
)
def test_terms_that_no_chain_follows_are_not_signed(zone: Zone, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(RecoveryFileInvalid) as refused:
        check_file(make_file(zone, **changes), zone.genesis)
    assert refused.value.reason == reason


def test_old_keys_are_no_new_ones(zone: Zone) -> None:
    with pytest.raises(RecoveryFileInvalid) as refused:
        check_file(make_file(zone, validator_set=zone.validator_set), zone.genesis)
    assert refused.value.reason == "CONSENSUS_KEY_USED"


def test_a_controller_of_another_state_does_not_count(zone: Zone) -> None:
    file = signed_by(zone, make_file(zone), 0, 1, 2)
    (leaf, proof), *rest = file.controllers
    other = ControllerLeaf.FromString(leaf)
    other.threshold = 0
    changed = replace(file, controllers=((other.SerializeToString(deterministic=True), proof), *rest))
    with pytest.raises(RecoveryFileInvalid) as refused:
        check_file(changed, zone.genesis)
    assert refused.value.reason == "RECOVERY_CONTROLLER_UNPROVEN"


@pytest.fixture
def folder(zone: Zone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A genesis file, the organizations' keystore, and a file to sign."""
    monkeypatch.setenv("ICN_PASSPHRASE", PASSPHRASE)
    (tmp_path / "genesis.json").write_bytes(zone.genesis_bytes)
    (tmp_path / "recovery.json").write_bytes(make_file(zone).to_bytes())
    for seat in range(3):
        Keystore(tmp_path / "keys").add(identity(zone, seat), PASSPHRASE, 14)
    return tmp_path


def run(folder: Path, *arguments: str) -> Any:
    zone = ("--genesis", str(folder / "genesis.json"))
    return CliRunner().invoke(app, ["validators", "recovery", *arguments, *zone, "--json"])


def test_organizations_sign_one_after_the_other_without_a_platform(folder: Path) -> None:
    file = str(folder / "recovery.json")
    for seat in range(3):
        done = run(folder, "sign", file, "--as", f"co-op-{seat}", "--keystore", str(folder / "keys"))
        assert done.exit_code == 0, done.output
        shown = json.loads(done.stdout)
        assert shown["complete"] == (seat == 2)
    assert json.loads(run(folder, "show", file).stdout) == shown
    assert (shown["epoch"], shown["height"], shown["state_root"]) == ("1", "3", ROOT_AFTER.hex())
    assert [one["signed"] for one in shown["organizations"]] == [1, 1, 1, 0]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("show", "missing.json"), "No such file"),
        (("show", "genesis.json"), "not a file of the format"),
        (("sign", "recovery.json", "--as", "nobody", "--keystore", "keys"), "no identity 'nobody'"),
        (("sign", "recovery.json", "--as", "co-op-0", "--keystore", "missing"), "no identity 'co-op-0'"),
        (("sign", "keys", "--as", "co-op-0", "--keystore", "keys"), "Is a directory"),
    ],
)
def test_what_cannot_be_read_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], problem: str
) -> None:
    monkeypatch.chdir(folder)
    before = (folder / "recovery.json").read_bytes()
    done = run(folder, *arguments)
    assert done.exit_code == 1 and problem in str(done.exception)
    assert (folder / "recovery.json").read_bytes() == before


def test_terms_that_no_block_could_carry_are_not_prepared(zone: Zone) -> None:
    file = make_file(zone)
    everybody = [(leaf, proof, ()) for leaf, proof in file.controllers]
    size_bytes = len(build_certificate(file.body, everybody).data)
    limits = replace(zone.genesis.limits, bytes_max=size_bytes + BLOCK_ROOM_BYTES)
    check_fits(file, 4, replace(zone.genesis, limits=limits))
    limits = replace(limits, bytes_max=limits.bytes_max - 1)
    with pytest.raises(FailedPrecondition) as refused:
        check_fits(file, 4, replace(zone.genesis, limits=limits))
    assert (refused.value.reason, refused.value.metadata["size_bytes"]) == ("RECOVERY_TOO_LARGE", size_bytes)
    check_fits(file, 3, replace(zone.genesis, limits=limits))
