from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from icn_consensus.domain.record_frames import RecordLogDamaged
from icn_consensus.store import record_log
from icn_consensus.store.record_log import RecordLog, RecordLogFailed, RecordLogInUse

from .power_loss import Power

GENESIS = bytes(range(32))
KEY = b"k" * 32
HEADER_BYTES = 128


@pytest.fixture
def power(monkeypatch: pytest.MonkeyPatch) -> Power:
    return Power(monkeypatch)


payload_lists = st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=12)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "record"


def open_log(folder: Path, **options: object) -> RecordLog:
    return RecordLog.open(folder, genesis_hash=GENESIS, public_key=KEY, **options)  # type: ignore[arg-type]


def filled(folder: Path, payloads: list[bytes]) -> Path:
    """A closed log with these records; gives its last segment."""
    log = open_log(folder)
    for view, payload in enumerate(payloads, start=1):
        log.append(payload, 0, view)
    log.close()
    return sorted(folder.glob("*.log"))[-1]


def record_bytes(payload: bytes) -> int:
    """Of a record, header and filling included."""
    return (48 + len(payload)) // 64 * 64 + 64


def reopened(folder: Path) -> list[bytes]:
    log = open_log(folder)
    payloads = list(log.payloads())
    log.close()
    return payloads


class Folder:
    """A fresh folder per hypothesis example."""

    def __enter__(self) -> Path:
        self.path = Path(tempfile.mkdtemp(prefix="icn-record-"))
        return self.path

    def __exit__(self, *_exception: object) -> None:
        shutil.rmtree(self.path)


def test_a_new_log_is_empty_and_has_a_name_of_its_own(folder: Path, tmp_path: Path) -> None:
    log, other = open_log(folder), open_log(tmp_path / "other")
    assert list(log.payloads()) == []
    assert (log.sequence, log.synced_sequence) == (0, 0)
    assert len(log.log_id) == 16
    assert log.log_id != other.log_id
    log.close()
    other.close()


def test_what_was_appended_is_read_back_in_order(folder: Path) -> None:
    filled(folder, [b"one", b"two", b"three"])
    assert reopened(folder) == [b"one", b"two", b"three"]


def test_a_reopened_log_goes_on_where_it_ended(folder: Path) -> None:
    filled(folder, [b"one"])
    log = open_log(folder)
    log.append(b"two", 0, 2)
    log.close()
    assert reopened(folder) == [b"one", b"two"]


def test_only_a_sync_makes_records_count_as_durable(folder: Path) -> None:
    log = open_log(folder)
    log.append(b"one", 0, 1)
    assert (log.sequence, log.synced_sequence) == (1, 0)
    log.sync()
    assert log.synced_sequence == 1
    log.close()


@settings(max_examples=40)  # each example syncs a real file
@given(payloads=payload_lists, data=st.data())
def test_a_log_cut_anywhere_in_its_last_record_keeps_all_records_before(
    payloads: list[bytes], data: st.DataObject
) -> None:
    with Folder() as folder:
        segment = filled(folder, payloads)
        last = record_bytes(payloads[-1])
        lost = data.draw(st.integers(1, last), label="bytes lost")
        os.truncate(segment, segment.stat().st_size - lost)
        assert reopened(folder) == payloads[:-1]


@settings(max_examples=40)  # each example syncs a real file
@given(payloads=payload_lists, zeros=st.integers(1, 5_000))
def test_zeros_that_a_file_system_left_behind_the_last_record_are_cut_off(
    payloads: list[bytes], zeros: int
) -> None:
    with Folder() as folder:
        segment = filled(folder, payloads)
        os.truncate(segment, segment.stat().st_size + zeros)
        assert reopened(folder) == payloads


@settings(max_examples=40)  # each example syncs a real file
@given(payloads=payload_lists, data=st.data())
def test_a_flipped_bit_anywhere_is_damage(payloads: list[bytes], data: st.DataObject) -> None:
    """Also in the newest record, which nothing behind it speaks of: it was synced, and its vote was sent."""
    with Folder() as folder:
        segment = filled(folder, payloads)
        content = bytearray(segment.read_bytes())
        at = data.draw(st.integers(0, len(content) - 1), label="byte")
        content[at] ^= 1 << data.draw(st.integers(0, 7), label="bit")
        segment.write_bytes(content)
        with pytest.raises(RecordLogDamaged, match=r"must not vote again; .* new consensus key"):
            reopened(folder)


@pytest.mark.parametrize(
    "sequences", [(0, 0, 1), (0, 0), (0, 2)], ids=["before others", "at the end", "a gap"]
)
def test_a_record_in_another_ones_place_is_damage(folder: Path, sequences: tuple[int, ...]) -> None:
    segment = filled(folder, [b"one", b"two", b"six"])
    content = segment.read_bytes()
    size = record_bytes(b"one")
    records = [content[HEADER_BYTES + size * number :][:size] for number in range(3)]
    segment.write_bytes(content[:HEADER_BYTES] + b"".join(records[number] for number in sequences))
    with pytest.raises(RecordLogDamaged, match=f"at byte {HEADER_BYTES + size}"):
        reopened(folder)


