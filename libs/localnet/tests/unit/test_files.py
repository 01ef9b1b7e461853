from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from icn_localnet import files


def test_a_file_is_replaced_whole_and_leaves_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    files.write_atomically(path, b"one")
    files.write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


def test_a_failed_write_keeps_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    files.write_atomically(path, b"one")

    def fail(_handle: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        files.write_atomically(path, b"two")
    assert path.read_bytes() == b"one"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


def test_a_private_file_is_never_readable_by_others(tmp_path: Path) -> None:
    files.write_private(tmp_path / "key", b"secret")
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


def test_a_secret_is_made_once(tmp_path: Path) -> None:
    first = files.secret(tmp_path / "password")
    assert len(first) >= 32
    assert files.secret(tmp_path / "password") == first
    assert (tmp_path / "password").stat().st_mode & 0o777 == 0o600


def test_a_socket_directory_stays_where_it_is_wanted_up_to_the_last_byte_that_fits(tmp_path: Path) -> None:
    room = files.SOCKET_PATH_BYTES_MAX - files.SOCKET_NAME_BYTES_MAX - 1
    fits = tmp_path / ("a" * (room - len(str(tmp_path)) - 1))
    assert files.socket_directory(fits) == fits
    one_longer = fits.with_name(fits.name + "a")
    short = files.socket_directory(one_longer)
    assert short != one_longer
    assert short == files.socket_directory(one_longer)
    assert short.stat().st_mode & 0o777 == 0o700
    files.remove_socket_directory(one_longer)


def test_a_short_socket_directory_goes_once_it_is_empty_and_a_wanted_one_stays(tmp_path: Path) -> None:
    fits, too_long = tmp_path / "run", tmp_path / ("a" * 100)
    files.socket_directory(fits)
    short = files.socket_directory(too_long)
    (short / "in-use.sock").touch()
    for wanted in (fits, too_long):
        files.remove_socket_directory(wanted)
    assert fits.is_dir() and short.is_dir()
    (short / "in-use.sock").unlink()
    files.remove_socket_directory(too_long)
    files.remove_socket_directory(too_long)
    assert not short.exists()


def test_a_short_socket_directory_that_others_can_enter_is_refused(tmp_path: Path) -> None:
    wanted = tmp_path / ("a" * 100)
    short = files.socket_directory(wanted)
    short.chmod(0o755)
    with pytest.raises(PermissionError, match="not a private directory"):
        files.socket_directory(wanted)
    short.rmdir()


def test_a_free_port_lies_below_the_range_of_outgoing_connections() -> None:
    ephemeral_first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert ephemeral_first > files.PORT_LAST
    assert files.PORT_FIRST <= files.free_port() <= files.PORT_LAST


def test_a_port_that_somebody_listens_on_is_not_free() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        assert not files.is_free(listener.getsockname()[1])


def test_taken_ports_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "PORT_LAST", files.PORT_FIRST + 1)
    monkeypatch.setattr(files, "is_free", lambda _port: True)
    assert files.free_port(taken={files.PORT_FIRST}) == files.PORT_FIRST + 1
    with pytest.raises(files.NoFreePort):
        files.free_port(taken={files.PORT_FIRST, files.PORT_FIRST + 1})


def test_no_port_is_given_twice_before_its_owner_listens() -> None:
    assert len({files.free_port() for _ in range(200)}) == 200


def test_a_private_file_is_not_overwritten_unless_told(tmp_path: Path) -> None:
    path = tmp_path / "key"
    files.write_private(path, b"one")
    with pytest.raises(FileExistsError):
        files.write_private(path, b"two")
    assert path.read_bytes() == b"one"
    files.write_private(path, b"three", may_replace=True)
    assert path.read_bytes() == b"three"
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        files.write_private(tmp_path / "link", b"four")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["key", "link"]
