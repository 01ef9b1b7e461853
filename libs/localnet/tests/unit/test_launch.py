"""What the kernel keeps a confined child from."""

from __future__ import annotations

import ctypes
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from icn_localnet import launch, processes
from icn_localnet.processes import Confinement


def has_landlock() -> bool:
    return (
        ctypes.CDLL(None).syscall(
            launch.LANDLOCK_CREATE_RULESET, None, 0, launch.LANDLOCK_CREATE_RULESET_VERSION
        )
        >= 1
    )


CHILD = """
import os, sys, time
try:
    exec(sys.argv[1])
except PermissionError:
    print("closed")
except OSError as error:
    print(error)
else:
    print("done")
"""


class Tried:
    """Folders of a platform, and a child that is confined to one of them."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "child.log"
        self.platform = folder / "platform"
        self.own, self.other = self.platform / "own", self.platform / "other"
        self.person = folder / "person" / "keystore"
        for made in (self.own, self.other, self.person):
            made.mkdir(parents=True)
            (made / "secret").write_text("secret")
        self.genesis = self.platform / "genesis.json"
        self.genesis.write_text("{}")
        (folder / "link").symlink_to(self.platform)
        self.confinement = Confinement((self.platform, self.person), (self.own, self.genesis))

    def run(self, statement: str) -> str:
        """``done``, ``closed`` or what else the child said at last."""
        self.log.unlink(missing_ok=True)
        child = processes.spawn(
            [sys.executable, "-I", "-S", "-c", CHILD, statement], log=self.log, confinement=self.confinement
        )
        assert child.wait(30) == 0, self.log.read_text()
        return self.log.read_text().splitlines()[-1]


@pytest.fixture
def tried(tmp_path: Path) -> Tried:
    return Tried(tmp_path)


def test_a_confined_child_uses_its_own_and_what_is_nobodys(tried: Tried) -> None:
    assert tried.run(f"open({str(tried.genesis)!r}).read()") == "done"
    assert tried.run(f"open({str(tried.own / 'new')!r}, 'w').write('x')") == "done"
    deeper = tried.own / "deeper"
    assert (
        tried.run(
            f"os.mkdir({str(deeper)!r}); os.rename({str(tried.own / 'new')!r}, {str(deeper / 'new')!r})"
        )
        == "done"
    )
    assert (deeper / "new").read_text() == "x"
    assert tried.run("open('/etc/passwd').read(); os.listdir('/usr')") == "done"


def test_a_confined_child_cannot_open_what_is_hidden_by_any_name(tried: Tried) -> None:
    secret = tried.other / "secret"
    through_link = tried.log.parent / "link" / "other" / "secret"
    statements = [
        f"open({str(secret)!r}).read()",
        f"open({str(through_link)!r}).read()",
        f"open({str(tried.person / 'secret')!r}).read()",
        f"open('/proc/self/root{secret}').read()",
        f"open({str(secret)!r}, 'w')",
        f"open({str(tried.other / 'new')!r}, 'w')",
        f"os.listdir({str(tried.other)!r})",
        f"os.unlink({str(secret)!r})",
        f"os.rename({str(secret)!r}, {str(tried.own / 'secret')!r})",
        f"os.execv({str(secret)!r}, ['x'])",
        f"os.truncate({str(secret)!r}, 0)",
    ]
    expected = "closed" if has_landlock() else None
    for statement in statements:
        said = tried.run(statement)
        assert expected is None or said == expected, (statement, said)
        if expected is None:
            assert "no Landlock" in tried.log.read_text()
    if expected is not None:
        assert secret.read_text() == "secret"


def test_a_child_starts_though_what_is_beside_comes_and_goes(tried: Tried) -> None:
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            for number in range(200):
                (tried.log.parent / f"file-{number}").touch()
            for number in range(200):
                (tried.log.parent / f"file-{number}").unlink()

    churning = threading.Thread(target=churn)
    churning.start()
    try:
        assert [tried.run("pass") for _ in range(10)] == ["done"] * 10
    finally:
        stop.set()
        churning.join()


def test_what_is_hidden_before_it_is_there_stays_closed(tried: Tried) -> None:
    later = tried.log.parent / "later" / "keystore"
    tried.confinement = Confinement((tried.platform, later), (tried.own,))
    statement = f"""
while not os.path.exists({str(later / "secret")!r}):
    time.sleep(0.01)
open({str(later / "secret")!r}).read()
"""
    making = threading.Timer(0.5, lambda: (later.mkdir(parents=True), (later / "secret").touch()))
    making.start()
    assert tried.run(statement) == ("closed" if has_landlock() else "done")
    making.join()


def test_a_child_hears_an_interrupt_that_whoever_started_us_ignores(tmp_path: Path) -> None:
    """As a shell does with what it starts in the background: a program under a shell then never ended."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        child = processes.spawn(
            ["/bin/sh", "-c", "trap 'exit 7' INT; echo ready; while :; do sleep 0.1; done"],
            log=tmp_path / "log",
        )
    finally:
        signal.signal(signal.SIGINT, before)
    try:
        until((tmp_path / "log").read_text, "ready\n")
        child.send_signal(signal.SIGINT)
        assert child.wait(10) == 7
    finally:
        child.kill()
        child.wait(10)


def until(read: Callable[[], str], wanted: str) -> None:
    deadline = time.monotonic() + 10
    while read() != wanted:
        assert time.monotonic() < deadline, read()
        time.sleep(0.02)
