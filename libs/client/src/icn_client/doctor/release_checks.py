"""What is wrong with a release on Kubernetes, and what to do."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from icn_client.doctor.finding import PAGE, Finding, Severity, runbook
from icn_client.doctor.release_state import (
    ALERTS_KIND,
    COMPONENT_LABEL,
    ReleaseState,
)
from icn_client.doctor.running import (
    check_certificates,
    check_processes,
    check_standings,
    check_validators_alone,
    standings_of,
)

VERSION_MIN: Final = (1, 30)
"""Of Chart.yaml."""
RESTARTS_MAX: Final = 3
SENTENCE_CHARACTERS_MAX: Final = 500
INSTALL: Final = "docs/operating/install.md"
UPGRADE: Final = "docs/operating/upgrade.md"
_NO_IMAGE: Final = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")
_BUNDLED: Final = {
    "postgres": ("the services' Postgres", "postgres.bundled"),
    "nats": ("NATS", "nats.bundled"),
}


def check_release(state: ReleaseState, now: float | None = None) -> list[Finding]:
    """Everything that can be said about a release.

    Args:
        state: as it was read.
        now: unix seconds; the machine's where left out.
    """
    now = time.time() if now is None else now
    return [
        *_kubernetes(state),
        *_unknown(state),
        *_references(state),
        *check_certificates(_certificates(state), now),
        *_claims(state),
        *_pods(state),
        *_images(state),
        *_jobs(state),
        *_validators(state, now),
        *check_processes(state.answers),
        *_streams(state),
        *_policies(state),
        *_evaluation(state),
        *_alerts(state),
    ]


def _kubernetes(state: ReleaseState) -> Iterator[Finding]:
    numbers = tuple(int(part) for part in state.version.split("."))
    is_old = numbers < VERSION_MIN
    yield Finding(
        "kubernetes",
        Severity.PROBLEM if is_old else Severity.FINE,
        f"version {state.version}, at least {'.'.join(map(str, VERSION_MIN))} is needed",
        "upgrade the cluster" if is_old else "",
        INSTALL if is_old else "",
    )


def _unknown(state: ReleaseState) -> Iterator[Finding]:
    for what, why in state.faults.items():
        if what != ALERTS_KIND:
            yield Finding(
                "access",
                Severity.UNKNOWN,
                f"{what} could not be looked at: {why}",
                "ask as somebody who may, or when it is less busy",
                PAGE,
            )


def _references(state: ReleaseState) -> Iterator[Finding]:
    """Secrets and ConfigMaps that the pods' templates name."""
    if "secrets" in state.faults:
        return
    wanted: dict[str, set[str]] = {}
    for owner in (*state.of("statefulsets"), *state.of("deployments")):
        for name, keys in secrets_of(owner["spec"]["template"]["spec"]):
            wanted.setdefault(name, set()).update(keys)
    missing = []
    for name, keys in sorted(wanted.items()):
        held = state.secret_keys.get(name)
        if held is None:
            missing.append(f"Secret {name}")
        elif lacks := sorted(keys - held):
            missing.append(f"{', '.join(lacks)} in Secret {name}")
    if missing:
        yield Finding(
            "secrets",
            Severity.PROBLEM,
            f"{len(missing)} of {len(wanted)} Secrets of pods are missing or lack keys: {'; '.join(missing)}",
            "make them as they were (objects.json of icn cluster prepare, or your secret store); pods "
            "that wait take them by themselves",
            INSTALL,
        )
    elif wanted:
        yield Finding("secrets", Severity.FINE, f"{len(wanted)} Secrets are there with all keys")


def secrets_of(spec: Mapping[str, Any]) -> Iterator[tuple[str, set[str]]]:
    """Names of the Secrets that a pod needs, each with the keys that it names."""
    for container in (*spec.get("initContainers", ()), *spec["containers"]):
        for variable in container.get("env", ()):
            wanted = variable.get("valueFrom", {}).get("secretKeyRef")
            if wanted and not wanted.get("optional"):
                yield wanted["name"], {wanted["key"]}
    for volume in spec.get("volumes", ()):
        sources = [volume, *volume.get("projected", {}).get("sources", ())]
        for source in sources:
            secret = source.get("secret")
            if secret and not secret.get("optional"):
                name = secret.get("secretName") or secret["name"]
                keys = {item["key"] for item in secret.get("items", ())}
                yield name, keys or ({"tls.crt", "tls.key", "ca.crt"} if volume["name"] == "tls" else set())
    for secret in spec.get("imagePullSecrets", ()):
        yield secret["name"], set()


