"""The release as its Prometheus sees it: targets as the PodMonitors choose them, the chart's own alerts."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from scripts.cluster_test.load import steady_load
from scripts.cluster_test.release import CHART, RELEASE, ROOT, Cluster, Failed, say, values, wait_for
from scripts.render_k8s import KUBERNETES_VERSION

SCRAPE_SECONDS = 5
READY_SECONDS_MAX = 60.0
CLEARED_SECONDS_MAX = 900.0
"""IcnStreamRewound looks ten minutes back."""
METRICS_PORT_NAMES = {"m-consensus", "m-ledger", "m-vm", "metrics"}


@dataclass(frozen=True)
class Prometheus:
    """One that reads the release and evaluates its alerts."""

    address: str

    def ask(self, path: str) -> Any:
        """The data of an answer of its HTTP API."""
        url = f"{self.address}/api/v1/{path}"
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - http, on this machine
            return json.load(answer)["data"]

    def targets(self) -> list[dict[str, Any]]:
        """Processes that it reads."""
        return list(self.ask("targets?state=active")["activeTargets"])

    def firing(self) -> set[str]:
        """Names of alerts."""
        alerts = self.ask("alerts")["alerts"]
        return {one["labels"]["alertname"] for one in alerts if one["state"] == "firing"}


def watching(cluster: Cluster) -> Prometheus:
    """The Prometheus of this run, started where there is none. Raises Failed."""
    if cluster.prometheus:
        return Prometheus(cluster.prometheus)
    program = shutil.which("prometheus", path=cluster.environment["PATH"])
    if program is None:
        raise Failed("prometheus is not on this machine: install it (Debian: apt install prometheus)")
    folder = cluster.work / "prometheus"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "prometheus.yml").write_text(yaml.safe_dump(_configuration()), "utf-8")
    (folder / "rules.yml").write_text(yaml.safe_dump({"groups": _rules(cluster)}), "utf-8")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
    ended = threading.Event()
    follower = threading.Thread(target=_follow, args=(cluster, folder / "targets.json", ended))
    follower.start()
    cluster.resources.callback(follower.join)
    cluster.resources.callback(ended.set)
    log = cluster.resources.enter_context((folder / "log").open("wb"))
    process = subprocess.Popen(
        [program, f"--web.listen-address={listen}", f"--config.file={folder / 'prometheus.yml'}",
         f"--storage.tsdb.path={folder / 'store'}"],
        stdout=log, stderr=log,
    )  # fmt: skip
    cluster.resources.callback(process.wait)
    cluster.resources.callback(process.terminate)
    prometheus = Prometheus(f"http://{listen}")
    wait_for(lambda: _reads_everything(prometheus), "Prometheus to read every process", READY_SECONDS_MAX)
    cluster.prometheus = prometheus.address
    return prometheus


def _reads_everything(prometheus: Prometheus) -> bool:
    try:
        targets = prometheus.targets()
    except (urllib.error.URLError, OSError):
        return False
    return bool(targets) and all(one["health"] == "up" for one in targets)


def _configuration() -> dict[str, Any]:
    """As of the chart's PodMonitors; Debian's Prometheus does not find pods by itself."""
    interval = f"{SCRAPE_SECONDS}s"
    found = {"files": ["targets.json"], "refresh_interval": interval}
    return {
        "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
        "rule_files": ["rules.yml"],
        "scrape_configs": [{"job_name": "icn", "file_sd_configs": [found]}],
    }


def _follow(cluster: Cluster, targets: Path, ended: threading.Event) -> None:
    """Write down every process that tells metrics, as pods come and go."""
    while not ended.is_set():
        try:
            found = [target for pod in cluster.pods() for target in _targets_of(pod)]
        except Failed as failed:  # as when the API server is busy: the next look finds them
            say(f"pods were not listed: {failed}")
        else:
            written = targets.with_suffix(".new")
            written.write_text(json.dumps(found), "utf-8")
            written.rename(targets)
        ended.wait(SCRAPE_SECONDS)


def _targets_of(pod: dict[str, Any]) -> list[dict[str, Any]]:
    """A pod's processes that tell metrics, with the labels that its PodMonitor gives them."""
    address = pod["status"].get("podIP")
    meta = pod["metadata"]
    labels = {
        "namespace": meta["namespace"],
        "pod": meta["name"],
        "component": meta["labels"]["app.kubernetes.io/component"],
    }
    return [
        {"targets": [f"{address}:{port['containerPort']}"], "labels": {**labels, "container": one["name"]}}
        for one in pod["spec"]["containers"]
        for port in one.get("ports", [])
        if address and port.get("name") in METRICS_PORT_NAMES
    ]


def _rules(cluster: Cluster) -> list[dict[str, Any]]:
    """The groups of the release's PrometheusRule."""
    shown = ("--show-only", "templates/prometheusrule.yaml", "--set", "monitoring.prometheusRules=true")
    api = ("--kube-version", KUBERNETES_VERSION, "--api-versions", "monitoring.coreos.com/v1/PrometheusRule")
    rendered = cluster.helm("template", RELEASE, str(CHART), *values(cluster), *shown, *api)
    return list(yaml.safe_load(rendered)["spec"]["groups"])


def ask_dashboards(cluster: Cluster) -> None:
    """While members pay and look at the market, every query of every dashboard has an answer."""
    addresses = " ".join(one["scrapeUrl"] for one in watching(cluster).targets())
    environment = {**os.environ, **cluster.environment, "ICN_SCRAPE": addresses}
    market = f"{cluster.gateway_url}/v1/offers"
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "answer or reads"]
    with steady_load(cluster), subprocess.Popen(
        [*tests, "deploy/tests/test_dashboards.py"],
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True,
    ) as asking:  # fmt: skip
        while asking.poll() is None:
            look_at_the_market(market)
            time.sleep(1)
        shown = asking.stdout.read() if asking.stdout else ""
    said = shown.strip().rpartition("\n")[2].strip("= ")
    is_met = asking.returncode == 0 and "skipped" not in said
    if not is_met:
        say(shown[-3000:])
    cluster.note("every query of the dashboards, against the release under load", "an answer", said, is_met)


def look_at_the_market(url: str) -> None:
    """A call of the gateway to another service."""
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - http, to the cluster on this machine
        answer.read()


def await_silence(cluster: Cluster) -> None:
    """What the wiped bus set off is over."""
    prometheus = watching(cluster)
    wait_for(
        lambda: "IcnStreamRewound" not in prometheus.firing(),
        "IcnStreamRewound to clear",
        CLEARED_SECONDS_MAX,
    )
    cluster.note("the alert of the wiped bus", "cleared", "cleared", True)
