"""`icn up`, `demo`, `replay` and `status`: the platform on this machine."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TextIO

import typer

from icn_client.cli.common import (
    DataOption,
    JsonOption,
    duration_ms,
    load_network,
    platform_directory,
    run_async,
)
from icn_client.cli.output import (
    Refused,
    Unreachable,
    UsageError,
    print_json,
    print_text,
    progress,
    say,
    table,
)

if TYPE_CHECKING:
    from icn_localnet.network import Network
    from icn_localnet.platform import RunningPlatform

    from icn_client.replay import Result

VALIDATORS_MIN, VALIDATORS_MAX = 4, 50
PORT_MAX: Final = 65_535
TIMED_OUT_SECONDS: Final = 3.0
NAME_CHARACTERS_KEPT: Final = 50
"""Of a file's name in that of the file written beside it, which must stay below the 255 bytes of a name."""

ValidatorsOption = Annotated[
    int,
    typer.Option(
        "--validators", metavar="N", min=VALIDATORS_MIN, max=VALIDATORS_MAX, help="Seats of a new zone."
    ),
]
PortOption = Annotated[
    int | None,
    typer.Option("--port", metavar="N", min=1, max=PORT_MAX, help="Port of the gateway; a free one without."),
]

_UP_EXAMPLES = """\b
Examples:
  icn up
  icn up --validators 7 --data /srv/icn --port 8080
"""
_DEMO_EXAMPLES = """\b
Examples:
  icn demo
  icn demo --keep --port 8080
"""
_STATUS_EXAMPLES = """\b
Examples:
  icn status
  icn status --data /srv/icn --json
"""
_REPLAY_EXAMPLES = """\b
Examples:
  icn replay transfers.csv.gz
  icn replay transfers.csv.gz --balances balances.csv
"""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("up", epilog=_UP_EXAMPLES)(up)
    app.command("demo", epilog=_DEMO_EXAMPLES)(demo)
    app.command("replay", epilog=_REPLAY_EXAMPLES)(replay)
    app.command("status", epilog=_STATUS_EXAMPLES)(status)


