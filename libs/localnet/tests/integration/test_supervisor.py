from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from icn_localnet import files, processes
from icn_localnet.hosted import HostedProcess
from icn_localnet.processes import ProcessFailed
from icn_localnet.supervisor import AlreadyRunning, ProcessTable, Stage, Supervisor, hold, release


def web_server(directory: Path, name: str) -> HostedProcess:
    """A process that is healthy: the standard library's web server over a folder with a file ``healthz``."""
    (directory / "healthz").write_text("ok")
    port = files.free_port()
    return HostedProcess(
        ["http.server", str(port), "--bind", "127.0.0.1", "--directory", str(directory)],
        health=f"127.0.0.1:{port}",
        log=directory / f"{name}.log",
    )


class Published:
    def __init__(self) -> None:
        self.table: ProcessTable = {}

    def __call__(self, table: ProcessTable) -> None:
        self.table = table


async def until_state(published: Published, name: str, state: str, seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while published.table[name]["state"] != state:  # noqa: ASYNC110 - told by a plain callback
            await asyncio.sleep(0.02)


@pytest.fixture
def published() -> Published:
    return Published()


@pytest.fixture
async def supervisor(tmp_path: Path, published: Published) -> AsyncIterator[Supervisor]:
    made = Supervisor(tmp_path, published)
    made.lock()
    yield made
    await made.stop()


def two_parts(directory: Path) -> list[Stage]:
    return [
        Stage({"first": web_server(directory, "first")}),
        Stage({"second": web_server(directory, "second")}),
    ]


async def test_what_is_killed_runs_again_within_five_seconds_and_the_rest_is_untouched(
    supervisor: Supervisor, published: Published, tmp_path: Path
) -> None:
    await supervisor.start(two_parts(tmp_path))
    before = published.table
    assert before["first"]["state"] == before["second"]["state"] == "running"
    killed_at = time.monotonic()
    os.kill(before["second"]["pid"], signal.SIGKILL)
    await until_state(published, "second", "waiting")
    await until_state(published, "second", "running")
    assert time.monotonic() - killed_at < 5
    assert published.table["second"]["pid"] != before["second"]["pid"]
    assert published.table["second"]["restarts"] == 1
    assert published.table["first"] == before["first"]


async def test_a_held_part_stays_down_until_it_is_released(
    supervisor: Supervisor, published: Published, tmp_path: Path
) -> None:
    await supervisor.start(two_parts(tmp_path))
    hold(tmp_path, "first", published.table["first"]["pid"])
    await until_state(published, "first", "held")
    await asyncio.sleep(0.6)
    assert published.table["first"] == {"pid": None, "state": "held", "restarts": 1}
    release(tmp_path, "first")
    await until_state(published, "first", "running")


async def test_a_part_that_does_not_come_up_stops_what_had_come_up(
    supervisor: Supervisor, published: Published, tmp_path: Path
) -> None:
    broken = HostedProcess(["module_that_is_not_there"], health="127.0.0.1:1", log=tmp_path / "broken.log")
    first = web_server(tmp_path, "first")
    with pytest.raises(
        ProcessFailed, match=r"broken: ended with 1: .*No module named module_that_is_not_there"
    ):
        await supervisor.start([Stage({"first": first}), Stage({"broken": broken})])
    assert first.pid is None
    assert published.table["first"]["state"] == "stopped"


async def test_a_spare_part_that_does_not_come_up_is_tried_again_while_the_others_serve(
    supervisor: Supervisor, published: Published, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "broken.log"
    words = '{"event": "process failed", "exception": "Traceback ...\\nNoKey: the key is not there"}'
    program = tmp_path / "talker.py"
    program.write_text(f"print({words!r}, flush=True)\nraise SystemExit(1)\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    broken = HostedProcess(["talker"], health="127.0.0.1:1", log=log, environment=environment)
    spare = {"first": 0, "broken": 1}
    await supervisor.start(
        [Stage({"first": web_server(tmp_path, "first"), "broken": broken}, spare=spare, spare_max=1)]
    )
    assert published.table["first"]["state"] == "running"
    assert "broken: ended with 1: NoKey: the key is not there" in capfd.readouterr().err
    async with asyncio.timeout(5):
        while published.table["broken"]["restarts"] < 2:  # noqa: ASYNC110 - told by a plain callback
            await asyncio.sleep(0.02)


async def test_more_spare_parts_away_than_allowed_stop_what_had_come_up(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    parts = {
        name: HostedProcess(["module_that_is_not_there"], health="127.0.0.1:1", log=tmp_path / name)
        for name in ("a", "b")
    }
    with pytest.raises(ProcessFailed, match="a: ended with 1"):
        await supervisor.start([Stage(parts, spare={"a": 0, "b": 1}, spare_max=1)])


async def test_all_parts_of_one_seat_may_be_away(supervisor: Supervisor, tmp_path: Path) -> None:
    broken = {
        name: HostedProcess(["module_that_is_not_there"], health="127.0.0.1:1", log=tmp_path / name)
        for name in ("a", "b")
    }
    parts = {**broken, "first": web_server(tmp_path, "first")}
    await supervisor.start([Stage(parts, spare={"a": 3, "b": 3}, spare_max=1)])
    assert supervisor.table()["first"]["state"] == "running"


async def test_a_part_that_keeps_dying_is_tried_ever_more_slowly_but_at_least_every_four_seconds(
    supervisor: Supervisor, published: Published, tmp_path: Path
) -> None:
    await supervisor.start(two_parts(tmp_path))
    for restarts in (1, 2, 3):
        os.kill(published.table["first"]["pid"], signal.SIGKILL)
        await until_state(published, "first", "waiting")
        await until_state(published, "first", "running", seconds=0.25 * 2**restarts + 4)
        assert published.table["first"]["restarts"] == restarts


async def test_a_second_supervisor_of_the_same_directory_is_refused(
    supervisor: Supervisor, published: Published, tmp_path: Path
) -> None:
    with pytest.raises(AlreadyRunning, match="is running already"):
        Supervisor(tmp_path, published).lock()


async def test_stopping_frees_the_directory(
    supervisor: Supervisor, published: Published, tmp_path: Path
) -> None:
    await supervisor.start(two_parts(tmp_path))
    pids = [entry["pid"] for entry in published.table.values()]
    await supervisor.stop()
    assert not any(processes.is_alive(pid) for pid in pids)
    again = Supervisor(tmp_path, published)
    again.lock()
    await again.stop()


@pytest.mark.parametrize("identity", ["keep", "namespace"])
def test_nothing_outlives_a_killed_parent(tmp_path: Path, identity: str) -> None:
    if identity == "namespace" and not processes.can_enter_user_namespace():
        pytest.skip("user namespaces are forbidden here")
    program = (
        "import pathlib, sys, time\n"
        "from icn_localnet import processes\n"
        f"child = processes.spawn(['/bin/sleep', '60'], log=pathlib.Path({str(tmp_path / 'log')!r}),"
        f" identity={identity!r})\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    time.sleep(0.3)  # the launcher has become the program
    assert processes.is_alive(child)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert processes.wait_until_gone([child], 5)


async def test_children_are_not_started_from_other_threads(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="from the main thread"):
        await asyncio.to_thread(processes.spawn, ["/bin/true"], log=tmp_path / "log")


def test_a_log_past_its_bound_is_moved_aside_and_its_writer_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "LOG_BYTES_MAX", 10)
    log = tmp_path / "a.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"0123456789")
        processes.rotate(log)
        assert log.read_bytes() == b"0123456789"
        writer.write(b"abc")
        processes.rotate(log)
        writer.write(b"new")
    assert log.read_bytes() == b"new"
    assert (tmp_path / "a.log.old").read_bytes() == b"3456789abc"
