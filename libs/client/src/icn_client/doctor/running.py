"""What running processes tell of themselves, on Kubernetes and on one machine, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from icn_chain.quorum import quorum_of

from icn_client.doctor.finding import Finding, Severity, runbook

HEIGHTS_BEHIND_MAX: Final = 20
"""Of the alert IcnValidatorBehind."""
BLOCK_AGE_SECONDS_MAX: Final = 180
"""Of the alert IcnChainStopped; a quiet chain makes a block every 30 s."""
CLOCK_SPREAD_SECONDS_MAX: Final = 1.5
"""Half of what genesis lets a block's time be away from a validator's clock, by default."""
VOLUME_SHARE_FREE_MIN: Final = 0.15
"""Of the alert IcnVolumeNearlyFull."""
VOLUME_BYTES_FREE_MIN: Final = 10 * 1024**3
"""Above it less than that share is a warning: no part of an evaluation fills as much within days."""
CERTIFICATE_DAYS_MIN: Final = 14
"""Of the alert IcnCertificateExpiry."""
LATE_SHARE_MAX: Final = 0.05
"""Of the alert IcnOutboxLag."""
OUTBOX_BATCHES_MIN: Final = 20
"""A share of fewer says nothing."""
DAY_SECONDS: Final = 86_400.0

Samples = Mapping[str, Sequence[tuple[Mapping[str, str], float]]]
"""By a metric's name: labels and value of each sample."""


@dataclass(frozen=True, slots=True)
class SeatStanding:
    """Where one seat's validator stands, in its own words; the rest is left out of one that is away."""

    seat: int
    name: str
    is_reachable: bool
    final_height: int = 0
    executed_height: int = 0
    state_root: str = ""
    block_time_ms: int = 0
    is_catching_up: bool = False


@dataclass(frozen=True, slots=True)
class ProcessAnswer:
    """What one process told."""

    name: str
    metrics: Samples = field(default_factory=dict)
    clock_seconds: float | None = None
    """Its clock less the asker's."""
    schema: Mapping[str, str] = field(default_factory=dict)
    """Of `icn_client.doctor.probe.schema_of_package`."""
    volumes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """By path: size and free bytes."""


def parse_samples(text: str | None) -> Samples:
    """Of Prometheus' text form; nothing where it is none."""
    from prometheus_client.parser import text_string_to_metric_families

    found: dict[str, list[tuple[Mapping[str, str], float]]] = {}
    try:
        for family in text_string_to_metric_families(text or ""):
            for sample in family.samples:
                found.setdefault(sample.name, []).append((sample.labels, sample.value))
    except ValueError:
        return {}
    return found


def standings_of(document: Mapping[str, Any]) -> list[SeatStanding]:
    """Of what a gateway answers at ``/v1/validators``."""
    found = []
    for one in document["validators"]:
        status = one.get("status") or {}
        found.append(
            SeatStanding(
                int(one["seat"]),
                str(one["name"]),
                bool(one["is_reachable"]),
                int(status.get("final_height", 0)),
                int(status.get("executed_height", 0)),
                str(status.get("state_root", "")),
                int(status.get("block_time_ms", 0)),
                bool(status.get("is_catching_up", False)),
            )
        )
    return found


