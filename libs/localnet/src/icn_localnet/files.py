"""Files and addresses of a local network: private files, atomic writes, short socket paths, free ports."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import itertools
import os
import secrets
import socket
import stat
import tempfile
from pathlib import Path

SOCKET_PATH_BYTES_MAX = 107
"""``sun_path`` has 108 bytes with its closing zero on Linux (unix(7))."""
SOCKET_NAME_BYTES_MAX = 24
"""``.s.PGSQL.5432.lock`` has 18; ours are not longer than this."""

PORT_FIRST, PORT_LAST = 20_000, 29_999
"""Below the range from which Linux takes the local ports of outgoing connections (32768 on), so that a port
is still free when the process that owns it starts again."""
PORT_TRIES_MAX = 2_000

_port_offsets = itertools.count(secrets.randbelow(PORT_LAST - PORT_FIRST + 1))

SECRET_BYTES = 24
SEALING_KEY_BYTES = 32
"""docs/spec/blobs.md, "Sealing"."""


class NoFreePort(OSError):
    """No port of the range was free in PORT_TRIES_MAX tries."""


def write_atomically(path: Path, content: bytes, *, mode: int = 0o644, may_replace: bool = True) -> None:
    """Write ``path`` so that a reader, also one after a crash, sees the old or the new content, whole.

    Raises:
        FileExistsError: something is there that it may not replace.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        if may_replace:
            temporary.replace(path)
        else:
            os.link(temporary, path)  # which fails where a rename would replace
    finally:
        temporary.unlink(missing_ok=True)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def write_private(path: Path, content: bytes, *, may_replace: bool = False) -> None:
    """Write a file that only its owner can read; as `write_atomically`."""
    write_atomically(path, content, mode=0o600, may_replace=may_replace)


def secret(path: Path) -> str:
    """The secret kept in ``path``, made when it is missing; URL-safe text."""
    try:
        return path.read_text("ascii").strip()
    except FileNotFoundError:
        text = secrets.token_urlsafe(SECRET_BYTES)
        make_private_directory(path.parent)
        write_private(path, text.encode())
        return text


def sealing_key(path: Path) -> Path:
    """The file, made with SEALING_KEY_BYTES random bytes when it is missing."""
    if not path.is_file():
        make_private_directory(path.parent)
        write_private(path, secrets.token_bytes(SEALING_KEY_BYTES))
    return path


def make_private_directory(path: Path) -> Path:
    """Make ``path`` with its parents; it is readable by its owner only."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.chmod(0o700)
    return path


def socket_directory(wanted: Path) -> Path:
    """A private directory for sockets: ``wanted``, or one in the temporary folder when that path is too long.

    The short one is named after ``wanted``, so a restart finds it again.

    Raises:
        PermissionError: the short name belongs to somebody else.
    """
    if _holds_sockets(wanted.absolute()):
        return make_private_directory(wanted.absolute())
    short = _short_name(wanted)
    short.mkdir(mode=0o700, exist_ok=True)
    status = short.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise PermissionError(f"{short} is not a private directory of this user; remove it")
    return short


def remove_socket_directory(wanted: Path) -> None:
    """Take away the short one of `socket_directory` once its sockets are gone; ``wanted`` itself stays."""
    if not _holds_sockets(wanted.absolute()):
        with contextlib.suppress(OSError):  # never made, or a socket is left in it
            _short_name(wanted).rmdir()


def _short_name(wanted: Path) -> Path:
    """Named after ``wanted`` and this user."""
    digest = hashlib.sha256(os.fsencode(wanted.absolute())).hexdigest()[:16]
    name = f"icn-{os.geteuid()}-{digest}"
    short = Path(tempfile.gettempdir()) / name
    return short if _holds_sockets(short) else Path("/tmp") / name  # noqa: S108 - checked to be private and ours


def _holds_sockets(directory: Path) -> bool:
    """Whether the path leaves room for a socket's name."""
    return len(os.fsencode(directory)) + 1 + SOCKET_NAME_BYTES_MAX <= SOCKET_PATH_BYTES_MAX


def free_port(*, taken: set[int] | None = None) -> int:
    """A loopback TCP port that nobody listens on, and that is not in ``taken``.

    A process starts somewhere in the range and goes on from there, so that it gives no port twice before its
    owner listens, and two processes side by side rarely give the same.

    Raises:
        NoFreePort: see there.
    """
    for _ in range(PORT_TRIES_MAX):
        port = PORT_FIRST + next(_port_offsets) % (PORT_LAST - PORT_FIRST + 1)
        if (taken is None or port not in taken) and is_free(port):
            return port
    raise NoFreePort(f"no free port between {PORT_FIRST} and {PORT_LAST}")


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen on the port of this host's now. False for a host that is not this
    machine."""
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, _, _, address = found[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError:
        return False
    return True


def sync_file_system(path: Path) -> None:
    """Return when everything written to the file system of ``path`` is on disk (syncfs(2))."""
    handle = os.open(path, os.O_RDONLY)
    try:
        library = ctypes.CDLL(None, use_errno=True)
        if library.syncfs(handle) != 0:
            raise OSError(ctypes.get_errno(), "syncfs")
    finally:
        os.close(handle)