def _certificates(state: ReleaseState) -> Iterator[tuple[str, bytes, bytes, str]]:
    """What each part shows to those who call it by the name of its Service; without one nobody does."""
    called = {one["metadata"]["name"] for one in state.of("services")}
    for owner in (*state.of("statefulsets"), *state.of("deployments")):
        for volume in owner["spec"]["template"]["spec"].get("volumes", ()):
            name = volume.get("secret", {}).get("secretName", "")
            if volume["name"] == "tls" and name in state.certificates:
                host = owner["metadata"]["name"]
                yield f"Secret {name}", *state.certificates[name], host if host in called else ""


def _claims(state: ReleaseState) -> Iterator[Finding]:
    claims = state.of("persistentvolumeclaims")
    names = {one["metadata"]["name"] for one in state.of("storageclasses")}
    for claim in claims:
        phase = claim["status"].get("phase")
        if phase == "Bound":
            continue
        name = claim["metadata"]["name"]
        wanted = claim["spec"].get("storageClassName", "")
        if wanted and "storageclasses" in state.objects and wanted not in names:
            why = f"there is no StorageClass {wanted}, only {', '.join(sorted(names)) or 'none'}"
        else:
            why = _newest_event(state, name) or "nobody provides a volume"
        yield Finding(
            "volume",
            Severity.PROBLEM,
            f"claim {name} is {phase}: {why}",
            "make a StorageClass or a volume for it, or name one in the values",
            INSTALL,
        )
    if claims and all(one["status"].get("phase") == "Bound" for one in claims):
        yield Finding("volume", Severity.FINE, f"{len(claims)} claims are bound")


def _pods(state: ReleaseState) -> Iterator[Finding]:
    pods = [pod for pod in state.of("pods") if "job-name" not in pod["metadata"].get("labels", {})]
    ready = 0
    for pod in pods:
        name = pod["metadata"]["name"]
        conditions = {one["type"]: one for one in pod["status"].get("conditions", ())}
        if conditions.get("Ready", {}).get("status") == "True":
            ready += 1
            yield from _restarts(pod)
        else:
            yield _why_not_ready(state, pod, conditions)
        for one in pod["status"].get("containerStatuses", ()):
            if one.get("lastState", {}).get("terminated", {}).get("reason") == "OOMKilled":
                yield Finding(
                    "memory",
                    Severity.WARNING,
                    f"{name}/{one['name']} was killed for memory, {one['restartCount']} restarts",
                    "raise its resources.limits.memory",
                    runbook("IcnPodRestarts"),
                )
    for owner in (*state.of("statefulsets"), *state.of("deployments")):
        wanted = owner["spec"].get("replicas", 1)
        made = owner["status"].get("replicas", 0)
        if made < wanted:
            name = owner["metadata"]["name"]
            why = _newest_event(state, name) or "no event says why"
            yield Finding(
                "pods",
                Severity.PROBLEM,
                f"{name} has {made} of {wanted} pods: {why}",
                "scale it back"
                if not wanted
                else "see kubectl describe, and whether a quota or policy forbids it",
                PAGE,
            )
        elif not wanted:
            name = owner["metadata"]["name"]
            yield Finding(
                "pods",
                Severity.WARNING,
                f"{name} is scaled to 0",
                f"kubectl scale --replicas=1 {owner['kind'].lower()}/{name} when it may run",
                PAGE,
            )
    if pods and ready == len(pods):
        yield Finding("pods", Severity.FINE, f"{ready} of {len(pods)} pods are ready")


def _restarts(pod: Mapping[str, Any]) -> Iterator[Finding]:
    for one in pod["status"].get("containerStatuses", ()):
        if one["restartCount"] > RESTARTS_MAX:
            ended = one.get("lastState", {}).get("terminated", {})
            yield Finding(
                "restarts",
                Severity.WARNING,
                f"{pod['metadata']['name']}/{one['name']} was restarted {one['restartCount']} times, last: "
                f"{sentence_of(ended.get('message', '')) or ended.get('reason', 'unknown')}",
                "see kubectl logs --previous",
                runbook("IcnPodRestarts"),
            )


