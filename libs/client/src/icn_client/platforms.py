"""Platforms on this machine: where they are, whether they run, how one is founded.

The founding organizations' keys are made here, in keystores that no process of the platform is told of
(docs/adr/0010-keystores-outside-the-platform.md); the platform gets their public parts.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from icn_crypto.suites import Suite

from icn_client.keystore import (
    PASSPHRASE_FILE_VARIABLE,
    PASSPHRASE_VARIABLE,
    SCRYPT_LOG2_N,
    SCRYPT_LOG2_N_MACHINE_MADE,
    Identity,
    Keystore,
    find_passphrase,
    make_machine_passphrase,
    passphrase_from_environment,
)

if TYPE_CHECKING:
    from icn_localnet.network import Founder, Network, NetworkOptions

DATA_VARIABLE: Final = "ICN_DATA"
KEYSTORE_VARIABLE: Final = "ICN_KEYSTORE"
STEWARD_VARIABLE: Final = "ICN_STEWARD_KEYSTORE"
DATA_DIRECTORY_NAME: Final = ".icn"
FOUNDERS_FOLDER: Final = "keystores"
"""In the platform's directory; beside it stands everything the platform itself knows."""
GATEWAY_FILE: Final = "gateway.json"
"""What `icn connect` notes."""
LOCK_NAME: Final = "supervisor.lock"
PATH_CHARACTERS_MAX: Final = 4_096

FOUNDER_NAMES: Final = (
    "Sunrise Bakery",
    "Riverside Housing",
    "Harvest Farm",
    "Wheelwright Workshop",
    "Lantern Press",
    "Commons Clinic",
    "Tidewater Fishery",
)
"""Founding co-ops of a zone that is made for trying things out; later ones are numbered."""


class NoPlatform(Exception):
    """No platform runs where it was looked for."""


def data_directory(environment: Mapping[str, str] = os.environ) -> Path:
    """Where a platform keeps its data unless told otherwise: ICN_DATA, else ``.icn`` here."""
    return Path(environment.get(DATA_VARIABLE) or DATA_DIRECTORY_NAME)


def keystore_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where a person's identities are unless told otherwise: ICN_KEYSTORE, else the user's data folder."""
    named = environment.get(KEYSTORE_VARIABLE)
    if named:
        return Path(named)
    home = environment.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(home) / "icn" / "keystore"


def is_running(directory: Path) -> bool:
    """Whether everything of this directory's platform serves: ``network.json`` names a process that still
    holds the lock on the directory, which the kernel drops with the process.
    """
    try:
        document = json.loads((directory / "network.json").read_text("utf-8"))
        pid = document["ready_pid"]
        if pid is None or not Path(f"/proc/{int(pid)}").exists():
            return (
                False  # asked before the lock, so that a platform that just starts never finds it taken by us
            )
        with (directory / LOCK_NAME).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (OSError, ValueError, TypeError, KeyError):
        return False
    return False


def is_connected(directory: Path) -> bool:
    """Whether `icn connect` has been here: the platform runs elsewhere, behind its gateway."""
    return (directory / GATEWAY_FILE).is_file() and not (directory / "network.json").exists()


def find_running(directory: Path | None) -> Path:
    """Directory of a running platform: the one asked for; else ``.icn`` or ICN_DATA; else the last one
    started.

    Raises:
        NoPlatform: none runs there.
    """
    if directory is not None:
        if not is_running(directory) and not is_connected(directory):
            raise NoPlatform(f"no platform runs in {directory}; start one with: icn up --data {directory}")
        return directory
    for candidate in (data_directory(), _remembered()):
        if candidate is not None and (is_running(candidate) or is_connected(candidate)):
            return candidate
    raise NoPlatform(
        "no platform runs on this machine; start one with icn up, or use one with icn connect URL"
    )


def remember(directory: Path) -> None:
    """Note which platform was started last, so that commands in other folders find it. A convenience: where
    the note cannot be written nothing is lost.
    """
    with contextlib.suppress(OSError, RuntimeError):  # RuntimeError: a user without a home
        note = _note()
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(f"{directory.absolute()}\n")


def forget(directory: Path) -> None:
    """Drop the note if it names this platform."""
    if _remembered() == directory.absolute():
        with contextlib.suppress(OSError):
            _note().unlink()


def _note() -> Path:
    home = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(home) / "icn" / "running"


def _remembered() -> Path | None:
    try:
        with _note().open() as file:
            text = file.read(PATH_CHARACTERS_MAX).strip()
    except (OSError, UnicodeDecodeError, RuntimeError):
        return None
    return Path(text) if text else None


def founders_keystore(directory: Path) -> Keystore:
    """Keystore of a platform's founding organizations."""
    return Keystore(directory / FOUNDERS_FOLDER)


