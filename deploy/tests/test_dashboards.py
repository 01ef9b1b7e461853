"""Every query of every dashboard asks for metrics that there are, and gets an answer from a running platform.

With ICN_SCRAPE, addresses such as http://10.0.0.7:9101/metrics with spaces between, of every process of a
platform that has traffic: a Prometheus on this machine reads them, and is asked every query, those of the
alerts, too.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.tests import metrics_in_code

CHART = Path(__file__).resolve().parents[1] / "helm" / "icn"
DASHBOARDS = sorted((CHART / "dashboards").glob("*.json"))
ALERTS = sorted((CHART / "alerts").glob("*.yaml"))
NAMES = {"overview", "consensus", "ledger-and-events", "services"}
INTERVAL_SECONDS = 2
SCRAPED_SECONDS = 40.0
READY_SECONDS_MAX = 30.0
CONTAINERS = {9101: "consensus", 9102: "ledger", 9103: "vm"}
"""By the ports of the chart's validators; a service's is 9100."""

of_each_dashboard = pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)


def panels_of(path: Path) -> list[dict[str, Any]]:
    """The panels that show something."""
    return [panel for panel in json.loads(path.read_text("utf-8"))["panels"] if panel["type"] != "row"]


def queries_of(path: Path) -> list[str]:
    """Every query of a dashboard."""
    return [target["expr"] for panel in panels_of(path) for target in panel["targets"]]


def test_there_is_a_dashboard_for_each_view() -> None:
    assert {path.stem for path in DASHBOARDS} == NAMES
    uids = [json.loads(path.read_text("utf-8"))["uid"] for path in DASHBOARDS]
    assert len(set(uids)) == len(uids)


@of_each_dashboard
def test_a_dashboard_is_drawn_from_panels_that_do_not_overlap(path: Path) -> None:
    dashboard = json.loads(path.read_text("utf-8"))
    assert [variable["name"] for variable in dashboard["templating"]["list"]] == ["datasource", "namespace"]
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        columns = range(place["x"], place["x"] + place["w"])
        cells = {(x, y) for x in columns for y in range(place["y"], place["y"] + place["h"])}
        assert columns.stop <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


@of_each_dashboard
def test_a_dashboard_asks_for_metrics_that_there_are(path: Path) -> None:
    known = metrics_in_code.exported()
    for query in queries_of(path):
        assert metrics_in_code.unknown(query, known) == [], query
        selected = list(metrics_in_code.asked(query))
        assert selected
        assert query.count('{namespace="$namespace"') == len(selected), query


def test_the_chart_makes_a_config_map_of_each(render: Callable[..., Any]) -> None:
    objects = render({"monitoring": {"dashboards": True}})
    for path in DASHBOARDS:
        one = objects["ConfigMap", f"icn-dashboard-{path.stem}"]
        assert one["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert one["data"] == {f"icn-{path.stem}.json": path.read_text("utf-8")}


@pytest.fixture(scope="module")
def prometheus(program: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a Prometheus that has read the platform's metrics for SCRAPED_SECONDS."""
    addresses = os.environ.get("ICN_SCRAPE", "").split()
    if not addresses:
        pytest.skip("no platform to read: give the addresses of its metrics in ICN_SCRAPE")
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration(addresses)), "utf-8")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
    command = [program("prometheus"), f"--web.listen-address={listen}"]
    command += [f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'store'}"]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            ready_by = time.monotonic() + READY_SECONDS_MAX
            while not is_ready(f"http://{listen}/-/ready"):
                assert process.poll() is None and time.monotonic() < ready_by, (folder / "log").read_text()
                time.sleep(0.2)
            time.sleep(SCRAPED_SECONDS)
            yield f"http://{listen}"
        finally:
            process.terminate()


def configuration(addresses: list[str]) -> dict[str, Any]:
    """What Prometheus reads, with the labels that a PodMonitor's targets have."""
    targets = []
    for address in addresses:
        url = urllib.parse.urlsplit(address)
        container = CONTAINERS.get(url.port or 0, "service")
        labels = {"namespace": "icn", "pod": url.netloc, "container": container, "component": container}
        targets.append({"targets": [url.netloc], "labels": labels})
    return {
        "global": {"scrape_interval": f"{INTERVAL_SECONDS}s", "scrape_timeout": f"{INTERVAL_SECONDS}s"},
        "scrape_configs": [{"job_name": "icn", "static_configs": targets}],
    }


def is_ready(address: str) -> bool:
    """Whether somebody answers there."""
    try:
        with urllib.request.urlopen(address, timeout=1) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def ask(prometheus: str, query: str) -> list[dict[str, Any]]:
    """The series of an answer."""
    query = query.replace("$namespace", "icn").replace("$__rate_interval", "1m")
    form = urllib.parse.urlencode({"query": query})
    with urllib.request.urlopen(f"{prometheus}/api/v1/query?{form}", timeout=10) as answer:
        return list(json.load(answer)["data"]["result"])


@of_each_dashboard
def test_every_query_has_an_answer_on_a_running_platform(prometheus: str, path: Path) -> None:
    silent = [query for query in queries_of(path) if not ask(prometheus, query)]
    assert silent == []


def test_prometheus_reads_every_address(prometheus: str) -> None:
    assert [series["metric"] for series in ask(prometheus, "up == 0")] == []


def test_no_alert_fires_on_a_running_platform(prometheus: str) -> None:
    rules = [yaml.safe_load(path.read_text("utf-8"))["groups"][0]["rules"][0] for path in ALERTS]
    firing = {rule["alert"]: ask(prometheus, rule["expr"]) for rule in rules}
    assert {name: series for name, series in firing.items() if series} == {}
