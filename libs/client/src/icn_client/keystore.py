"""Keystores: identities with their keys, sealed with a passphrase, outside every service.

One file per identity: name, principal and public keys in clear, the seeds under AES-256-GCM with a key that
scrypt (RFC 7914) derives from the passphrase. Source: docs/adr/0010-keystores-outside-the-platform.md.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from icn_crypto.suites import SUITE_NAMES, SigningKey, Suite, key_id
from icn_localnet import files
from icn_machine.limits import CONTROLLER_KEYS_MAX, IDENTIFIER_BYTES

from icn_client.transactions import KeyPair

FORMAT: Final = "icn/keystore/v1"
NAME_PATTERN: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
"""Names are file names on every system."""
FILE_BYTES_MAX: Final = 262_144
"""Sixteen keys with ML-DSA-65 in hex are 65 KB."""
SCRYPT_LOG2_N: Final = 17
"""For a person's passphrase: 128 MiB and under half a second."""
SCRYPT_LOG2_N_MACHINE_MADE: Final = 14
"""For 256 random bits, which stretching makes no stronger."""
SCRYPT_LOG2_N_MIN, SCRYPT_LOG2_N_MAX = 14, 20
"""A prepared file cannot ask for more than 1 GiB."""
SCRYPT_R, SCRYPT_P = 8, 1
SALT_BYTES, NONCE_BYTES = 32, 12
PASSPHRASE_CHARACTERS_MIN: Final = 8
PASSPHRASE_CHARACTERS_MAX: Final = 1024
PASSPHRASE_VARIABLE: Final = "ICN_PASSPHRASE"  # noqa: S105 - a name
PASSPHRASE_FILE_VARIABLE: Final = "ICN_PASSPHRASE_FILE"  # noqa: S105 - a name
PASSPHRASE_FILE_NAME: Final = "passphrase"  # noqa: S105 - a name
"""Where `icn up` keeps a machine-made one, beside the keystores of its own zone."""

_SUITES: Final = {name: suite for suite, name in SUITE_NAMES.items()}


class KeystoreError(Exception):
    """A keystore cannot be used; the message says which and why."""


class PassphraseWrong(KeystoreError):
    """The passphrase does not open the file, or the file was changed."""


class PassphraseMissing(KeystoreError):
    """No passphrase in the environment and nobody to ask."""


@dataclass(frozen=True, slots=True)
class PublicIdentity:
    """What everybody may know of an identity."""

    name: str
    principal: bytes
    """16 bytes."""
    threshold: int
    keys: tuple[Mapping[Suite, bytes], ...]
    """Public keys by suite, ascending by key id."""
    path: Path

    @property
    def key_ids(self) -> tuple[bytes, ...]:
        """Ids of the keys, in their order."""
        return tuple(key_id(public_keys) for public_keys in self.keys)


@dataclass(frozen=True, slots=True)
class Identity:
    """A principal with the keys that sign for it."""

    name: str
    principal: bytes
    threshold: int
    keys: tuple[KeyPair, ...]
    """Ascending by key id."""

    @classmethod
    def generate(
        cls, name: str, suites: Iterable[Suite] = (Suite.ED25519,), principal: bytes | None = None
    ) -> Identity:
        """One new key, of a new principal or of one whose keys are lost."""
        if principal is None:
            principal = secrets.token_bytes(IDENTIFIER_BYTES)
        return cls(name, principal, 1, (KeyPair.generate(suites),))


def is_name(name: str) -> bool:
    """Whether the text can name an identity: lower-case letters, digits, hyphens, at most 63."""
    return NAME_PATTERN.fullmatch(name) is not None


