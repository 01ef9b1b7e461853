"""`icn doctor` on what the API of a real cluster answered for a healthy release, with one thing changed."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from icn_client.cli.main import app
from icn_client.cli.output import CommandError
from icn_client.doctor import probe
from icn_client.doctor.finding import Finding, Severity, by_severity
from icn_client.doctor.kubectl import Kubectl, KubectlFailed, KubectlUnreachable
from icn_client.doctor.release_checks import check_release, sentence_of
from icn_client.doctor.release_state import (
    ALERTS_KIND,
    STREAMS_URL,
    VALIDATORS_URL,
    ReleaseState,
    read_release,
)
from icn_client.doctor.running import (
    ProcessAnswer,
    SeatStanding,
    check_certificate,
    check_processes,
    check_standings,
    parse_samples,
)
from icn_localnet.certificates import Authority
from typer.testing import CliRunner

RECORDED = json.loads((Path(__file__).parent / "recorded_release.json").read_text("utf-8"))
ROOT = Path(__file__).resolve().parents[4]
VALIDATOR = "icn-validator-0-0"
SEATS = 4

Change = Callable[["RecordedCluster"], None]


class RecordedCluster:
    """Answers as the API did, until a test changes an answer."""

    namespace = "icn"

    def __init__(self, tmp_path: Path) -> None:
        recorded = copy.deepcopy(RECORDED)
        self.server = recorded["version"]
        self.kinds: dict[str, list[dict[str, Any]]] = recorded["objects"]
        self.keys = {name: frozenset(keys) for name, keys in recorded["secret_keys"].items()}
        self.standings: dict[str, Any] = recorded["validators"]
        self.metrics: dict[str, str] = recorded["metrics"]
        self.refused: dict[str, str] = {}
        self.said: dict[tuple[str, str], str] = {}
        self.free_bytes = 900
        self.is_open = False
        self.letters = 0
        self.clocks: dict[str, float] = {}
        self.revision = "0009"
        now_ms = datetime.now(UTC).timestamp() * 1000
        for one in self.standings["validators"]:
            one["status"]["block_time_ms"] = str(int(now_ms) - 10_000)
        authority = Authority(tmp_path / "authority")
        authority.ensure("Valley Federation")
        self.pem: dict[str, tuple[bytes, bytes]] = {}
        for part in ("validator-0", "gateway", "reputation", "postgres", "nats"):
            issued = authority.issue(part, tmp_path / part, [f"icn-{part}"])
            self.pem[f"icn-{part}-tls"] = (issued.certificate.read_bytes(), issued.authority.read_bytes())

    def version(self) -> str:
        return str(self.server)

    def objects(self, kind: str, selector: str = "") -> list[dict[str, Any]]:
        if kind in self.refused:
            raise KubectlFailed(self.refused[kind])
        if kind == ALERTS_KIND and kind not in self.kinds:
            raise KubectlFailed("the server doesn't have a resource type")
        return self.kinds.get(kind, [])

    def secret_keys(self) -> dict[str, frozenset[str]]:
        if "secrets" in self.refused:
            raise KubectlFailed(self.refused["secrets"])
        return self.keys

    def certificates(self) -> dict[str, tuple[bytes, bytes]]:
        return self.pem

    def logs(self, pod: str, container: str, lines: int, *, is_previous: bool = False) -> str:
        if (pod, container) not in self.said:
            raise KubectlFailed(f"container {container} has not started")
        return self.said[pod, container]

    def probe(self, pod: str, container: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        bodies: dict[str, str | None] = {}
        for url in asked.get("urls", ()):
            if url == VALIDATORS_URL:
                bodies[url] = json.dumps(self.standings)
            elif url == STREAMS_URL:
                stream = {"name": "ICN_DEAD_LETTERS", "state": {"messages": self.letters}}
                bodies[url] = json.dumps({"account_details": [{"stream_detail": [stream]}]})
            else:
                bodies[url] = self.metrics[f"{pod}.{container}"]
        schema = {"schema": container, "revision": self.revision, "known": "0009", "oldest": ""}
        return {
            "time_seconds": datetime.now(UTC).timestamp() + self.clocks.get(pod, 0.0),
            "seconds": 0.0,
            "bodies": bodies,
            "volumes": dict.fromkeys(asked.get("paths", ()), (1000, self.free_bytes)),
            "connected": self.is_open if "connect" in asked else None,
            "schema": schema if "package" in asked else None,
        }

    # -- what tests change

    def pod(self, name: str) -> dict[str, Any]:
        return next(one for one in self.kinds["pods"] if one["metadata"]["name"] == name)

    def container(self, pod: str, name: str) -> dict[str, Any]:
        """Its status, no longer ready."""
        status = self.pod(pod)["status"]
        for condition in status["conditions"]:
            if condition["type"] in {"Ready", "ContainersReady"}:
                condition["status"] = "False"
        found: dict[str, Any] = next(
            one
            for one in (*status["initContainerStatuses"], *status["containerStatuses"])
            if one["name"] == name
        )
        found["ready"] = False
        return found

    def waits(self, pod: str, name: str, reason: str, message: str = "") -> dict[str, Any]:
        found = self.container(pod, name)
        found["state"] = {"waiting": {"reason": reason, "message": message}}
        return found

    def crashes(self, pod: str, name: str, message: str, code: int = 1) -> None:
        found = self.waits(pod, name, "CrashLoopBackOff")
        found["restartCount"] = 4
        found["lastState"] = {"terminated": {"exitCode": code, "reason": "Error", "message": message}}

    def warn_of(self, name: str, message: str) -> None:
        self.kinds["events"].append(
            {
                "metadata": {"name": f"{name}.1"},
                "type": "Warning",
                "involvedObject": {"name": name},
                "message": message,
                "lastTimestamp": "2026-11-28T20:41:00Z",
            }
        )

    def owner(self, kind: str, name: str) -> dict[str, Any]:
        return next(one for one in self.kinds[kind] if one["metadata"]["name"] == name)


@pytest.fixture
def cluster(tmp_path: Path) -> RecordedCluster:
    return RecordedCluster(tmp_path)


def findings_of(cluster: RecordedCluster) -> list[Finding]:
    return check_release(read_release(cluster, "icn"))


def problems_of(cluster: RecordedCluster) -> list[Finding]:
    return [one for one in findings_of(cluster) if one.severity is Severity.PROBLEM]


def test_of_a_healthy_release_for_evaluation_only_that_is_told(cluster: RecordedCluster) -> None:
    found = findings_of(cluster)
    assert {one.check for one in found if one.severity is not Severity.FINE} == {"evaluation", "alerts"}
    told = {one.check: one.found for one in found if one.severity is Severity.FINE}
    assert told["quorum"] == "4 of 4 validators answer, 3 are a quorum: 1 may fail"
    assert told["network"] == "11 network policies are enforced: a call that they forbid failed"
    assert {
        "kubernetes",
        "secrets",
        "certificate",
        "volume",
        "pods",
        "clock",
        "schema",
        "events",
        "trust",
    } <= set(told)


def _secret_gone(cluster: RecordedCluster) -> None:
    del cluster.keys["icn-gateway"]
    cluster.keys["icn-validator-0"] -= {"consensus.json"}


def _image_gone(cluster: RecordedCluster) -> None:
    cluster.waits(VALIDATOR, "consensus", "ImagePullBackOff")["image"] = "icn/consensus:9.9"


def _no_secret_for_a_container(cluster: RecordedCluster) -> None:
    cluster.waits(VALIDATOR, "ledger", "CreateContainerConfigError", 'secret "icn-validator-0" not found')


def _wrong_dsn(cluster: RecordedCluster) -> None:
    cluster.crashes(VALIDATOR, "migrate-ledger", "ICN_LEDGER_DATABASE_URL leads to no server: password\n")


def _full_volume(cluster: RecordedCluster) -> None:
    cluster.free_bytes = 149


def _chain_stopped(cluster: RecordedCluster) -> None:
    for one in cluster.standings["validators"][:2]:
        one["is_reachable"] = False
        one["status"] = None


def _fork(cluster: RecordedCluster) -> None:
    for one in cluster.standings["validators"]:
        one["status"]["executed_height"] = 7
    cluster.standings["validators"][3]["status"]["state_root"] = "ff" * 32


def _old_block(cluster: RecordedCluster) -> None:
    for one in cluster.standings["validators"]:
        one["status"]["block_time_ms"] = str(int(one["status"]["block_time_ms"]) - 600_000)


def _no_gateway(cluster: RecordedCluster) -> None:
    cluster.standings = {}


def _open_network(cluster: RecordedCluster) -> None:
    cluster.is_open = True


def _unbound(cluster: RecordedCluster) -> None:
    claim = cluster.owner("persistentvolumeclaims", f"record-{VALIDATOR}")
    claim["status"]["phase"] = "Pending"
    claim["spec"]["storageClassName"] = "fast"


def _no_pods(cluster: RecordedCluster) -> None:
    cluster.owner("statefulsets", "icn-nats")["status"]["replicas"] = 0
    cluster.warn_of("icn-nats", "create Pod icn-nats-0 failed: violates PodSecurity")


def _unschedulable(cluster: RecordedCluster) -> None:
    pod = cluster.pod("icn-nats-0")
    pod["status"]["conditions"] = [
        {"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available: insufficient memory"}
    ]
    pod["status"]["containerStatuses"] = []


def _not_mounted(cluster: RecordedCluster) -> None:
    pod = cluster.pod("icn-nats-0")
    pod["status"]["conditions"] = [{"type": "Ready", "status": "False"}]
    pod["status"]["containerStatuses"] = []
    cluster.warn_of(
        "icn-nats-0", 'MountVolume.SetUp failed for volume "tls": secret "icn-nats-tls" not found'
    )


def _old_kubernetes(cluster: RecordedCluster) -> None:
    cluster.server = "1.29"


def _independent(cluster: RecordedCluster) -> None:
    cluster.standings["trust_profile"] = "independent"


def _off_the_bus(cluster: RecordedCluster) -> None:
    for name, text in cluster.metrics.items():
        cluster.metrics[name] = text.replace(
            "icn_kit_bus_connected_bool 1.0", "icn_kit_bus_connected_bool 0.0"
        )


def _failed_roll(cluster: RecordedCluster) -> None:
    failed = {"type": "Failed", "status": "True", "message": "Job has reached the specified backoff limit"}
    cluster.kinds["jobs"].append({"metadata": {"name": "icn-roll"}, "status": {"conditions": [failed]}})


PROBLEMS: dict[str, tuple[Change, str, str, str]] = {
    "a Secret is gone and another lacks a key": (
        _secret_gone,
        "secrets",
        "Secret icn-gateway",
        "objects.json of icn cluster prepare",
    ),
    "no image": (
        _image_gone,
        "image",
        "icn-validator-0-0/consensus: no image icn/consensus:9.9",
        "helm rollback",
    ),
    "no Secret for a container": (
        _no_secret_for_a_container,
        "pods",
        'secret "icn-validator-0" not found',
        "make the Secret",
    ),
    "a wrong address of Postgres": (
        _wrong_dsn,
        "pods",
        "ICN_LEDGER_DATABASE_URL leads to no server",
        "sentence",
    ),
    "a full volume": (
        _full_volume,
        "volume",
        "0 of 0 MiB are free, 15% is the least: ",
        "larger",
    ),
    "no quorum": (
        _chain_stopped,
        "quorum",
        "2 of 4 validators answer, 3 are a quorum: the chain stands",
        "bring 1",
    ),
    "two roots": (
        _fork,
        "state root",
        "after block 7 there are 2 state roots",
        "believe no balance",
    ),
    "an old block": (
        _old_block,
        "blocks",
        "s old; a quiet chain makes one every 30 s",
        "connections",
    ),
    "no gateway": (
        _no_gateway,
        "quorum",
        "no gateway tells where the 1 validators stand",
        "bring the gateway up",
    ),
    "policies that nobody enforces": (
        _open_network,
        "network",
        "11 network policies are there, and",
        "plug-in",
    ),
    "a claim that nothing is bound to": (
        _unbound,
        "volume",
        "is Pending: there is no StorageClass fast, only standard",
        "StorageClass",
    ),
    "pods that may not be made": (
        _no_pods,
        "pods",
        "icn-nats has 0 of 1 pods: create Pod",
        "policy forbids",
    ),
    "a pod without a node": (
        _unschedulable,
        "pods",
        "insufficient memory",
        "what it asks a node for",
    ),
    "a volume that is not mounted": (
        _not_mounted,
        "pods",
        'secret "icn-nats-tls" not found',
        "kubectl describe",
    ),
    "an old Kubernetes": (
        _old_kubernetes,
        "kubernetes",
        "version 1.29, at least 1.30 is needed",
        "upgrade",
    ),
    "another trust profile than genesis'": (
        _independent,
        "trust",
        "genesis declares the trust profile independent, the release shows hosted",
        "members",
    ),
    "no bus": (
        _off_the_bus,
        "event bus",
        "3 processes are not connected to NATS",
        "password and certificate",
    ),
    "a roll that failed": (
        _failed_roll,
        "jobs",
        "job icn-roll failed: Job has reached",
        "kubectl logs job/icn-roll",
    ),
}


@pytest.mark.parametrize("what", PROBLEMS)
def test_a_problem_is_told_with_what_was_compared_and_what_to_do(cluster: RecordedCluster, what: str) -> None:
    change, check, says, advice = PROBLEMS[what]
    change(cluster)
    found = problems_of(cluster)
    told = [one for one in found if one.check == check and says in one.found]
    assert told, found
    assert advice in told[0].advice
    assert (ROOT / told[0].page).is_file()


def _one_away(cluster: RecordedCluster) -> None:
    cluster.standings["validators"] = [
        *cluster.standings["validators"],
        *({**one, "seat": one["seat"] + SEATS} for one in copy.deepcopy(cluster.standings["validators"][:3])),
    ]
    cluster.standings["quorum"] = 5
    cluster.standings["validators"][0] |= {"is_reachable": False, "status": None}


def _behind(cluster: RecordedCluster) -> None:
    status = cluster.standings["validators"][0]["status"]
    status["executed_height"] = status["final_height"]
    for one in cluster.standings["validators"][1:]:
        one["status"]["final_height"] = one["status"]["executed_height"] = status["final_height"] + 21


def _skewed(cluster: RecordedCluster) -> None:
    cluster.clocks["icn-validator-0-0"] = 2.0


def _letters(cluster: RecordedCluster) -> None:
    cluster.letters = 3


def _unmigrated(cluster: RecordedCluster) -> None:
    cluster.revision = "0008"


def _of_a_newer_release(cluster: RecordedCluster) -> None:
    cluster.revision = "0010"


def _killed(cluster: RecordedCluster) -> None:
    found = cluster.pod(VALIDATOR)["status"]["containerStatuses"][0]
    found["restartCount"] = 4
    found["lastState"] = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}


def _no_policies(cluster: RecordedCluster) -> None:
    cluster.kinds["networkpolicies"] = []


def _half_rolled(cluster: RecordedCluster) -> None:
    template = cluster.owner("statefulsets", "icn-validator-0")["spec"]["template"]["spec"]
    template["containers"][0]["image"] = "icn/consensus:0.2.0"


def _external_bus(cluster: RecordedCluster) -> None:
    cluster.kinds["statefulsets"].remove(cluster.owner("statefulsets", "icn-nats"))


WARNINGS: dict[str, tuple[Change, str, str]] = {
    "one of seven away": (
        _one_away,
        "quorum",
        "6 of 7 validators answer, 5 are a quorum: 1 more may fail. Away: seat 0",
    ),
    "a validator behind": (_behind, "height", "seat 0"),
    "a clock ahead": (_skewed, "clock", "icn-validator-0-0"),
    "dead letters": (_letters, "dead letters", "3 events lie in ICN_DEAD_LETTERS"),
    "a schema that was not migrated": (_unmigrated, "schema", "is at 0008, its code knows 0009"),
    "a schema of a newer release": (
        _of_a_newer_release,
        "schema",
        "is at 0010, its code knows 0009",
    ),
    "killed for memory": (_killed, "memory", "was killed for memory, 4 restarts"),
    "no policies": (_no_policies, "network", "there are 0 network policies"),
    "half an upgrade": (_half_rolled, "version", "run other images than they name: icn-validator-0-0"),
    "an external bus with one copy": (_external_bus, "event bus", "each stream is kept by 1 server"),
}


@pytest.mark.parametrize("what", WARNINGS)
def test_what_should_be_otherwise_is_a_warning(cluster: RecordedCluster, what: str) -> None:
    change, check, says = WARNINGS[what]
    change(cluster)
    found = [one for one in findings_of(cluster) if one.severity is Severity.WARNING and one.check == check]
    assert any(says in one.found for one in found), found
    assert all((ROOT / one.page).is_file() and one.advice for one in found)


def test_one_of_four_away_is_a_problem_for_the_next_one_stops_the_chain(cluster: RecordedCluster) -> None:
    cluster.standings["validators"][2] |= {"is_reachable": False, "status": None}
    (found,) = [one for one in problems_of(cluster) if one.check == "quorum"]
    assert "3 of 4 validators answer, 3 are a quorum: 0 more may fail" in found.found


def test_what_may_not_be_read_is_unknown_and_stops_nothing(cluster: RecordedCluster) -> None:
    cluster.refused = {"secrets": 'secrets is forbidden: User "eve"', "storageclasses": "forbidden"}
    found = findings_of(cluster)
    unknown = [one.found for one in found if one.severity is Severity.UNKNOWN]
    assert 'secrets could not be looked at: secrets is forbidden: User "eve"' in unknown
    assert not [one for one in found if one.check == "secrets"]
    assert any(one.check == "quorum" for one in found)


def test_alerts_count_that_are_the_releases_own(cluster: RecordedCluster) -> None:
    rule = {
        "metadata": {"labels": {"app.kubernetes.io/instance": "icn"}},
        "spec": {"groups": [{"rules": [{}] * 29}]},
    }
    cluster.kinds[ALERTS_KIND] = [rule]
    assert [one.found for one in findings_of(cluster) if one.check == "alerts"] == ["29 alerts are installed"]
    rule["metadata"]["labels"]["app.kubernetes.io/instance"] = "other"  # type: ignore[index]
    (found,) = [one for one in findings_of(cluster) if one.check == "alerts"]
    assert found.severity is Severity.WARNING


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (
            '{"event": "this validator must not vote", "why": "there is no log", "level": "critical"}',
            "no log",
        ),
        (
            '{"event": "process failed", "exception": "Traceback …\\nOSError: no room"}',
            "process failed: OSError: no room",
        ),
        ('{"event": "draining"}\nnot JSON\n\n', "not JSON"),
        ("[1]", "[1]"),
        ("", ""),
        ("x" * 9_000, "x" * 500),
    ],
)
def test_the_sentence_of_an_end_is_its_last_line(said: str, sentence: str) -> None:
    assert sentence in sentence_of(said)
    assert len(sentence_of(said)) <= 500


def test_a_certificate_is_held_to_its_end_its_names_and_its_authority(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    authority.ensure("zone")
    other = Authority(tmp_path / "other")
    other.ensure("zone")
    issued = authority.issue("gateway", tmp_path / "gateway", ["icn-gateway"])
    certificate, trusted = issued.certificate.read_bytes(), issued.authority.read_bytes()
    now = datetime.now(UTC)

    def found(host: str, trusted: bytes = trusted, days: float = 0) -> str:
        finding = check_certificate(
            "it", certificate, trusted, host, (now + timedelta(days=days)).timestamp()
        )
        return "" if finding is None else f"{finding.severity}: {finding.found}"

    assert found("icn-gateway") == ""
    assert "problem: it is for gateway, localhost, icn-gateway, and others call icn-other" in found(
        "icn-other"
    )
    assert "signed by none of the 1 authorities" in found("icn-gateway", other.certificate.read_bytes())
    assert found("icn-gateway", days=50_000).startswith("problem: it ended ")
    assert "holds no certificate" in found("icn-gateway", b"none")


def test_metrics_without_a_history_are_held_to_what_alerts_say() -> None:
    text = (
        'icn_consensus_reports_total{kind="root_mismatch"} 2.0\n'
        'icn_kit_events_total{consumer="a",outcome="dead"} 1.0\n'
        'icn_kit_events_total{consumer="a",outcome="done"} 9.0\n'
        'icn_kit_relay_publishing_bool{stream="ICN_LEDGER"} 0.0\n'
        'icn_kit_outbox_lag_seconds_count{stream="ICN_LEDGER"} 100.0\n'
        'icn_kit_outbox_lag_seconds_bucket{stream="ICN_LEDGER",le="10.0"} 94.0\n'
        "icn_consensus_clock_distance_seconds 4.5\nicn_consensus_execution_backlog_blocks 20.0\n"
    )
    found = {one.check: one.found for one in check_processes([ProcessAnswer("a", parse_samples(text))])}
    assert found["state root"] == "a: 2 proposals named other state roots than it computed"
    assert found["dead letters"] == "a: 1 events were put aside after five tries"
    assert found["outbox"].startswith("6% of the batches of ICN_LEDGER")
    assert "+4.5 s away" in found["clock"]
    assert "execution" not in found  # exactly at the border


@pytest.mark.parametrize(
    ("in_force", "following", "known", "says"),
    [
        (1, 1, 1, ""),
        (1, 2, 2, ""),
        (1, 2, 1, "protocol version 2 comes in force at the end of the epoch, its release knows up to 1"),
        (2, 2, 1, "protocol version 2 is in force, its release knows up to 1"),
    ],
)
def test_a_release_that_is_too_old_for_the_protocol_is_told(
    in_force: int, following: int, known: int, says: str
) -> None:
    text = "".join(
        f'icn_consensus_protocol_version{{seat="0",which="{which}"}} {version}.0\n'
        for which, version in (("in_force", in_force), ("next", following), ("known", known))
    )
    found = [
        one for one in check_processes([ProcessAnswer("a", parse_samples(text))]) if one.check == "protocol"
    ]
    assert [one.found for one in found] == ([f"a: {says}"] if says else [])


def test_who_is_exactly_at_the_border_is_not_behind_and_nobody_is_no_quorum() -> None:
    standings = [SeatStanding(seat, "", True, 100, 100 - 20 * (seat == 0), "", 1_000) for seat in range(4)]
    assert not [one for one in check_standings(standings, 3, 1.0) if one.severity is not Severity.FINE]
    (found,) = check_standings([SeatStanding(0, "mill", False)], 1, 1.0)
    assert (
        "0 of 1 validators answer, 1 are a quorum: the chain stands still. Away: seat 0 (mill)" in found.found
    )


def _of_validators_alone(cluster: RecordedCluster, streams: int = 3, told: int = 11) -> None:
    """As the mill runs its seat, with the services elsewhere."""
    cluster.kinds["deployments"] = []
    cluster.kinds["pods"] = [cluster.pod(VALIDATOR)]
    owner = cluster.owner("statefulsets", "icn-validator-0")
    cluster.kinds["statefulsets"] = [owner]
    for container in owner["spec"]["template"]["spec"]["containers"]:
        container["env"] = [one for one in container["env"] if "_NATS_" not in one["name"]]
    consensus, ledger = f"{VALIDATOR}.consensus", f"{VALIDATOR}.ledger"
    cluster.metrics[consensus] += f'icn_consensus_peers_connected_streams{{seat="0"}} {streams}\n'
    cluster.metrics[consensus] = cluster.metrics[consensus].replace('"told"} 11', f'"told"}} {told}')
    signed = (f'icn_ledger_epoch_signed_blocks{{seat="{seat}"}} 1' for seat in range(SEATS))
    cluster.metrics[ledger] = "\n".join((*signed, "icn_ledger_vm_unfinished_height 0.0", ""))


def test_of_validators_alone_each_tells_where_it_stands(cluster: RecordedCluster) -> None:
    _of_validators_alone(cluster)
    found = findings_of(cluster)
    assert {one.check for one in found if one.severity is not Severity.FINE} == {
        "network",
        "evaluation",
        "alerts",
    }
    assert (
        "icn-validator-0-0/consensus has executed 11 of 11 blocks and is connected to 3 others; 3 of 4 are"
        in (next(one.found for one in found if one.check == "quorum"))
    )
    (network,) = (one for one in found if one.check == "network")
    assert network.severity is Severity.UNKNOWN and "no call to try" in network.advice


@pytest.mark.parametrize(
    ("streams", "told", "check", "severity"),
    [
        (2, 11, "quorum", Severity.FINE),
        (1, 11, "quorum", Severity.PROBLEM),
        (3, 31, "quorum", Severity.FINE),
        (3, 32, "height", Severity.WARNING),
    ],
)
def test_a_validator_alone_is_held_to_a_quorum_and_to_what_others_told(
    cluster: RecordedCluster, streams: int, told: int, check: str, severity: Severity
) -> None:
    _of_validators_alone(cluster, streams, told)
    (found,) = (one for one in findings_of(cluster) if one.check in {"quorum", "height"})
    assert (found.check, found.severity) == (check, severity)


def test_validators_alone_that_tell_nothing_are_a_problem(cluster: RecordedCluster) -> None:
    _of_validators_alone(cluster)
    cluster.kinds["pods"] = []
    assert "no validator of this release tells where it stands" in {one.found for one in problems_of(cluster)}


def test_a_chain_that_never_began_is_a_problem() -> None:
    standings = [SeatStanding(seat, "", True, 0, 0, "", 1_000) for seat in range(4)]
    (problem,) = (one for one in check_standings(standings, 3, 301.0) if one.severity is Severity.PROBLEM)
    assert problem.found.startswith("there is no block, and genesis is 300 s old")
    assert not [one for one in check_standings(standings, 3, 31.0) if one.severity is not Severity.FINE]


def test_a_gateway_that_is_not_ready_proves_no_policy(cluster: RecordedCluster) -> None:
    for pod in list(cluster.kinds["pods"]):
        if "gateway" in pod["metadata"]["name"]:
            cluster.container(pod["metadata"]["name"], "gateway")
    (found,) = (one for one in findings_of(cluster) if one.check == "network")
    assert found.severity is Severity.UNKNOWN


def test_one_answer_that_does_not_come_ends_no_diagnosis(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("icn_client.doctor.kubectl.CALL_SECONDS_MAX", 0.2)
    program = tmp_path / "kubectl"
    program.write_text("#!/bin/sh\nexec sleep 5\n")
    program.chmod(0o755)
    kubectl = Kubectl("icn", str(program))
    with pytest.raises(KubectlFailed, match="no answer within") as failed:
        kubectl.logs("a", "b", 1)
    assert not isinstance(failed.value, KubectlUnreachable)
    with pytest.raises(KubectlUnreachable, match="no answer within"):
        kubectl.version()


def test_the_worst_comes_first() -> None:
    made = [Finding("a", severity, "") for severity in (Severity.FINE, Severity.UNKNOWN, Severity.PROBLEM)]
    assert [one.severity for one in by_severity(made)] == [Severity.PROBLEM, Severity.UNKNOWN, Severity.FINE]


def test_the_probe_runs_alone_and_answers_what_it_is_asked(tmp_path: Path) -> None:
    asked = {
        "urls": ["http://127.0.0.1:9/metrics"],
        "paths": [str(tmp_path), "/nowhere"],
        "connect": "127.0.0.1:9",
    }
    source = Path(probe.__file__).read_text("utf-8")
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-", json.dumps(asked)],
        input=source,
        capture_output=True,
        text=True,
        check=True,
    )
    answer = json.loads(done.stdout)
    assert answer["bodies"] == {"http://127.0.0.1:9/metrics": None}
    assert list(answer["volumes"]) == [str(tmp_path)]
    assert answer["connected"] is False
    assert answer["schema"] is None
    assert probe.newest_revision("icn_ledger") >= "0001"
    assert probe.newest_revision("icn_nothing") == ""


NOTHING = """case "$*" in
*version*) echo '{"serverVersion": {"major": "1", "minor": "34"}}' ;;
*template*) ;;
*) echo '{"items": []}' ;;
esac"""
FAKE_KUBECTL = """#!/bin/sh
case "$*" in
*version*) echo '{"serverVersion": {"major": "1", "minor": "34+"}}' ;;
*"get secrets"*keys*) exit 9 ;;
*"get secrets"*tls.crt*) echo 'icn-nats-tls eA== eQ==' ;;
*"get secrets"*) printf 'icn-nats-tls ca.crt tls.crt\\nicn-empty\\n' ;;
*"get pods"*) echo '{"items": [{"metadata": {"name": "b"}}, {"metadata": {"name": "a"}}]}' ;;
*exec*) cat >/dev/null; echo '{"time_seconds": 1}' ;;
*nodes*) echo 'The connection to the server was refused - did you specify the right host?' >&2; exit 1 ;;
*) echo 'Error from server (Forbidden): no' >&2; exit 1 ;;
esac
"""


def test_kubectl_is_asked_for_the_names_of_a_secrets_keys_alone(tmp_path: Path) -> None:
    program = tmp_path / "kubectl"
    program.write_text(FAKE_KUBECTL)
    program.chmod(0o755)
    kubectl = Kubectl("icn", str(program))
    assert kubectl.version() == "1.34"
    assert kubectl.secret_keys() == {"icn-nats-tls": {"ca.crt", "tls.crt"}, "icn-empty": frozenset()}
    assert kubectl.certificates() == {"icn-nats-tls": (b"x", b"y")}
    assert [one["metadata"]["name"] for one in kubectl.objects("pods")] == ["a", "b"]
    assert kubectl.probe("a", "b", {}) == {"time_seconds": 1}
    with pytest.raises(
        KubectlFailed, match=r"kubectl get jobs -o: Error from server \(Forbidden\): no"
    ) as refused:
        kubectl.objects("jobs")
    assert not isinstance(refused.value, KubectlUnreachable)
    with pytest.raises(KubectlUnreachable, match="was refused"):
        kubectl.objects("nodes")
    with pytest.raises(KubectlUnreachable, match="install it, or add it to PATH"):
        Kubectl("icn", str(tmp_path / "none")).version()


def test_a_state_without_objects_is_empty() -> None:
    assert ReleaseState("icn", "icn").of("pods") == []


@pytest.mark.parametrize(
    ("options", "kubectl", "code", "says"),
    [
        (("--release", "icn", "--data", "zone"), None, 2, "--data is of a platform on this machine"),
        (("--release", "Icn"), None, 2, "--release: 1 to 39 of a-z"),
        (("--release", "icn", "--bundle", "there.tar.gz"), None, 1, "there.tar.gz exists"),
        (("--release", "icn"), None, 3, "no kubectl on PATH"),
        (("--release", "icn"), "echo 'dial tcp: connection was refused' >&2; exit 1", 3, "was refused"),
        (("--namespace", "valley"), NOTHING, 1, "namespace valley has no release icn: helm list -A"),
    ],
)
def test_the_command_says_why_it_cannot_look(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    kubectl: str | None,
    code: int,
    says: str,
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.tar.gz").touch()
    if kubectl is not None:
        (programs / "kubectl").write_text(f"#!/bin/sh\n{kubectl}\n")
        (programs / "kubectl").chmod(0o755)
    done = CliRunner().invoke(app, ["doctor", *options])
    assert isinstance(done.exception, CommandError)
    assert (done.exception.exit_code, says in str(done.exception)) == (code, True), str(done.exception)


def test_volumes_of_one_size_are_told_together_and_much_room_is_no_problem_yet() -> None:
    gibibyte = 2**30
    shared = {"/a": (200 * gibibyte, 20 * gibibyte), "/b": (200 * gibibyte, 20 * gibibyte)}
    (found,) = [
        one for one in check_processes([ProcessAnswer("pod", volumes=shared)]) if one.check == "volume"
    ]
    assert (found.severity, "pod /a, pod /b" in found.found) == (Severity.WARNING, True)
    own = {"/a": (8 * gibibyte, gibibyte)}
    (found,) = [one for one in check_processes([ProcessAnswer("pod", volumes=own)]) if one.check == "volume"]
    assert found.severity is Severity.PROBLEM
