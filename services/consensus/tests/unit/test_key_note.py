from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from icn_consensus.store.key_note import bring_key
from icn_consensus.store.record_log import RecordLog, RecordLogMissing, key_of_log

GENESIS = bytes(range(32))
KEY, OTHER_KEY = b"k" * 32, b"o" * 32


class Noted:
    """Notes in a dictionary; the way to the volume that is lost leads past it."""

    def __init__(self) -> None:
        self.by_key: dict[str, str] = {}
        self.added = 0

    def read(self) -> dict[str, str]:
        return dict(self.by_key)

    def add(self, notes: dict[str, str]) -> None:
        self.added += 1
        self.by_key |= notes


@pytest.fixture
def notes() -> Noted:
    return Noted()


def bring(tmp_path: Path, notes: Noted, public_key: bytes = KEY) -> Path:
    key_file = tmp_path / "memory" / "consensus.json"
    bring_key(
        b"{}",
        public_key,
        key_file=key_file,
        record_directory=tmp_path / "volume" / "record",
        genesis_hash=GENESIS,
        notes=notes,
    )
    return key_file


def start(tmp_path: Path, key_file: Path, public_key: bytes = KEY) -> RecordLog:
    folder = tmp_path / "volume" / "record"
    return RecordLog.open(folder, genesis_hash=GENESIS, public_key=public_key, key_file=key_file)


def test_a_new_key_is_noted_before_consensus_can_use_it(tmp_path: Path, notes: Noted) -> None:
    key_file = bring(tmp_path, notes)
    assert key_file.read_bytes() == b"{}"
    assert key_file.stat().st_mode & 0o777 == 0o600
    log = start(tmp_path, key_file)
    assert notes.by_key == {KEY.hex(): log.log_id.hex()}
    log.close()


def test_a_restart_of_the_pod_finds_the_same_log_and_notes_nothing(tmp_path: Path, notes: Noted) -> None:
    log = start(tmp_path, bring(tmp_path, notes))
    log.append(b"a vote", 0, 1)
    log.close()
    shutil.rmtree(tmp_path / "memory")
    log = start(tmp_path, bring(tmp_path, notes))
    assert list(log.payloads()) == [b"a vote"]
    log.close()
    assert notes.added == 1


def test_a_key_whose_volume_is_lost_does_not_vote_anew(tmp_path: Path, notes: Noted) -> None:
    bring(tmp_path, notes)
    noted = dict(notes.by_key)
    shutil.rmtree(tmp_path / "memory")
    shutil.rmtree(tmp_path / "volume")
    for _ in range(2):  # the folder that the first try has made does not count
        with pytest.raises(RecordLogMissing, match="has to sign a new consensus key"):
            bring(tmp_path, notes)
    assert notes.by_key == noted


def test_a_new_key_begins_anew_and_the_earlier_one_cannot_come_back_without_its_log(
    tmp_path: Path, notes: Noted
) -> None:
    bring(tmp_path, notes)
    key_file = bring(tmp_path, notes, OTHER_KEY)
    log = start(tmp_path, key_file, OTHER_KEY)
    assert list(log.payloads()) == []
    log.close()
    assert key_of_log(tmp_path / "volume" / "retired" / KEY.hex()[:16]) == KEY
    assert set(notes.by_key) == {KEY.hex(), OTHER_KEY.hex()}
    with pytest.raises(RecordLogMissing):
        bring(tmp_path, notes, KEY)


def test_a_note_that_cannot_be_written_keeps_the_key_from_being_used(tmp_path: Path) -> None:
    class Away(Noted):
        def add(self, notes: dict[str, str]) -> None:
            raise OSError("nobody answers")

    with pytest.raises(OSError, match="nobody answers"):
        bring(tmp_path, Away())
    # As the pod is started again: the log is there, and noted now.
    notes = Noted()
    start(tmp_path, bring(tmp_path, notes)).close()
    assert notes.added == 1