def _why_not_ready(state: ReleaseState, pod: Mapping[str, Any], conditions: Mapping[str, Any]) -> Finding:
    name = pod["metadata"]["name"]
    status = pod["status"]
    statuses = (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ()))
    for one in statuses:
        waiting = one.get("state", {}).get("waiting", {})
        if waiting.get("reason") in _NO_IMAGE:
            return Finding(
                "image",
                Severity.PROBLEM,
                f"{name}/{one['name']}: no image {one['image']} ({waiting['reason']})",
                "push it where the cluster pulls from, name a tag that is there (images.tag), or "
                "go back with helm rollback; images.pullSecrets names what to pull with",
                UPGRADE,
            )
        if waiting.get("reason") == "CreateContainerConfigError":
            return Finding(
                "pods",
                Severity.PROBLEM,
                f"{name}/{one['name']} cannot be made: {waiting.get('message', '')}",
                "make the Secret or ConfigMap; the pod takes it by itself",
                INSTALL,
            )
    for one in statuses:
        ended = one.get("state", {}).get("terminated") or one.get("lastState", {}).get("terminated") or {}
        is_bad = ended.get("exitCode", 0) != 0 and not one.get("ready")
        if is_bad:
            said = sentence_of(ended.get("message", "")) or sentence_of(
                state.last_lines.get((name, one["name"]), "")
            )
            return Finding(
                "pods",
                Severity.PROBLEM,
                f"{name}/{one['name']} ended with {ended['exitCode']} ({ended.get('reason', 'Error')}), "
                f"{one['restartCount']} restarts: {said or 'it said nothing'}",
                "do what the sentence says; the page has what each asks for",
                PAGE,
            )
    if conditions.get("PodScheduled", {}).get("status") == "False":
        why = conditions["PodScheduled"].get("message", "")
        return Finding(
            "pods",
            Severity.PROBLEM,
            f"{name} has no node: {why}",
            "free or add what it asks a node for",
            PAGE,
        )
    for one in statuses:
        said = sentence_of(state.last_lines.get((name, one["name"]), ""))
        if "running" in one.get("state", {}) and not one.get("ready") and said:
            return Finding(
                "pods",
                Severity.PROBLEM,
                f"{name}/{one['name']} runs and is not ready; it said last: {said}",
                "wait, if it has just started; else do what the sentence says",
                PAGE,
            )
    why = _newest_event(state, name) or str(status.get("message") or status.get("phase"))
    return Finding("pods", Severity.PROBLEM, f"{name} is not ready: {why}", "see kubectl describe pod", PAGE)


def sentence_of(said: str) -> str:
    """What the last line of a container's log or its message says to a person, at most
    SENTENCE_CHARACTERS_MAX."""
    lines = [line.strip() for line in said.strip().splitlines() if line.strip()]
    if not lines:
        return ""
    line = lines[-1]
    try:
        document = json.loads(line)
        reason = (
            document.get("why")
            or document.get("error")
            or document.get("exception", "").strip().rpartition("\n")[2]
        )
        line = ": ".join(part for part in (str(document.get("event", "")), str(reason or "")) if part)
    except (ValueError, AttributeError):
        pass
    return line[:SENTENCE_CHARACTERS_MAX]


def _newest_event(state: ReleaseState, name: str) -> str:
    """The newest warning about an object."""
    about = [
        one
        for one in state.of("events")
        if one.get("type") == "Warning" and one.get("involvedObject", {}).get("name") == name
    ]
    about.sort(key=lambda one: str(one.get("lastTimestamp") or one.get("eventTime") or ""))
    return " ".join(str(about[-1].get("message", "")).split())[:SENTENCE_CHARACTERS_MAX] if about else ""


def _images(state: ReleaseState) -> Iterator[Finding]:
    """Whether each pod runs what its owner says: a roll that stopped leaves old ones."""
    owners = {
        one["metadata"]["name"]: _images_of(one["spec"]["template"]["spec"])
        for one in state.of("statefulsets")
    }
    old = []
    for pod in state.of("pods"):
        wanted = owners.get(pod["metadata"]["name"].rpartition("-")[0])
        if wanted is not None and _images_of(pod["spec"]) != wanted:
            old.append(pod["metadata"]["name"])
    if old:
        yield Finding(
            "version",
            Severity.WARNING,
            f"{len(old)} of {len(owners)} StatefulSets run other images than they name: {', '.join(old)}",
            "see kubectl logs job/RELEASE-roll; run the upgrade again, or go back with helm rollback",
            UPGRADE,
        )


def _images_of(spec: Mapping[str, Any]) -> set[str]:
    return {one["image"] for one in (*spec.get("initContainers", ()), *spec["containers"])}


def _jobs(state: ReleaseState) -> Iterator[Finding]:
    for job in state.of("jobs"):
        name = job["metadata"]["name"]
        failed = next((c for c in job["status"].get("conditions", ()) if c["type"] == "Failed"), None)
        if failed is None or failed["status"] != "True":
            continue
        yield Finding(
            "jobs",
            Severity.PROBLEM,
            f"job {name} failed: {failed.get('message', failed.get('reason', ''))}",
            f"see kubectl logs job/{name}, mend what it names, and run the upgrade or the test again",
            UPGRADE,
        )