class Keystore:
    """A folder of identities."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, name: str) -> Path:
        """File of an identity.

        Raises:
            KeystoreError: not a name.
        """
        if not is_name(name):
            raise KeystoreError(
                f"{name!r} is not a name: use up to 63 lower-case letters, digits and hyphens"
            )
        return self.folder / f"{name}.json"

    def names(self) -> list[str]:
        """Names of the identities, in order."""
        if not self.folder.is_dir():
            return []
        return sorted(path.stem for path in self.folder.glob("*.json") if is_name(path.stem))

    def add(self, identity: Identity, passphrase: str, log2_n: int = SCRYPT_LOG2_N) -> Path:
        """Seal a new identity and return its file.

        Raises:
            KeystoreError: the name is taken or no name; the passphrase is too short or too long.
        """
        path = self.path(identity.name)
        _check_passphrase(passphrase)
        document = _seal(identity, passphrase, log2_n)
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_new(path, json.dumps(document, indent=1).encode() + b"\n")
        return path

    def public(self, name: str) -> PublicIdentity:
        """The identity's public part; asks for no passphrase, and so is not authenticated.

        Raises:
            KeystoreError: there is none of this name, or the file is damaged.
        """
        path = self.path(name)
        return _public(_read(path), path)

    def open(self, name: str, passphrase: str) -> Identity:
        """The identity with its keys.

        Raises:
            PassphraseWrong: the passphrase does not open it, or the file was changed.
            KeystoreError: there is none of this name, or the file is damaged.
        """
        path = self.path(name)
        return _unseal(_read(path), path, passphrase)


def passphrase_from_environment(
    folder: Path | None = None, environment: Mapping[str, str] = os.environ
) -> str | None:
    """The passphrase that does not need a person: the file that `icn up` left in this folder (it made these
    keystores and no other), ICN_PASSPHRASE_FILE, or ICN_PASSPHRASE; None when there is none.

    Raises:
        KeystoreError: the file named cannot be read.
    """
    if folder is not None and (folder / PASSPHRASE_FILE_NAME).is_file():
        return _read_passphrase(folder / PASSPHRASE_FILE_NAME)
    named = environment.get(PASSPHRASE_FILE_VARIABLE)
    if named:
        return _read_passphrase(Path(named))
    return environment.get(PASSPHRASE_VARIABLE) or None


def find_passphrase(
    folder: Path, prompt: Callable[[str], str] | None, environment: Mapping[str, str] = os.environ
) -> str:
    """The passphrase for a folder: from the environment, else from the person asked.

    Args:
        folder: the keystore's.
        prompt: asks a person without showing what is typed; None when there is no terminal.
        environment: where the variables are looked up.

    Raises:
        PassphraseMissing: neither is there.
        KeystoreError: the file named in the environment cannot be read.
    """
    found = passphrase_from_environment(folder, environment)
    if found is not None:
        return found
    if prompt is None:
        raise PassphraseMissing(
            f"no passphrase: set {PASSPHRASE_FILE_VARIABLE} to a file that holds it, or {PASSPHRASE_VARIABLE}"
        )
    return prompt("Passphrase")


def make_machine_passphrase(folder: Path) -> str:
    """Make a passphrase of 256 random bits in the folder, readable by its owner only, and return it.

    Raises:
        KeystoreError: there is one already.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    passphrase = secrets.token_hex(32)
    _write_new(folder / PASSPHRASE_FILE_NAME, passphrase.encode() + b"\n")
    return passphrase


def _check_passphrase(passphrase: str) -> None:
    if not PASSPHRASE_CHARACTERS_MIN <= len(passphrase) <= PASSPHRASE_CHARACTERS_MAX:
        raise KeystoreError(
            f"a passphrase has {PASSPHRASE_CHARACTERS_MIN} to {PASSPHRASE_CHARACTERS_MAX} characters, "
            f"not {len(passphrase)}"
        )


def _read_passphrase(path: Path) -> str:
    try:
        with path.open("rb") as file:
            text = file.read(4 * PASSPHRASE_CHARACTERS_MAX + 2).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise KeystoreError(f"passphrase file {path}: {_cause(error)}") from error
    return text.removesuffix("\n").removesuffix("\r")


def _cause(error: OSError | UnicodeDecodeError) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else "not UTF-8"


def _write_new(path: Path, content: bytes) -> None:
    """Write a file that must not exist yet: an identity is never overwritten."""
    try:
        files.write_private(path, content)
    except FileExistsError:
        raise KeystoreError(f"{path} exists already") from None
    except OSError as error:
        raise KeystoreError(f"{path}: {error.strerror}") from error


def _derive(passphrase: str, salt: bytes, log2_n: int) -> bytes:
    n = 1 << log2_n
    return hashlib.scrypt(
        passphrase.encode(),
        salt=salt,
        n=n,
        r=SCRYPT_R,
        p=SCRYPT_P,
        maxmem=132 * n * SCRYPT_R + 1_048_576,
        dklen=32,
    )


