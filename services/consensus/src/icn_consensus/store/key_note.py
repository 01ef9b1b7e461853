"""A consensus key from where it cannot be written beside, such as a Secret of Kubernetes, put where it can.

The note that names the log a key votes with is kept by somebody else then, who does not lose it together with
the validator's volumes. Source: docs/spec/wal.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import structlog

from icn_consensus.store.record_log import KEY_NOTE_SUFFIX, RecordLog, key_of_log

_log = structlog.get_logger(__name__)


class Notes(Protocol):
    """Keeps log ids by public key, both in hex."""

    def read(self) -> Mapping[str, str]:
        """All of them."""
        ...

    def add(self, notes: Mapping[str, str]) -> None:
        """Durable when it returns."""
        ...


def bring_key(
    content: bytes,
    public_key: bytes,
    *,
    key_file: Path,
    record_directory: Path,
    genesis_hash: bytes,
    notes: Notes,
) -> None:
    """Write the key file, and its note before the key is first used.

    A record that another key made is put aside: as it is noted, that key never votes again without it.

    Args:
        content: of the key file.
        public_key: Ed25519, of that content.
        key_file: where consensus will read it; lasts as long as the process.
        record_directory: of the write-ahead log.
        genesis_hash: of the zone.
        notes: see `Notes`.

    Raises:
        RecordLogMissing: the key has voted with another log than the one here.
        RecordLogInUse, RecordLogDamaged, OSError: as `RecordLog.open`.
    """
    key_file.parent.mkdir(parents=True, exist_ok=True)
    key_file.unlink(missing_ok=True)
    key_file.touch(mode=0o600)
    key_file.write_bytes(content)
    _retire(record_directory, public_key)
    noted = notes.read().get(public_key.hex(), "")
    note = key_file.with_name(key_file.name + KEY_NOTE_SUFFIX)
    note.unlink(missing_ok=True)
    if noted:
        note.write_text(f"{noted}\n", "ascii")
    log = RecordLog.open(
        record_directory, genesis_hash=genesis_hash, public_key=public_key, key_file=key_file
    )
    try:
        if not noted:
            notes.add({public_key.hex(): log.log_id.hex()})
            _log.info("the key is noted with its record log", log_id=log.log_id.hex())
    finally:
        log.close()


def _retire(folder: Path, public_key: bytes) -> None:
    earlier = key_of_log(folder)
    if earlier is None or earlier == public_key:
        return
    retired = folder.parent / "retired" / earlier.hex()[:16]
    retired.parent.mkdir(parents=True, exist_ok=True)
    folder.rename(retired)
    _log.warning("the record of an earlier key is put aside", folder=str(retired))