def up(  # noqa: PLR0917 - one parameter per option
    validators: ValidatorsOption = VALIDATORS_MIN,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="DIR",
            help="Where it keeps everything; by default ICN_DATA or .icn.",
            readable=False,
        ),
    ] = None,
    port: PortOption = None,
    host: Annotated[
        str | None,
        typer.Option(
            "--host",
            metavar="ADDRESS",
            help="Address of this machine on which its validators listen to those of other machines.",
        ),
    ] = None,
    recovery_delay_min: Annotated[
        str | None,
        typer.Option(
            "--recovery-delay-min",
            metavar="DURATION",
            help="Shortest time in which a member can object to new keys; of a new zone, by default 3d.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run the embedded platform on this machine: Postgres, NATS, validators, services, gateway. Ctrl-C stops
    it.

    A new directory becomes a new zone, whose founding co-ops' keys are put into keystores under
    DIR/keystores; an existing one goes on where it stopped.
    """
    from icn_localnet import files

    from icn_client import platforms

    directory = (data if data is not None else platforms.data_directory()).absolute()
    shortest = None if recovery_delay_min is None else duration_ms(recovery_delay_min, "--recovery-delay-min")
    if host is not None and not files.is_free(0, host):
        raise UsageError(f"--host: {host[:80]!r} is no address of this machine")
    network = _found_or_load(directory, validators, port, shortest)
    if host is not None:
        network.call_validators(host)
    say(f"starting {len(network.validators)} validators in {directory} …")

    def ready() -> None:
        platforms.remember(directory)
        if as_json:
            print_json(
                {
                    "url": network.gateway_url,
                    "data": str(directory),
                    "zone": network.genesis.zone,
                    "profile": str(network.genesis.trust_profile),
                    "validators": len(network.validators),
                }
            )
        else:
            print_text(
                f"ready: {network.gateway_url}  "
                f"({network.genesis.zone}, {len(network.validators)} validators, "
                f"trust profile {network.genesis.trust_profile}; Ctrl-C stops it)"
            )

    run_until_signal(network, "the platform", on_ready=ready)
    platforms.forget(directory)
    say("stopped")


def run_until_signal(
    network: Network,
    what: str,
    *,
    on_ready: Callable[[], None] = lambda: None,
    beside: Callable[[], Coroutine[Any, Any, None]] | None = None,
) -> None:
    """Run a network until Ctrl-C, and something beside it.

    Raises:
        Refused: it runs already, or ``what`` does not come up.
    """
    import asyncio

    from icn_localnet.platform import run
    from icn_localnet.supervisor import AlreadyRunning, StartFailures

    from icn_client import platforms
    from icn_client.signals import told_to_stop

    async def work() -> None:
        task = None if beside is None else asyncio.create_task(beside())
        try:
            await run(network, told_to_stop(), on_ready)
        finally:
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    try:
        with platforms.without_secrets():
            run_async(work())
    except AlreadyRunning as error:
        raise Refused(str(error), "ALREADY_RUNNING") from None
    except StartFailures as error:
        raise Refused(f"{what} did not come up: {error}", "PLATFORM_FAILED") from None


def _found_or_load(
    directory: Path, validators: int, port: int | None, recovery_delay_ms_min: int | None
) -> Any:
    from icn_kit.genesis import GenesisInvalid
    from icn_localnet import files
    from icn_localnet.network import Network, NetworkInvalid, NetworkOptions

    from icn_client import platforms
    from icn_client.keystore import KeystoreError

    if port is not None and not files.is_free(port):
        raise Refused(f"--port: somebody listens on {port} already", "PORT_TAKEN")
    try:
        if not (directory / "genesis.json").exists():
            options = NetworkOptions()
            if recovery_delay_ms_min is not None:
                options = replace(options, recovery_delay_ms_min=recovery_delay_ms_min)
            network = platforms.found_network(directory, validators=validators, port=port, options=options)
            say(f"founded a zone; its co-ops' keys are in {directory / platforms.FOUNDERS_FOLDER}")
            return network
        network = Network.load(directory)
        if network.is_joined:
            raise UsageError(f"--data: {directory} holds one validator; start it with icn validator join")
        if validators not in (VALIDATORS_MIN, len(network.validators)):
            raise UsageError(
                f"--validators: the zone in {directory} has {len(network.validators)} seats, fixed in genesis"
            )
        if port is not None:
            network.gateway = f"127.0.0.1:{port}"
        if recovery_delay_ms_min not in (None, network.genesis.recovery_delay_ms_min):
            raise UsageError(
                f"--recovery-delay-min: {recovery_delay_ms_min} ms, the zone in {directory} has "
                f"{network.genesis.recovery_delay_ms_min} ms, fixed in genesis"
            )
    except (NetworkInvalid, GenesisInvalid, KeystoreError) as error:
        raise Refused(f"{directory}: {error}", "DIRECTORY_UNUSABLE") from None
    except OSError as error:
        raise Refused(f"{error.filename or directory}: {error.strerror}", "DIRECTORY_UNUSABLE") from None
    return network


@contextmanager
def fresh_platform(
    directory: Path | None = None, *, options: Any = None, port: int | None = None
) -> Iterator[RunningPlatform]:
    """A new platform in ``directory``, or in a temporary one that is removed at the end, in processes of its
    own.
    """
    import contextlib
    import signal
    import tempfile

    from icn_localnet.platform import launch
    from icn_localnet.processes import ProcessFailed

    from icn_client import platforms
    from icn_client.keystore import KeystoreError

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that a terminated command cleans up, too
    with contextlib.ExitStack() as stack:
        if directory is None:
            directory = Path(
                stack.enter_context(tempfile.TemporaryDirectory(prefix="icn-", ignore_cleanup_errors=True))
            )
        try:
            network = platforms.found_network(
                directory.absolute(), validators=VALIDATORS_MIN, options=options, port=port
            )
            with platforms.without_secrets():
                platform = launch(network)
        except (ProcessFailed, KeystoreError) as error:
            raise Refused(str(error), "PLATFORM_FAILED") from None
        except FileExistsError as error:
            raise Refused(f"{error}; a fresh one is needed", "DIRECTORY_USED") from None
        except OSError as error:
            raise Refused(f"{error.filename or directory}: {error.strerror}", "DIRECTORY_UNUSABLE") from None
        stack.callback(platform.stop)
        yield platform


def demo(
    keep: Annotated[
        bool, typer.Option("--keep", help="Stay up after the story, until Ctrl-C, and print the URL.")
    ] = False,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="DIR",
            help="A new directory for it; by default a temporary one.",
            readable=False,
        ),
    ] = None,
    port: PortOption = None,
    as_json: JsonOption = False,
) -> None:
    """Play the guided story on a fresh platform: onboard, trade, prove, lose a validator and go on.

    Exit 0 only if every step held.
    """
    import asyncio
    import time

    from icn_client import platforms
    from icn_client.signals import wait_for_signal
    from icn_client.story import Story, StoryFailed, options

    started = time.monotonic()
    say("starting a fresh platform: 4 validators, each with its own Postgres and vm, services, gateway …")
    with fresh_platform(data, options=options(), port=port) as platform:
        tell = (lambda _text: None) if as_json else print_text
        story = Story(platform, tell)
        story.note(
            f"the platform is up after {time.monotonic() - started:.1f} s: {story.network.gateway_url}"
        )
        try:
            run_async(story.play())
        except StoryFailed as error:
            if as_json:
                print_json({"held": False, "steps": story.summary(), "failed": str(error)})
            raise Refused(f"the story did not hold: {error}", "STORY_FAILED") from None
        seconds = time.monotonic() - started
        story.note(f"every step held, in {seconds:.1f} s")
        if as_json:
            print_json({"held": True, "steps": story.summary(), "seconds": round(seconds, 1)})
        if keep:
            platforms.remember(platform.directory)
            print_text(f"ready: {story.network.gateway_url}  (Ctrl-C stops it)")
            asyncio.run(wait_for_signal())
            platforms.forget(platform.directory)
            say("stopping …")


def replay(
    file: Annotated[
        Path, typer.Argument(metavar="FILE.csv[.gz]", help="The transaction file.", readable=False)
    ],
    balances: Annotated[
        Path | None,
        typer.Option(
            "--balances", metavar="OUT.csv", help="Write party,balance in minor units.", readable=False
        ),
    ] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replay a transaction file as signed transfers, on the running platform or on a fresh one.

    Ends with one JSON object. Rules: docs/replay.md.
    """
    from icn_client.platforms import NoPlatform, find_running
    from icn_client.replay_file import ReplayFileInvalid, read_transfers

    try:
        transfers = read_transfers(file)
    except ReplayFileInvalid as error:
        raise Refused(str(error), "FILE_INVALID") from None
    except OSError as error:
        raise Refused(f"{file}: {error.strerror or error}", "FILE_UNREADABLE") from None
    with _balances_file(balances) as balances_out:
        try:
            directory = find_running(data)
        except NoPlatform as error:
            if data is not None:
                raise Unreachable(str(error), "NO_PLATFORM") from None
            say("no platform runs on this machine: starting a fresh one for this replay")
            with fresh_platform() as platform:
                result = _replay_on(platform.directory, transfers)
        else:
            result = _replay_on(directory, transfers)
        _tell_result(result, len(transfers.parties))
        if balances is not None and balances_out is not None:
            _write_balances(balances_out, balances, result)


def _tell_result(result: Result, parties: int) -> None:
    for problem in result.problems:
        say(f"given up: {problem}")
    if result.missing:
        say(f"not waited for any longer, a quorum agrees on the root: {', '.join(result.missing)}")
    say(f"registration took {result.registration_seconds:.2f} s for {parties} parties")
    print_json(result.to_dict())


def _replay_on(directory: Path, transfers: Any) -> Result:
    from icn_client.connection import Connection
    from icn_client.keystore import KeystoreError
    from icn_client.platforms import open_founders
    from icn_client.replay import ReplayFailed
    from icn_client.replay import replay as run_replay

    network = load_network(directory)
    try:
        founders = open_founders(directory)
    except KeystoreError as error:
        raise Refused(str(error), "KEYSTORE") from None
    if not founders:
        raise Refused(f"no founding co-op's keystore in {directory}; the replay needs them", "KEYSTORE")

    with progress("") as shown:

        def report(what: str, done: int, total: int, note: str) -> None:
            shown.tell(what, done, total, note)

        async def work() -> Result:
            async with Connection(network) as connection:
                return await run_replay(connection, founders, transfers, report)

        try:
            return run_async(work())
        except ReplayFailed as error:
            shown.close()
            if error.result is not None:
                _tell_result(error.result, len(transfers.parties))
            raise Refused(str(error), "REPLAY_FAILED") from None


@contextmanager
def _balances_file(path: Path | None) -> Iterator[TextIO | None]:
    """A file to write balances to that takes its name only at the end; it is opened now, so that a path that
    cannot be written is known before anything is sent. Raises Refused.
    """
    if path is None:
        yield None
        return
    with _refusing_unwritable(path):
        final = path.resolve()
        is_replaced = final.is_file() or not final.exists()  # a device is written as it is
        if final.exists() and not os.access(final, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        opened = (
            final.with_name(f".{final.name[:NAME_CHARACTERS_KEPT]}.{os.getpid()}") if is_replaced else final
        )
        file = opened.open("w", newline="", encoding="utf-8")
    try:
        yield file
        with _refusing_unwritable(path):
            file.close()
            if is_replaced:
                opened.replace(final)
    finally:
        with suppress(OSError):
            file.close()
        if is_replaced:
            opened.unlink(missing_ok=True)


@contextmanager
def _refusing_unwritable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Refused(f"{path}: {error.strerror or error}", "FILE_UNWRITABLE") from None


def _write_balances(file: TextIO, path: Path, result: Result) -> None:
    import csv

    with _refusing_unwritable(path):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("party", "balance"))
        writer.writerows(result.balances)


def status(data: DataOption = None, as_json: JsonOption = False) -> None:
    """Show zone, trust profile, validators, heights and state roots. Exit 3 when no quorum answers."""
    from icn_client.status import read_status

    found = run_async(read_status(load_network(platform_directory(data))))
    if as_json:
        print_json(found.to_dict())
    else:
        print_text(f"zone        {found.zone} ({found.genesis_hash})")
        print_text(f"profile     {found.profile}: {found.profile_means}")
        print_text(f"gateway     {found.gateway_url or 'elsewhere'}")
        print_text(f"agreement   {found.agreement}")
        table(
            ("seat", "name", "state", "final", "executed", "view", "pool", "peers", "state root"),
            [validator.cells() for validator in found.validators],
        )
        for validator in found.validators:
            if validator.answer is not None and validator.answer.halted:
                print_text(f"seat {validator.address.seat} is halted: {validator.answer.halted}")
    if not found.has_quorum:
        raise Unreachable(f"{found.answering} of {len(found.validators)} validators answer, no quorum")