def check_standings(standings: Sequence[SeatStanding], quorum: int, now: float) -> Iterator[Finding]:
    """Quorum, roots, who is behind, and whether there are blocks."""
    here = [one for one in standings if one.is_reachable]
    away = ", ".join(f"seat {one.seat} ({one.name})" for one in standings if not one.is_reachable)
    count = f"{len(here)} of {len(standings)} validators answer, {quorum} are a quorum"
    if len(here) < quorum:
        yield Finding(
            "quorum",
            Severity.PROBLEM,
            f"{count}: the chain stands still. Away: {away}",
            f"bring {quorum - len(here)} more back: see what their pods or processes say below",
            runbook("IcnChainStopped"),
        )
    elif away:
        margin = len(here) - quorum
        yield Finding(
            "quorum",
            Severity.PROBLEM if margin == 0 else Severity.WARNING,
            f"{count}: {margin} more may fail. Away: {away}",
            "bring them back before another fails",
            runbook("IcnQuorumAtRisk"),
        )
    else:
        yield Finding("quorum", Severity.FINE, f"{count}: {len(here) - quorum} may fail")
    if not here:
        return
    yield from _roots(here)
    top = max(one.final_height for one in here)
    for one in here:
        if one.is_catching_up or top - one.executed_height > HEIGHTS_BEHIND_MAX:
            yield Finding(
                "height",
                Severity.WARNING,
                f"seat {one.seat} ({one.name}) has executed {one.executed_height} of {top} final blocks",
                "wait while it fetches blocks; if the distance grows, look at its Postgres and its disk",
                runbook("IcnValidatorBehind"),
            )
    age = now - max(one.block_time_ms for one in here) / 1000
    if age > BLOCK_AGE_SECONDS_MAX:
        newest = f"the newest block, {top}, is" if top else "there is no block, and genesis is"
        yield Finding(
            "blocks",
            Severity.PROBLEM,
            f"{newest} {age:.0f} s old; a quiet chain makes one every 30 s",
            "see which validators lack connections or clocks",
            runbook("IcnChainStopped"),
        )
    else:
        yield Finding("blocks", Severity.FINE, f"block {top} is {max(age, 0):.0f} s old")


def check_validators_alone(answers: Sequence[ProcessAnswer]) -> Iterator[Finding]:
    """What validators tell themselves, where no gateway asks them all."""
    seats = max((len(one.metrics.get("icn_ledger_epoch_signed_blocks", ())) for one in answers), default=0)
    quorum = quorum_of(seats)
    asked = [one for one in answers if "icn_consensus_height_blocks" in one.metrics]
    if not asked:
        yield Finding(
            "quorum", Severity.PROBLEM, "no validator of this release tells where it stands",
            "see below why their pods do not run", runbook("IcnChainStopped"),
        )  # fmt: skip
    for one in asked:
        heights = {
            labels["which"]: int(value) for labels, value in one.metrics["icn_consensus_height_blocks"]
        }
        streams = sum(value for _, value in one.metrics.get("icn_consensus_peers_connected_streams", ()))
        told = max(heights["told"], heights["final"])
        stands = (
            f"{one.name} has executed {heights['executed']} of {told} blocks and is connected to "
            f"{streams:.0f} others; {quorum} of {seats} are a quorum"
        )
        if streams + 1 < quorum:
            yield Finding(
                "quorum", Severity.PROBLEM, stands,
                "let it open connections to the others: addresses, ports, certificates",
                "docs/operating/join.md",
            )  # fmt: skip
        elif told - heights["executed"] > HEIGHTS_BEHIND_MAX:
            yield Finding(
                "height", Severity.WARNING, stands,
                "wait while it fetches blocks; if the distance grows, look at its Postgres and its disk",
                runbook("IcnValidatorBehind"),
            )  # fmt: skip
        else:
            yield Finding("quorum", Severity.FINE, stands)


def _roots(here: Sequence[SeatStanding]) -> Iterator[Finding]:
    by_height: dict[int, dict[str, list[int]]] = {}
    for one in here:
        by_height.setdefault(one.executed_height, {}).setdefault(one.state_root, []).append(one.seat)
    for height, roots in by_height.items():
        if len(roots) > 1:
            told = "; ".join(f"{root[:16]} at seats {seats}" for root, seats in roots.items())
            yield Finding(
                "state root",
                Severity.PROBLEM,
                f"after block {height} there are {len(roots)} state roots: {told}",
                "stop the smaller side; believe no balance until it is known which is right",
                runbook("IcnRootMismatch"),
            )
            return
    yield Finding("state root", Severity.FINE, "validators at the same height have the same state root")