def founder_slug(name: str) -> str:
    """Name of a founder's identity in the keystore: ``sunrise-bakery``."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def found_network(
    directory: Path, *, validators: int, options: NetworkOptions | None = None, port: int | None = None
) -> Network:
    """Make a new zone in an empty or missing directory: keystores of the founders first, then the platform's
    files from their public parts.

    Args:
        directory: where; must not hold a network.
        validators: seats, one founding co-op each.
        options: what genesis sets; defaults as in docs/spec/genesis.md.
        port: of the gateway; a free one when None.

    Raises:
        FileExistsError: the directory holds a network.
        KeystoreError: the keystores cannot be written.
    """
    from icn_localnet.network import NetworkOptions, create_network

    if (directory / "genesis.json").exists():
        raise FileExistsError(f"{directory} holds a network already")
    founders = make_founders(directory, validators)
    network = create_network(directory, founders, validators=validators, options=options or NetworkOptions())
    if port is not None:
        network.gateway = f"127.0.0.1:{port}"
        network.save()
    return network


def make_founders(directory: Path, count: int) -> list[Founder]:
    """Founding organizations for trying things out, as genesis names them; their keys are made here, in
    `founders_keystore`.

    Raises:
        KeystoreError: the keystores cannot be written.
    """
    from icn_localnet.network import Founder

    store = founders_keystore(directory)
    passphrase = passphrase_from_environment(store.folder)
    log2_n = SCRYPT_LOG2_N
    if passphrase is None:
        passphrase = make_machine_passphrase(store.folder)
        log2_n = SCRYPT_LOG2_N_MACHINE_MADE
    founders = []
    for position in range(count):
        name = FOUNDER_NAMES[position] if position < len(FOUNDER_NAMES) else f"Cooperative {position + 1}"
        identity = Identity.generate(founder_slug(name), (Suite.ED25519, Suite.ML_DSA_65))
        store.add(identity, passphrase, log2_n)
        founders.append(
            Founder(
                name=name,
                keys=[dict(key.public_keys) for key in identity.keys],
                threshold=identity.threshold,
                principal=identity.principal,
            )
        )
    return founders


def open_founders(directory: Path) -> list[Identity]:
    """The founding organizations of a platform on this machine, in the order of their names.

    Raises:
        KeystoreError: the keystores are not there, or the passphrase is not.
    """
    return open_all(founders_keystore(directory), None)


def open_all(store: Keystore, prompt: Callable[[str], str] | None) -> list[Identity]:
    """Every identity of a keystore, in the order of their names.

    Args:
        prompt: asks for the passphrase where it is written nowhere.

    Raises:
        KeystoreError: the keystore is not there, or the passphrase of one is not.
    """
    passphrase = find_passphrase(store.folder, prompt)
    return [store.open(name, passphrase) for name in store.names()]


@contextmanager
def without_secrets() -> Iterator[None]:
    """Within it the environment, which child processes inherit, holds nothing that opens a keystore; it names
    the folders of keystores as those that no part of the platform may reach.
    """
    from icn_localnet.parts import HIDDEN_VARIABLE

    folders = [keystore_folder()]
    if steward := os.environ.get(STEWARD_VARIABLE):
        folders.append(Path(steward))
    hidden = {
        name: os.environ.pop(name)
        for name in (PASSPHRASE_VARIABLE, PASSPHRASE_FILE_VARIABLE, KEYSTORE_VARIABLE, STEWARD_VARIABLE)
        if name in os.environ
    }
    os.environ[HIDDEN_VARIABLE] = os.pathsep.join(str(folder.absolute()) for folder in folders)
    try:
        yield
    finally:
        del os.environ[HIDDEN_VARIABLE]
        os.environ.update(hidden)