def _validators(state: ReleaseState, now: float) -> Iterator[Finding]:
    seats = len(state.validator_sets)
    if state.is_of_validators_alone:
        yield from check_validators_alone(state.answers)
        return
    if not state.validators:
        yield Finding(
            "quorum",
            Severity.PROBLEM,
            f"no gateway tells where the {seats} validators stand",
            "bring the gateway up first; icn status through another one tells meanwhile",
            PAGE,
        )
        return
    standings = standings_of(state.validators)
    quorum = int(state.validators["quorum"])
    yield from check_standings(standings, quorum, now)
    declared = str(state.validators["trust_profile"])
    shown = {
        one["spec"]["template"]["metadata"].get("annotations", {}).get("icn.coop/trust-profile")
        for one in state.validator_sets
    } - {None}
    holds = f"this release runs {seats} of {len(standings)} seats, {quorum} are a quorum"
    if shown and shown != {declared}:
        yield Finding(
            "trust",
            Severity.PROBLEM,
            f"genesis declares the trust profile {declared}, the release shows {shown.pop()}",
            f"set trustProfile to {declared}: members rely on what is shown",
            "docs/spec/genesis.md",
        )
    elif declared == "independent" and seats >= quorum:
        yield Finding(
            "trust",
            Severity.PROBLEM,
            f"{holds}, and genesis declares independent",
            "move seats to other hosts: whoever runs this cluster could rewrite what is decided",
            "docs/spec/genesis.md",
        )
    else:
        yield Finding("trust", Severity.FINE, f"{declared}: {holds}")


def _streams(state: ReleaseState) -> Iterator[Finding]:
    if letters := state.streams.get("ICN_DEAD_LETTERS"):
        yield Finding(
            "dead letters",
            Severity.WARNING,
            f"{letters} events lie in ICN_DEAD_LETTERS",
            "find why in the logs of those who put them aside",
            runbook("IcnDeadLetters"),
        )
    replicas = {
        variable["value"]
        for owner in (*state.of("statefulsets"), *state.of("deployments"))
        for container in owner["spec"]["template"]["spec"]["containers"]
        for variable in container.get("env", ())
        if variable["name"].endswith("_NATS_STREAM_REPLICAS") and "value" in variable
    }
    if "nats" not in _components(state) and replicas & {"1", "2"}:
        yield Finding(
            "event bus",
            Severity.WARNING,
            f"each stream is kept by {min(replicas)} server of an external NATS, 3 are needed to lose one",
            "set nats.streamReplicas to 3 where NATS has three servers or more",
            INSTALL,
        )


def _policies(state: ReleaseState) -> Iterator[Finding]:
    policies = len(state.of("networkpolicies"))
    if "networkpolicies" in state.faults:
        return
    if not policies:
        yield Finding(
            "network",
            Severity.WARNING,
            "there are 0 network policies: every pod of the cluster may call the parts of this release",
            "set networkPolicies.enabled to true",
            INSTALL,
        )
    elif state.has_fence is False:
        yield Finding(
            "network",
            Severity.PROBLEM,
            f"{policies} network policies are there, and reputation reached the gateway, which they forbid",
            "install a network plug-in that enforces NetworkPolicy",
            INSTALL,
        )
    elif state.has_fence:
        yield Finding(
            "network",
            Severity.FINE,
            f"{policies} network policies are enforced: a call that they forbid failed",
        )
    else:
        yield Finding(
            "network",
            Severity.UNKNOWN,
            f"{policies} network policies are there; whether they are enforced could not be tried",
            "see that the network plug-in enforces NetworkPolicy: validators alone have no call to try"
            if state.is_of_validators_alone
            else "bring reputation and gateway up, and look again",
            INSTALL,
        )


def _components(state: ReleaseState) -> set[str]:
    return {
        str(one["metadata"].get("labels", {}).get(COMPONENT_LABEL))
        for one in (*state.of("statefulsets"), *state.of("deployments"))
    }


def _evaluation(state: ReleaseState) -> Iterator[Finding]:
    parts = [f"{what} ({value})" for part, (what, value) in _BUNDLED.items() if part in _components(state)]
    if any(
        container["name"] == "postgres"
        for one in state.validator_sets
        for container in one["spec"]["template"]["spec"].get("initContainers", ())
    ):
        parts.append("each validator's Postgres (validators.postgres.bundled)")
    if parts:
        yield Finding(
            "evaluation",
            Severity.WARNING,
            f"{len(parts)} parts are bundled, one server each without a replica: {', '.join(parts)}",
            "for production name servers that are replicated and backed up: examples/external-postgres.yaml",
            INSTALL,
        )


def _alerts(state: ReleaseState) -> Iterator[Finding]:
    own = [
        one
        for one in state.of(ALERTS_KIND)
        if one["metadata"].get("labels", {}).get("app.kubernetes.io/instance") == state.release
    ]
    rules = sum(len(group["rules"]) for one in own for group in one["spec"]["groups"])
    if rules:
        yield Finding("alerts", Severity.FINE, f"{rules} alerts are installed")
    else:
        yield Finding(
            "alerts",
            Severity.WARNING,
            "0 alerts are installed: nobody is told of what this command would find",
            "set monitoring.prometheusRules to true where the Prometheus operator runs",
            "docs/operating/monitoring.md",
        )