@dataclass(frozen=True, slots=True)
class _Rule:
    """A metric that is at most ``value_max`` where all is well."""

    check: str
    metric: str
    labels: Mapping[str, str]
    value_max: float
    severity: Severity
    says: str
    advice: str
    alert: str


_RULES: Final = (
    _Rule(
        "state root", "icn_consensus_reports_total", {"kind": "root_mismatch"}, 0, Severity.PROBLEM,
        "proposals named other state roots than it computed", "find out which is wrong", "IcnRootMismatch",
    ),
    _Rule(
        "evidence", "icn_consensus_evidence_proofs_total", {}, 0, Severity.PROBLEM,
        "proofs that a validator contradicted itself", "see icn evidence list, and who runs that seat twice",
        "IcnEvidenceAgainstSeat",
    ),
    _Rule(
        "execution", "icn_consensus_execution_backlog_blocks", {}, HEIGHTS_BEHIND_MAX, Severity.WARNING,
        "final blocks wait for execution", "look at its Postgres and processor", "IcnExecutionBacklog",
    ),
    _Rule(
        "contract calls", "icn_ledger_vm_unfinished_height", {}, 0, Severity.PROBLEM,
        "is the height of a block whose contract call hangs", "see the log of its vm", "IcnVmCallUnfinished",
    ),
    _Rule(
        "dead letters", "icn_kit_events_total", {"outcome": "dead"}, 0, Severity.WARNING,
        "events were put aside after five tries", "find the reason in its log", "IcnDeadLetters",
    ),
)  # fmt: skip


def check_processes(answers: Sequence[ProcessAnswer]) -> Iterator[Finding]:
    """What the metrics of running processes say, without a history."""
    count = len(_RULES)
    wrong = 0
    for rule in _RULES:
        for answer in answers:
            value = sum(
                value
                for labels, value in answer.metrics.get(rule.metric, ())
                if rule.labels.items() <= labels.items()
            )
            if value > rule.value_max:
                wrong += 1
                yield Finding(
                    rule.check,
                    rule.severity,
                    f"{answer.name}: {value:.0f} {rule.says}",
                    rule.advice,
                    runbook(rule.alert),
                )
    if answers and not wrong:
        yield Finding(
            "metrics", Severity.FINE, f"{count} metrics of {len(answers)} processes are as they should be"
        )
    yield from _clocks(answers)
    yield from _protocols(answers)
    yield from _events(answers)
    yield from _schemas(answers)
    yield from _volumes(answers)


def _clocks(answers: Sequence[ProcessAnswer]) -> Iterator[Finding]:
    for answer in answers:
        for _, distance in answer.metrics.get("icn_consensus_clock_distance_seconds", ()):
            if distance:
                yield Finding(
                    "clock",
                    Severity.WARNING,
                    f"{answer.name} refused a proposal whose time is {distance:+.1f} s away from its clock",
                    "set the clock of its node by NTP",
                    runbook("IcnClockSkew"),
                )
    clocks = {one.name: one.clock_seconds for one in answers if one.clock_seconds is not None}
    if len(clocks) < 2:
        return
    first, last = min(clocks, key=lambda name: clocks[name]), max(clocks, key=lambda name: clocks[name])
    spread = clocks[last] - clocks[first]
    is_wide = spread > CLOCK_SPREAD_SECONDS_MAX
    yield Finding(
        "clock",
        Severity.WARNING if is_wide else Severity.FINE,
        f"clocks are up to {spread:.1f} s apart, {CLOCK_SPREAD_SECONDS_MAX} s is the most"
        + (f": {last} is ahead of {first}" if is_wide else ""),
        "set the clocks of their nodes by NTP" if is_wide else "",
        runbook("IcnClockSkew") if is_wide else "",
    )


