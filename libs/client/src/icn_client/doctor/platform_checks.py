"""What is wrong with an embedded platform, and what to do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from icn_client.doctor import probe
from icn_client.doctor.finding import PAGE, Finding, Severity
from icn_client.doctor.running import (
    ProcessAnswer,
    SeatStanding,
    check_certificates,
    check_processes,
    check_standings,
    parse_samples,
)

if TYPE_CHECKING:
    from icn_localnet.network import Network

    from icn_client.status import NetworkStatus

RESTARTS_MAX: Final = 3


def check_platform(network: Network, status: NetworkStatus | None, now: float | None = None) -> list[Finding]:
    """Everything that can be said about a platform on this machine.

    Args:
        network: its files.
        status: what its validators answered; None where it does not run.
        now: unix seconds; the machine's where left out.
    """
    now = time.time() if now is None else now
    findings = [*_parts(network), *check_certificates(_certificates(network), now)]
    if status is None:
        findings.append(
            Finding(
                "platform",
                Severity.PROBLEM,
                f"no process runs the platform in {network.directory}",
                f"start it: icn up --data {network.directory}",
                PAGE,
            )
        )
        findings += check_processes([_volume(network)])
        return findings
    findings += check_standings(standings_in(status), status.quorum, now)
    findings += check_processes([_volume(network), *_answers(network)])
    return findings


def standings_in(status: NetworkStatus) -> list[SeatStanding]:
    """Where the validators stand that were asked one by one."""
    found = []
    for one in status.validators:
        known: dict[str, Any] = {}
        if one.answer is not None:
            known = {
                "final_height": one.answer.final_height,
                "executed_height": one.answer.executed_height,
                "state_root": one.answer.state_root.hex(),
                "block_time_ms": one.answer.block_time_ms,
                "is_catching_up": one.answer.is_catching_up,
            }
        found.append(SeatStanding(one.address.seat, one.address.name, one.answer is not None, **known))
    return found


def log_of(network: Network, part: str) -> Path | None:
    """The log of a part such as ``validator-2``, ``postgres-2``, ``nats`` or ``gateway``."""
    kind, _, seat = part.partition("-")
    folder = network.validator_directory(int(seat)) if seat.isdecimal() else network.shared_directory
    places = (folder / f"{kind}.log", *sorted((folder / kind).glob("*.log")))
    return next((place for place in places if place.is_file()), None)


def _parts(network: Network) -> Iterator[Finding]:
    from icn_localnet.hosted import last_words

    running = 0
    for name, part in network.processes.items():
        log = log_of(network, name)
        said = last_words(log) if log is not None else ""
        if part["state"] != "running":
            yield Finding(
                "processes",
                Severity.PROBLEM,
                f"{name} is {part['state']} after {part['restarts']} restarts: {said or 'its log is empty'}",
                f"do what the sentence says; all of it is in {log}",
                PAGE,
            )
            continue
        running += 1
        if part["restarts"] > RESTARTS_MAX:
            yield Finding(
                "processes",
                Severity.WARNING,
                f"{name} was restarted {part['restarts']} times; it said last: {said}",
                f"see {log}",
                PAGE,
            )
    if network.processes and running == len(network.processes):
        yield Finding("processes", Severity.FINE, f"{running} of {running} processes run")


def _certificates(network: Network) -> Iterator[tuple[str, bytes, bytes, str]]:
    for certificate in sorted(network.directory.glob("*/**/tls/certificate.pem")):
        authority = certificate.with_name("authority.pem")
        yield str(certificate), certificate.read_bytes(), authority.read_bytes(), "localhost"


def _volume(network: Network) -> ProcessAnswer:
    where = str(network.directory)
    return ProcessAnswer("this machine", volumes={where: probe.volume_of(where)})


def _answers(network: Network) -> Iterator[ProcessAnswer]:
    doors = {f"validator-{one.seat}": one.metrics for one in network.validators}
    doors |= {f"vm-{one.seat}": one.vm_metrics for one in network.validators}
    doors |= {name: one.metrics for name, one in network.services.items()}
    doors["gateway"] = network.gateway_metrics
    for name, address in doors.items():
        yield ProcessAnswer(name, parse_samples(probe.body_of(f"http://{address}/metrics")))
    yield from _schemas(network)


def _schemas(network: Network) -> Iterator[ProcessAnswer]:
    from icn_localnet.parts import SHARED_PACKAGES, VALIDATOR_PACKAGES
    from icn_localnet.postgres import PostgresServer
    from icn_localnet.processes import ProcessFailed

    servers = {f"postgres-{one.seat}": network.validator_directory(one.seat) for one in network.validators}
    wanted = [(name, folder, package) for name, folder in servers.items() for package in VALIDATOR_PACKAGES]
    wanted += [("postgres-shared", network.shared_directory, package) for package in SHARED_PACKAGES]
    for name, folder, package in wanted:
        try:
            dsn = PostgresServer(folder / "postgres").dsn(package.removeprefix("icn_"))
        except ProcessFailed as failed:
            schema = {"schema": package.removeprefix("icn_"), "fault": str(failed)}
        else:
            schema = probe.schema_of_package(package, dsn)
        yield ProcessAnswer(name, schema=schema)