@pytest.fixture
def small_segments(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(record_log, "SEGMENT_BYTES_MAX", 200)
    yield


@pytest.mark.usefixtures("small_segments")
class TestSegments:
    def test_records_of_all_segments_are_read_in_order(self, folder: Path) -> None:
        payloads = [b"record %d" % number for number in range(50)]
        filled(folder, payloads)
        assert len(list(folder.glob("*.log"))) > 5
        assert reopened(folder) == payloads

    def test_a_missing_segment_is_damage(self, folder: Path) -> None:
        filled(folder, [b"record %d" % number for number in range(50)])
        sorted(folder.glob("*.log"))[2].unlink()
        with pytest.raises(RecordLogDamaged, match="begins at"):
            reopened(folder)

    def test_a_torn_tail_in_a_segment_that_is_not_the_last_is_damage(self, folder: Path) -> None:
        filled(folder, [b"record %d" % number for number in range(50)])
        segment = sorted(folder.glob("*.log"))[1]
        os.truncate(segment, segment.stat().st_size - 1)
        with pytest.raises(RecordLogDamaged):
            reopened(folder)

    @pytest.mark.parametrize("left", [0, 1, HEADER_BYTES - 1, HEADER_BYTES])
    def test_a_last_segment_whose_header_a_crash_tore_is_removed(self, folder: Path, left: int) -> None:
        payloads = [b"record %d" % number for number in range(50)]
        last = filled(folder, payloads)
        torn = last.with_name(f"{1_000:020d}.log")
        torn.write_bytes(bytes(left))
        assert reopened(folder) == payloads
        assert not torn.exists()

    def test_a_segment_of_another_log_is_damage(self, folder: Path, tmp_path: Path) -> None:
        payloads = [b"record %d" % number for number in range(50)]
        filled(folder, payloads)
        filled(tmp_path / "other", payloads)
        name = sorted(folder.glob("*.log"))[2].name
        shutil.copy(tmp_path / "other" / name, folder / name)
        with pytest.raises(RecordLogDamaged, match="another log"):
            reopened(folder)

    def test_pruning_removes_exactly_the_segments_about_lower_views(self, folder: Path) -> None:
        log = open_log(folder)
        for view in range(1, 51):
            log.append(b"of view %02d" % view, 0, view)
        first = sorted(folder.glob("*.log"))[0]
        kept_views = [int(name.name[:20]) for name in sorted(folder.glob("*.log"))]
        newest_of_first = kept_views[1] - 1
        log.prune(0, newest_of_first)
        assert first.exists(), "it holds a record about that very view"
        log.prune(0, newest_of_first + 1)
        assert not first.exists()
        log.close()
        assert reopened(folder) == [b"of view %02d" % view for view in range(newest_of_first + 1, 51)]

    def test_pruning_keeps_the_segment_that_is_written(self, folder: Path) -> None:
        log = open_log(folder)
        log.append(b"one", 0, 1)
        log.prune(9, 9)
        log.append(b"two", 0, 2)
        log.close()
        assert reopened(folder) == [b"one", b"two"]

    def test_a_later_epoch_is_higher_whatever_the_view(self, folder: Path) -> None:
        log = open_log(folder)
        for view in range(1, 51):
            log.append(b"of view %02d" % view, 3, view)
        count = len(list(folder.glob("*.log")))
        log.prune(2, 1_000)
        assert len(list(folder.glob("*.log"))) == count
        log.prune(4, 0)
        assert len(list(folder.glob("*.log"))) == 1
        log.close()

    def test_a_loss_of_power_at_any_moment_leaves_all_that_was_synced_in_order(
        self, folder: Path, tmp_path: Path, power: Power
    ) -> None:
        log = open_log(folder)
        payloads = [b"record %02d" % number for number in range(30)]
        appended, synced = 0, 0

        def lose_power() -> None:
            left = reopened(power.image(folder, tmp_path / "left"))
            assert synced <= len(left) <= appended
            assert left == payloads[: len(left)]

        power.on_sync = lose_power
        for payload in payloads:
            log.append(payload, 0, 1 + appended)
            appended += 1
            lose_power()
            if appended % 4 == 0:
                log.sync()
                synced = appended
                lose_power()
        power.on_sync = None
        log.close()
        assert len(list(folder.glob("*.log"))) > 5

    def test_a_loss_of_power_while_old_segments_go_leaves_no_gap(
        self, folder: Path, tmp_path: Path, power: Power
    ) -> None:
        payloads = [b"record %02d" % number for number in range(30)]
        filled(folder, payloads)
        log = open_log(folder)
        left: list[list[bytes]] = []
        power.on_sync = lambda: left.append(reopened(power.image(folder, tmp_path / "left")))
        log.prune(0, 25)
        power.on_sync = None
        log.close()
        assert len(left) > 10
        assert all(kept == payloads[-len(kept) :] for kept in left)
        assert len(left[-1]) < 15

    def test_a_log_that_nothing_prunes_stops_the_node_before_the_disk_is_full(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(record_log, "LOG_BYTES_MAX", 1_000)
        log = open_log(folder)
        with pytest.raises(record_log.RecordLogFull):
            for view in range(1, 100):
                log.append(b"of view %02d" % view, 0, view)
        log.close()


def test_what_a_killed_process_left_unsynced_is_synced_before_it_is_relied_on(
    folder: Path, tmp_path: Path, power: Power
) -> None:
    killed = open_log(folder)
    killed.append(b"a vote", 0, 1)
    for handle in (killed._file, *killed._locks):
        os.close(handle)
    log = open_log(folder)
    assert list(log.payloads()) == [b"a vote"]
    assert reopened(power.image(folder, tmp_path / "left")) == [b"a vote"]
    log.close()


def test_which_log_a_key_votes_with_is_on_disk_before_its_first_record(
    folder: Path, tmp_path: Path, power: Power
) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    (keys / "key.json").write_text("{}")
    log = open_log(folder, key_file=keys / "key.json")
    left = power.image(keys, tmp_path / "left")
    assert (left / "key.json.log-id").read_text() == log.log_id.hex() + "\n"
    log.close()


def test_a_sync_of_nothing_new_costs_nothing(folder: Path, power: Power) -> None:
    log = open_log(folder)
    log.append(b"one", 0, 1)
    before = power.syncs
    log.sync()
    log.sync()
    assert power.syncs == before + 1
    log.close()


def test_a_second_process_cannot_open_the_log(folder: Path) -> None:
    log = open_log(folder)
    with pytest.raises(RecordLogInUse):
        open_log(folder)
    log.close()
    open_log(folder).close()


def test_a_second_process_cannot_use_the_key_with_a_log_of_its_own(folder: Path, tmp_path: Path) -> None:
    key_file = tmp_path / "key.json"
    key_file.write_text("{}")
    key_file.chmod(0o400)
    log = open_log(folder, key_file=key_file)
    with pytest.raises(RecordLogInUse):
        open_log(tmp_path / "other", key_file=key_file)
    log.close()


@pytest.mark.parametrize(("genesis_hash", "public_key"), [(bytes(32), KEY), (GENESIS, bytes(32))])
def test_a_log_of_another_zone_or_key_is_refused(
    folder: Path, genesis_hash: bytes, public_key: bytes
) -> None:
    filled(folder, [b"one"])
    with pytest.raises(RecordLogDamaged, match="another zone or key"):
        RecordLog.open(folder, genesis_hash=genesis_hash, public_key=public_key)


def test_a_segment_under_another_name_is_refused(folder: Path) -> None:
    segment = filled(folder, [b"one"])
    segment.rename(segment.with_name(f"{7:020d}.log"))
    with pytest.raises(RecordLogDamaged, match="should be named"):
        reopened(folder)


FILLING = """
import resource, sys
from pathlib import Path
from icn_consensus.store.record_log import RecordLog, RecordLogFailed

log = RecordLog.open(Path(sys.argv[1]), genesis_hash=bytes(range(32)), public_key=b"k" * 32)
log.append(b"durable", 0, 1)
log.sync()
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    log.append(b"x" * 10_000, 0, 2)
except RecordLogFailed as failure:
    print(failure)
    log.close()
    sys.exit(0)
sys.exit(1)
"""


@pytest.mark.parametrize("left", [0, 1, 47, 48, 49, 5_000])
def test_a_disk_that_takes_a_part_of_a_record_ends_the_log_and_the_part_is_cut_off(
    folder: Path, left: int
) -> None:
    size = HEADER_BYTES + record_bytes(b"durable")
    filling = subprocess.run(
        [sys.executable, "-c", FILLING, str(folder), str(size + left)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "cannot be written" in filling.stdout
    assert next(folder.glob("*.log")).stat().st_size == size + left
    log = open_log(folder)
    assert list(log.payloads()) == [b"durable"]
    log.append(b"there is room again", 0, 2)
    log.close()


def test_a_log_whose_sync_failed_is_not_synced_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second fdatasync may report success for what the first one lost."""
    log = open_log(folder)
    log.append(b"one", 0, 1)
    asked: list[int] = []

    def fail(file: int) -> None:
        asked.append(file)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fdatasync", fail)
    with pytest.raises(record_log.RecordLogFailed, match="Input/output error"):
        log.sync()
    log.close()
    assert (len(asked), log.synced_sequence) == (1, 0)


def test_a_full_volume_is_told_with_its_size_and_what_to_do(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = open_log(folder)

    def refuse(_file: int, _parts: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(record_log, "_write_all", refuse)
    with pytest.raises(RecordLogFailed, match=r"No space left on device, \d+ of \d+ MiB are free\. Make"):
        log.append(b"vote", 0, 1)
    log.close()
    with pytest.raises(RecordLogFailed, match="it must not be emptied"):
        open_log(folder.parent / "new" / "record")