def _protocols(answers: Sequence[ProcessAnswer]) -> Iterator[Finding]:
    """Whose release does not know the protocol version in force, or the one of the next epoch."""
    for answer in answers:
        versions = {
            labels.get("which"): int(value)
            for labels, value in answer.metrics.get("icn_consensus_protocol_version", ())
        }
        if versions.get("next", 0) <= versions.get("known", 0):
            continue
        halted = versions.get("in_force", 0) > versions["known"]
        when = "is in force" if halted else "comes in force at the end of the epoch"
        yield Finding(
            "protocol",
            Severity.PROBLEM,
            f"{answer.name}: protocol version {versions['next']} {when}, its release knows up to "
            f"{versions['known']}",
            "upgrade it: it goes on from its data",
            runbook("IcnProtocolUnknown"),
        )


def _events(answers: Sequence[ProcessAnswer]) -> Iterator[Finding]:
    apart = [
        one.name
        for one in answers
        if any(value == 0 for _, value in one.metrics.get("icn_kit_bus_connected_bool", ()))
    ]
    if apart:
        yield Finding(
            "event bus",
            Severity.PROBLEM,
            f"{len(apart)} processes are not connected to NATS: {', '.join(apart)}",
            "see whether NATS runs, and whether its password and certificate are theirs",
            runbook("IcnNatsDown"),
        )
    publishing: dict[str, float] = {}
    late: dict[str, list[float]] = {}
    for answer in answers:
        for labels, value in answer.metrics.get("icn_kit_relay_publishing_bool", ()):
            publishing[labels["stream"]] = publishing.get(labels["stream"], 0) + value
        for labels, value in answer.metrics.get("icn_kit_outbox_lag_seconds_count", ()):
            late.setdefault(labels["stream"], [0, 0])[0] += value
        for labels, value in answer.metrics.get("icn_kit_outbox_lag_seconds_bucket", ()):
            if labels["le"] in ("10", "10.0"):
                late.setdefault(labels["stream"], [0, 0])[1] += value
    silent = sorted(stream for stream, value in publishing.items() if value == 0)
    if silent:
        yield Finding(
            "outbox",
            Severity.PROBLEM,
            f"nobody publishes the events of {', '.join(silent)}",
            "see the logs of the processes that own the stream",
            runbook("IcnRelayStopped"),
        )
    slow = {
        stream: (batches - in_time) / batches
        for stream, (batches, in_time) in late.items()
        if batches >= OUTBOX_BATCHES_MIN and (batches - in_time) / batches > LATE_SHARE_MAX
    }
    for stream, share in slow.items():
        yield Finding(
            "outbox",
            Severity.WARNING,
            f"{share:.0%} of the batches of {stream} held events older than 10 s, 5 % is the most",
            "see whether NATS and Postgres were away or slow",
            runbook("IcnOutboxLag"),
        )
    if publishing and not (apart or silent or slow):
        yield Finding("events", Severity.FINE, f"{len(publishing)} streams are published in time")


def _schemas(answers: Sequence[ProcessAnswer]) -> Iterator[Finding]:
    seen = 0
    for answer in answers:
        schema = answer.schema
        if not schema:
            continue
        seen += 1
        if "fault" in schema:
            yield Finding(
                "database",
                Severity.PROBLEM,
                f"{answer.name} does not reach its schema {schema['schema']}: {schema['fault']}",
                "compare host, database, role and password in its Secret with the server's",
                runbook("IcnPostgresDown"),
            )
        elif schema["revision"] != schema["known"]:
            is_newer = schema["revision"] > schema["known"]
            yield Finding(
                "schema",
                Severity.WARNING,
                f"{answer.name}: the schema {schema['schema']} is at {schema['revision'] or 'none'}, "
                f"its code knows {schema['known']}"
                + (f" and {schema['oldest']} is needed" if schema.get("oldest") else ""),
                "a newer release has migrated it: go on to that one"
                if is_newer
                else "its migrations have not run: restart it, and see its container `migrate`",
                "docs/operating/upgrade.md",
            )
    faults = sum(
        "fault" in one.schema or one.schema.get("revision") != one.schema.get("known") for one in answers
    )
    if seen and not faults:
        yield Finding("schema", Severity.FINE, f"{seen} schemas are at the revision that their code knows")