def _clear_part(identity: Identity, salt: bytes, nonce: bytes, log2_n: int) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "name": identity.name,
        "principal": identity.principal.hex(),
        "threshold": identity.threshold,
        "keys": [
            {SUITE_NAMES[suite]: public_key.hex() for suite, public_key in key.public_keys.items()}
            for key in identity.keys
        ],
        "kdf": {"name": "scrypt", "log2_n": log2_n, "r": SCRYPT_R, "p": SCRYPT_P, "salt": salt.hex()},
        "cipher": {"name": "aes-256-gcm", "nonce": nonce.hex()},
    }


def _authenticated(document: Mapping[str, Any]) -> bytes:
    """The clear part as the cipher authenticates it."""
    clear = {name: value for name, value in document.items() if name != "sealed"}
    return json.dumps(clear, sort_keys=True, separators=(",", ":")).encode()


def _seal(identity: Identity, passphrase: str, log2_n: int) -> dict[str, Any]:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    salt, nonce = secrets.token_bytes(SALT_BYTES), secrets.token_bytes(NONCE_BYTES)
    document = _clear_part(identity, salt, nonce, log2_n)
    seeds = [
        {SUITE_NAMES[suite]: key.seed.hex() for suite, key in pair.signing_keys.items()}
        for pair in identity.keys
    ]
    sealed = AESGCM(_derive(passphrase, salt, log2_n)).encrypt(
        nonce, json.dumps(seeds).encode(), _authenticated(document)
    )
    return {**document, "sealed": sealed.hex()}


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        raise KeystoreError(f"no identity {path.stem!r} in {path.parent}") from None
    except OSError as error:
        raise KeystoreError(f"{path}: {error.strerror}") from error
    if len(content) > FILE_BYTES_MAX:
        raise KeystoreError(f"{path}: larger than {FILE_BYTES_MAX} bytes")
    try:
        document = json.loads(content)
    except ValueError as error:
        raise KeystoreError(f"{path}: not JSON") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise KeystoreError(f"{path}: not a keystore ({FORMAT})")
    return document


def _public(document: Mapping[str, Any], path: Path) -> PublicIdentity:
    try:
        keys = tuple(
            {_SUITES[suite]: bytes.fromhex(public_key) for suite, public_key in key.items()}
            for key in document["keys"]
        )
        identity = PublicIdentity(
            str(document["name"]),
            bytes.fromhex(document["principal"]),
            int(document["threshold"]),
            keys,
            path,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise KeystoreError(f"{path}: damaged") from error
    if not 1 <= len(keys) <= CONTROLLER_KEYS_MAX or len(identity.principal) != IDENTIFIER_BYTES:
        raise KeystoreError(f"{path}: damaged")
    return identity


def _unseal(document: Mapping[str, Any], path: Path, passphrase: str) -> Identity:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    public = _public(document, path)
    try:
        log2_n = document["kdf"]["log2_n"]
        salt = bytes.fromhex(document["kdf"]["salt"])
        nonce = bytes.fromhex(document["cipher"]["nonce"])
        sealed = bytes.fromhex(document["sealed"])
    except (KeyError, TypeError, ValueError) as error:
        raise KeystoreError(f"{path}: damaged") from error
    if not isinstance(log2_n, int) or not SCRYPT_LOG2_N_MIN <= log2_n <= SCRYPT_LOG2_N_MAX:
        raise KeystoreError(f"{path}: scrypt cost {log2_n!r} is out of range")
    if len(salt) != SALT_BYTES or len(nonce) != NONCE_BYTES:
        raise KeystoreError(f"{path}: damaged")
    try:
        opened = AESGCM(_derive(passphrase, salt, log2_n)).decrypt(nonce, sealed, _authenticated(document))
    except InvalidTag:
        raise PassphraseWrong(f"{path}: wrong passphrase, or the file was changed") from None
    keys = tuple(
        KeyPair(SigningKey.from_seed(_SUITES[suite], bytes.fromhex(seed)) for suite, seed in entry.items())
        for entry in json.loads(opened)
    )
    # What was sealed is authentic; that it matches the clear part is our own doing.
    assert [key.public_keys for key in keys] == list(public.keys), "sealed keys and public keys go together"
    return Identity(public.name, public.principal, public.threshold, keys)


def by_key_id(identities: Sequence[Identity]) -> list[KeyPair]:
    """All keys of the identities, ascending by key id: how a threshold across organizations signs."""
    return sorted((key for identity in identities for key in identity.keys), key=lambda key: key.key_id)
