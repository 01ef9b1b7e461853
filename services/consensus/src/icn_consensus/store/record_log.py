"""The write-ahead log: appended to before anything is sent. Source: docs/spec/wal.md."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from zlib import crc32

from icn_consensus.domain.record_frames import PAYLOAD_BYTES_MAX, Frame, Framing, RecordLogDamaged

MAGIC: Final = b"ICNWAL03"
LOG_ID_BYTES: Final = 16
SEGMENT_BYTES_MAX: Final = 16 * 1024 * 1024
"""Pruning works by the whole file; at 1,500 transfers a second this is about half a minute."""
LOG_BYTES_MAX: Final = 4 * 1024 * 1024 * 1024
"""Without finality nothing can be pruned; the node stops before it fills the disk."""

_HEADER = struct.Struct(">8s32s32s16sIQ28x")
"""Ends where a record may begin."""
VOLUME_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_SUFFIX: Final = ".log"
KEY_NOTE_SUFFIX: Final = ".log-id"
"""Of the file beside the key that names the log it votes with."""
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_WRITE_PARTS_MAX: Final = 1024
"""Buffers of one writev (IOV_MAX on Linux)."""


class RecordLogInUse(Exception):
    """Another process holds this log or key."""


class RecordLogMissing(Exception):
    """The key has voted with another log, which is lost or elsewhere. The node must not vote."""


class RecordLogFull(Exception):
    """The log has grown to LOG_BYTES_MAX without finality."""


class RecordLogFailed(Exception):
    """The disk refused a write or an fdatasync: what is on it is unknown, and the node must stop."""


@dataclass(slots=True)
class _Segment:
    path: Path
    first_sequence: int
    size_bytes: int
    newest: tuple[int, int] = (0, 0)
    """Highest (epoch, view) that a record in it is about."""


class RecordLog:
    """An append-only log of record payloads. Made by `open`; one process at a time.

    Everything here blocks: an fdatasync of a vote takes 0.3 ms on the disks we measured, less than handing
    it to a thread and waiting for the answer would delay the vote.
    """

    def __init__(self, folder: Path, genesis_hash: bytes, public_key: bytes) -> None:
        self._folder = folder
        self._genesis_hash = genesis_hash
        self._public_key = public_key
        self._locks: list[int] = []
        self._segments: list[_Segment] = []
        self._file = -1
        self._has_unsynced = False
        self._has_failed = False
        self.log_id = b""
        """Random name of this log, 16 bytes."""
        self._framing = Framing(b"")
        self.sequence = 0
        """Of the record appended last; 0 before the first."""
        self.synced_sequence = 0
        """Of the last record that is durable."""

    @classmethod
    def open(
        cls, folder: Path, *, genesis_hash: bytes, public_key: bytes, key_file: Path | None = None
    ) -> RecordLog:
        """Lock the folder (made if missing) and the key file, and check what is there.

        Raises:
            RecordLogInUse: another process holds either lock.
            RecordLogDamaged: see docs/spec/wal.md, "Reading at start".
            RecordLogMissing: see there.
            RecordLogFailed: the volume is full.
            OSError: the folder or key file cannot be used.
        """
        log = cls(folder, genesis_hash, public_key)
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            log._lock(folder / "lock", os.O_RDWR | os.O_CREAT)
            if key_file is not None:
                log._lock(key_file, os.O_RDONLY)
            if key_file is None:
                log._load("")
            else:
                note = key_file.with_name(key_file.name + KEY_NOTE_SUFFIX)
                noted = note.read_text("ascii").strip() if note.exists() else ""
                log._load(noted)
                if not noted:
                    log._note_in(note)
        except BaseException as error:
            log.close()
            if isinstance(error, OSError) and error.errno in VOLUME_FULL:
                raise _failed(folder.parent, error) from error
            raise
        return log

    def payloads(self) -> Iterator[bytes]:
        """Every record's payload, in the order they were appended. Called before the first `append`."""
        for position, segment in enumerate(self._segments):
            for frame in self._frames(segment, is_last=position == len(self._segments) - 1):
                yield frame.payload

    def append(self, payload: bytes, epoch: int, view: int) -> None:
        """Write a record; durable after the next `sync`.

        Raises:
            RecordLogFull, RecordLogFailed: see there.
        """
        assert 1 <= len(payload) <= PAYLOAD_BYTES_MAX, "callers bound their payloads by the block limit"
        assert not self._has_failed, "a node whose log has failed stops"
        if self._segments[-1].size_bytes >= SEGMENT_BYTES_MAX:
            self.sync()
            with self._or_fail():
                self._begin_segment()
        sequence = self.sequence + 1
        parts = self._framing.parts(payload, sequence, self.synced_sequence, epoch, view)
        with self._or_fail():
            _write_all(self._file, parts)
        segment = self._segments[-1]
        segment.size_bytes += sum(map(len, parts))
        segment.newest = max(segment.newest, (epoch, view))
        self.sequence = sequence
        self._has_unsynced = True

    def sync(self) -> None:
        """Return when everything appended is on disk; nothing happens when it is already.

        Raises:
            RecordLogFailed: see there.
        """
        if self._has_unsynced:
            with self._or_fail():
                os.fdatasync(self._file)
            self._has_unsynced = False
            self.synced_sequence = self.sequence

    def prune(self, epoch: int, view: int) -> None:
        """Remove segments about nothing but what lies below (epoch, view) of a block in the block store."""
        while len(self._segments) > 1 and self._segments[0].newest < (epoch, view):
            self._segments.pop(0).path.unlink()
            _sync_folder(self._folder)  # one by one: a crash must not leave an older one without a newer

    @property
    def place(self) -> str:
        """Names the folder's lock on this machine since it was booted: who holds it knows that whoever held
        it before is gone. Empty where the system does not say when it was booted."""
        with suppress(OSError):
            lock = os.fstat(self._locks[0])
            return f"{_BOOT_ID.read_text('ascii').strip()}/{lock.st_dev}/{lock.st_ino}"
        return ""

    @property
    def size_bytes(self) -> int:
        """Of all segments."""
        return sum(segment.size_bytes for segment in self._segments)

    def close(self) -> None:
        """Make durable what was appended, let go of the locks.

        A log that has failed is not synced again: a second fdatasync may succeed without what the first lost.
        """
        if self._file >= 0:
            if not self._has_failed:
                self.sync()
            os.close(self._file)
            self._file = -1
        for handle in self._locks:
            os.close(handle)
        self._locks.clear()

    @contextmanager
    def _or_fail(self) -> Iterator[None]:
        """Note that the disk refused; nothing is written or synced afterwards."""
        try:
            yield
        except OSError as error:
            self._has_failed = True
            raise _failed(self._folder, error) from error

    def _lock(self, path: Path, flags: int) -> None:
        handle = os.open(path, flags | os.O_CLOEXEC, 0o600)
        self._locks.append(handle)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RecordLogInUse(f"another process holds {path}") from None

    def _note_in(self, note: Path) -> None:
        """Put on disk that the key votes with this log, before it votes.

        Where keys lie on a read-only volume nothing can be noted: the block store notices a lost log then.
        """
        temporary = note.with_name(note.name + ".new")
        try:
            with temporary.open("w", encoding="ascii") as file:
                file.write(self.log_id.hex() + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
                return
            raise
        temporary.rename(note)
        _sync_folder(note.parent)

    def _load(self, expected_log_id: str) -> None:
        paths = sorted(path for path in self._folder.iterdir() if path.suffix == _SUFFIX)
        self._drop_torn_beginning(paths)
        for position, path in enumerate(paths):
            self._load_segment(path, is_last=position == len(paths) - 1)
        if expected_log_id and self.log_id.hex() != expected_log_id:
            found = f"the log here is {self.log_id.hex()}" if self._segments else "there is none here"
            raise RecordLogMissing(
                f"the key has voted with record log {expected_log_id} and {found}: it might contradict "
                "itself; without that log the organization has to sign a new consensus key"
            )
        if not self._segments:
            self._take_id(secrets.token_bytes(LOG_ID_BYTES))
            self._begin_segment()
            return
        last = self._segments[-1]
        self._file = os.open(last.path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        if last.path.stat().st_size != last.size_bytes:
            os.ftruncate(self._file, last.size_bytes)
        # What is read may still be in the page cache only; what will be said depends on it.
        os.fsync(self._file)
        self.synced_sequence = self.sequence

    def _drop_torn_beginning(self, paths: list[Path]) -> None:
        """Remove a last segment that a crash left without a whole header: it holds no record yet."""
        if not paths or paths[-1].stat().st_size > _HEADER.size:
            return
        header = paths[-1].read_bytes()
        if len(header) < _HEADER.size or _HEADER.unpack(header)[4] != _header_crc(header):
            paths.pop().unlink()
            _sync_folder(self._folder)

    def _load_segment(self, path: Path, *, is_last: bool) -> None:
        with path.open("rb") as file:
            first_sequence = self._check_header(path, file.read(_HEADER.size))
        if self._segments and first_sequence != self.sequence + 1:
            raise RecordLogDamaged(f"{path} begins at {first_sequence}, not at {self.sequence + 1}")
        segment = _Segment(path, first_sequence, _HEADER.size)
        self.sequence = first_sequence - 1
        for frame in self._frames(segment, is_last=is_last):
            segment.size_bytes = frame.end
            segment.newest = max(segment.newest, (frame.epoch, frame.view))
            self.sequence = frame.sequence
        self._segments.append(segment)

    def _check_header(self, path: Path, header: bytes) -> int:
        if len(header) < _HEADER.size:
            raise RecordLogDamaged(f"{path} has no header")
        magic, genesis_hash, public_key, log_id, crc, first_sequence = _HEADER.unpack(header)
        if magic != MAGIC or crc != _header_crc(header):
            raise RecordLogDamaged(f"{path} has no valid header")
        if (genesis_hash, public_key) != (self._genesis_hash, self._public_key):
            raise RecordLogDamaged(f"{path} belongs to another zone or key")
        if path.name != _name(first_sequence):
            raise RecordLogDamaged(f"{path} should be named {_name(first_sequence)}")
        if self.log_id and log_id != self.log_id:
            raise RecordLogDamaged(f"{path} belongs to another log")
        self._take_id(log_id)
        return int(first_sequence)

    def _take_id(self, log_id: bytes) -> None:
        self.log_id = log_id
        self._framing = Framing(log_id)

    def _frames(self, segment: _Segment, *, is_last: bool) -> Iterator[Frame]:
        """Valid records of a segment up to its end or its torn tail."""
        content = segment.path.read_bytes()
        return self._framing.read(
            content, _HEADER.size, segment.first_sequence, is_last=is_last, where=segment.path
        )

    def _begin_segment(self) -> None:
        if self.size_bytes >= LOG_BYTES_MAX:
            raise RecordLogFull(f"{self.size_bytes} bytes of records without finality")
        first_sequence = self.sequence + 1
        path = self._folder / _name(first_sequence)
        fields = (MAGIC, self._genesis_hash, self._public_key, self.log_id)
        crc = _header_crc(_HEADER.pack(*fields, 0, first_sequence))
        file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        _write_all(file, (_HEADER.pack(*fields, crc, first_sequence),))
        os.fsync(file)
        _sync_folder(self._folder)
        if self._file >= 0:
            os.close(self._file)
        self._file = file
        self._segments.append(_Segment(path, first_sequence, _HEADER.size))


def _failed(folder: Path, error: OSError) -> RecordLogFailed:
    """Why nothing can be written, and of a full volume what to do."""
    why = f"{folder} cannot be written: {error.strerror}"
    if error.errno in VOLUME_FULL:
        volume = os.statvfs(folder)
        mebibytes = volume.f_frsize / 2**20
        why += (
            f", {volume.f_bavail * mebibytes:.0f} of {volume.f_blocks * mebibytes:.0f} MiB are free. Make "
            "the volume larger and start again; it must not be emptied, for it says what the key has signed"
        )
    return RecordLogFailed(why)


def key_of_log(folder: Path) -> bytes | None:
    """The public key that a log was made for; None where there is no log, or none whose header is whole."""
    for path in sorted(folder.glob(f"*{_SUFFIX}"))[:1]:
        with path.open("rb") as file:
            header = file.read(_HEADER.size)
        if len(header) == _HEADER.size:
            _, _, public_key, _, crc, _ = _HEADER.unpack(header)
            return bytes(public_key) if crc == _header_crc(header) else None
    return None


def _name(first_sequence: int) -> str:
    return f"{first_sequence:020d}{_SUFFIX}"


def _header_crc(header: bytes) -> int:
    return crc32(header[92:], crc32(header[:88]))


def _write_all(file: int, parts: tuple[bytes, ...]) -> None:
    assert len(parts) <= _WRITE_PARTS_MAX, "a record has three parts"
    written = os.writev(file, parts)
    total = sum(map(len, parts))
    if written < total:  # a signal or a nearly full disk: the rest, or the error that stopped it
        rest = memoryview(b"".join(parts))[written:]
        while rest:
            rest = rest[os.write(file, rest) :]


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