def _volumes(answers: Sequence[ProcessAnswer]) -> Iterator[Finding]:
    """Volumes of one size are most likely folders of one, and are told together."""
    scarce: dict[int, list[tuple[int, str]]] = {}
    seen = 0
    for answer in answers:
        for path, (size, free) in answer.volumes.items():
            seen += 1
            if size and free / size < VOLUME_SHARE_FREE_MIN:
                scarce.setdefault(size, []).append((free, f"{answer.name} {path}"))
    for size, volumes in scarce.items():
        free = min(volumes)[0]
        yield Finding(
            "volume",
            Severity.PROBLEM if free < VOLUME_BYTES_FREE_MIN else Severity.WARNING,
            f"{free / 2**20:,.0f} of {size / 2**20:,.0f} MiB are free, "
            f"{VOLUME_SHARE_FREE_MIN:.0%} is the least: " + ", ".join(name for _, name in volumes),
            "make the volume larger; a record volume must never be emptied",
            runbook("IcnVolumeNearlyFull"),
        )
    if seen and not scarce:
        yield Finding(
            "volume", Severity.FINE, f"{seen} volumes have {VOLUME_SHARE_FREE_MIN:.0%} or more free"
        )


def check_certificates(shown: Iterable[tuple[str, bytes, bytes, str]], now: float) -> Iterator[Finding]:
    """Each as `check_certificate` takes it: name, certificate, authorities, host."""
    findings = [check_certificate(*one, now) for one in shown]
    yield from filter(None, findings)
    if findings and not any(findings):
        yield Finding(
            "certificate",
            Severity.FINE,
            f"{len(findings)} certificates are in force for {CERTIFICATE_DAYS_MIN} days or more",
        )


def check_certificate(
    name: str, certificate: bytes, authority: bytes, host: str, now: float
) -> Finding | None:
    """What is wrong with a certificate that whoever calls ``host`` (empty: nobody) sees; None: nothing."""
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature

    page = runbook("IcnCertificateExpiry")
    replace = "issue it anew with the zone's authority and replace the Secret"
    try:
        shown = x509.load_pem_x509_certificate(certificate)
        trusted = x509.load_pem_x509_certificates(authority)
    except ValueError:
        return Finding(
            "certificate", Severity.PROBLEM, f"{name} holds no certificate in PEM form", replace, page
        )
    ends_at = shown.not_valid_after_utc
    left_days = (ends_at - datetime.fromtimestamp(now, UTC)).total_seconds() / DAY_SECONDS
    if left_days < CERTIFICATE_DAYS_MIN:
        said = f"ended {-left_days:.1f} days ago" if left_days < 0 else f"ends in {left_days:.1f} days"
        severity = Severity.PROBLEM if left_days < 0 else Severity.WARNING
        return Finding(
            "certificate",
            severity,
            f"{name} {said}, at {ends_at:%Y-%m-%d %H:%M} UTC; 14 days is the least",
            replace,
            page,
        )
    try:
        names = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        hosts = names.get_values_for_type(x509.DNSName)
    except x509.ExtensionNotFound:
        hosts = []
    if host and host not in hosts:
        return Finding(
            "certificate", Severity.PROBLEM,
            f"{name} is for {', '.join(hosts) or 'no host'}, and others call {host}", replace, page,
        )  # fmt: skip
    for one in trusted:
        try:
            shown.verify_directly_issued_by(one)
        except (ValueError, TypeError, InvalidSignature):
            continue
        return None
    return Finding(
        "certificate", Severity.PROBLEM,
        f"{name} is signed by none of the {len(trusted)} authorities that it is to trust", replace, page,
    )  # fmt: skip
