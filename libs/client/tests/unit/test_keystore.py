"""Keystores: what they keep secret and what they refuse."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from icn_client.keystore import (
    PASSPHRASE_FILE_NAME,
    Identity,
    Keystore,
    KeystoreError,
    PassphraseMissing,
    PassphraseWrong,
    find_passphrase,
    make_machine_passphrase,
    passphrase_from_environment,
)
from icn_crypto.suites import Suite, verify

PASSPHRASE = "correct horse battery"
CHEAP = 14


def new(store: Keystore, name: str = "anna", suites: tuple[Suite, ...] = (Suite.ED25519,)) -> Identity:
    identity = Identity.generate(name, suites)
    store.add(identity, PASSPHRASE, CHEAP)
    return identity


def test_an_identity_opens_with_its_passphrase_and_signs(tmp_path: Path) -> None:
    store = Keystore(tmp_path / "keys")
    made = new(store, suites=(Suite.ED25519, Suite.ML_DSA_65))
    opened = store.open("anna", PASSPHRASE)
    assert (opened.name, opened.principal, opened.threshold) == ("anna", made.principal, 1)
    key = opened.keys[0]
    assert key.key_id == made.keys[0].key_id
    for suite in (Suite.ED25519, Suite.ML_DSA_65):
        assert verify(suite, made.keys[0].public_keys[suite], b"text", key.sign(b"text", suite))


def test_files_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    store = Keystore(tmp_path / "keys")
    new(store)
    assert stat.S_IMODE(store.path("anna").stat().st_mode) == 0o600
    assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700
    make_machine_passphrase(store.folder)
    assert stat.S_IMODE((store.folder / PASSPHRASE_FILE_NAME).stat().st_mode) == 0o600
    assert sorted(path.name for path in store.folder.iterdir()) == ["anna.json", PASSPHRASE_FILE_NAME]


def test_no_seed_stands_in_the_file(tmp_path: Path) -> None:
    store = Keystore(tmp_path)
    identity = new(store)
    text = store.path("anna").read_text()
    assert identity.keys[0].signing_keys[Suite.ED25519].seed.hex() not in text
    assert identity.keys[0].public_keys[Suite.ED25519].hex() in text


def test_a_wrong_passphrase_is_refused(tmp_path: Path) -> None:
    store = Keystore(tmp_path)
    new(store)
    with pytest.raises(PassphraseWrong):
        store.open("anna", PASSPHRASE + " ")


@pytest.mark.parametrize("member", ["principal", "threshold", "name"])
def test_a_changed_clear_part_is_refused(tmp_path: Path, member: str) -> None:
    store = Keystore(tmp_path)
    new(store)
    document = json.loads(store.path("anna").read_text())
    document[member] = {"principal": "00" * 16, "threshold": 2, "name": "bruno"}[member]
    store.path("anna").write_text(json.dumps(document))
    with pytest.raises(PassphraseWrong):
        store.open("anna", PASSPHRASE)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("kdf", "log2_n"), 30),
        (("kdf", "log2_n"), "14"),
        (("kdf", "salt"), "00"),
        (("cipher", "nonce"), "zz"),
        (("sealed",), None),
        (("keys",), []),
        (("keys",), [{"rsa": "00"}]),
        (("principal",), "00"),
        (("format",), "icn/keystore/v9"),
    ],
)
def test_a_damaged_file_is_refused_before_any_work(
    tmp_path: Path, path: tuple[str, ...], value: object
) -> None:
    store = Keystore(tmp_path)
    new(store)
    document = json.loads(store.path("anna").read_text())
    holder = document
    for name in path[:-1]:
        holder = holder[name]
    holder[path[-1]] = value
    store.path("anna").write_text(json.dumps(document))
    with pytest.raises(KeystoreError):
        store.open("anna", PASSPHRASE)


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b"{}", b" " * 300_000])
def test_a_file_that_is_no_keystore_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "anna.json").write_bytes(content)
    with pytest.raises(KeystoreError):
        Keystore(tmp_path).public("anna")


def test_an_identity_is_never_overwritten(tmp_path: Path) -> None:
    store = Keystore(tmp_path)
    first = new(store)
    with pytest.raises(KeystoreError, match="exists already"):
        new(store)
    assert store.public("anna").principal == first.principal


@pytest.mark.parametrize("name", ["", "Anna", "../anna", "a" * 64, "-a", "a b", ".hidden"])
def test_names_that_are_no_safe_file_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(KeystoreError):
        Keystore(tmp_path).path(name)


@pytest.mark.parametrize("passphrase", ["", "1234567", "x" * 1025])
def test_passphrases_out_of_bounds_are_refused(tmp_path: Path, passphrase: str) -> None:
    with pytest.raises(KeystoreError, match="characters"):
        Keystore(tmp_path).add(Identity.generate("anna"), passphrase, CHEAP)


def test_names_lists_identities_and_nothing_else(tmp_path: Path) -> None:
    store = Keystore(tmp_path)
    assert Keystore(tmp_path / "missing").names() == []
    new(store, "bruno")
    new(store, "anna")
    (tmp_path / "Notes.json").write_text("{}")
    assert store.names() == ["anna", "bruno"]


def test_where_a_passphrase_comes_from(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("from the file\r\n")
    both = {"ICN_PASSPHRASE_FILE": str(file), "ICN_PASSPHRASE": "from the variable"}
    assert passphrase_from_environment(tmp_path, both) == "from the file"
    assert (
        passphrase_from_environment(tmp_path, {"ICN_PASSPHRASE": "from the variable"}) == "from the variable"
    )
    assert passphrase_from_environment(tmp_path, {}) is None
    made = make_machine_passphrase(tmp_path)
    assert passphrase_from_environment(tmp_path, both) == made, "the keystores beside it were sealed with it"
    with pytest.raises(KeystoreError, match="secret-missing"):
        passphrase_from_environment(None, {"ICN_PASSPHRASE_FILE": str(tmp_path / "secret-missing")})


def test_a_person_is_asked_last_and_nobody_means_an_error(tmp_path: Path) -> None:
    assert find_passphrase(tmp_path, lambda text: f"asked for {text}", {}) == "asked for Passphrase"
    with pytest.raises(PassphraseMissing):
        find_passphrase(tmp_path, None, {})


def test_a_key_never_shows_its_seed() -> None:
    identity = Identity.generate("anna")
    seed = identity.keys[0].signing_keys[Suite.ED25519].seed.hex()
    assert seed not in repr(identity)
