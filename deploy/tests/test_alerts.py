"""Each alert is one file with a promtool test and a runbook of the same name, and asks for what there is."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.tests import metrics_in_code

ROOT = Path(__file__).resolve().parents[2]
ALERTS = sorted((ROOT / "deploy" / "helm" / "icn" / "alerts").glob("*.yaml"))
TESTS = ROOT / "deploy" / "tests" / "alerts"
RUNBOOKS = ROOT / "docs" / "operating" / "runbooks"
PAGE = ROOT / "docs" / "operating" / "monitoring.md"
SECTIONS = ["Meaning", "Impact", "Diagnosis", "Mitigation"]
SERVICES = {"gateway", "consensus", "ledger", "events", "services", "postgres", "kubernetes"}
FENCE = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"\bIcn[A-Z][A-Za-z]+\b")
ALERTS_MIN = 20

of_each_alert = pytest.mark.parametrize("path", ALERTS, ids=lambda path: path.stem)


def rule_of(path: Path) -> dict[str, Any]:
    """The one rule of an alert's file."""
    (group,) = yaml.safe_load(path.read_text("utf-8"))["groups"]
    (rule,) = group["rules"]
    assert group["name"] == rule["alert"]
    return dict(rule)


def sections_of(runbook: str) -> dict[str, str]:
    """Text by heading, in order."""
    parts = re.split(r"^## (.+)\n", runbook, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


@of_each_alert
def test_an_alert_is_named_as_its_file_and_says_what_is_wrong(path: Path) -> None:
    rule = rule_of(path)
    assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
    assert rule["alert"] == path.stem and NAMED.fullmatch(path.stem)
    assert rule["labels"].keys() == {"severity", "service"}
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["labels"]["service"] in SERVICES
    assert rule["annotations"].keys() == {"summary", "description"}, "the chart adds runbook_url"
    assert len(rule["annotations"]["summary"]) <= 90


@of_each_alert
def test_an_alert_asks_for_metrics_that_there_are_in_its_own_namespace(path: Path) -> None:
    expression = rule_of(path)["expr"]
    assert metrics_in_code.unknown(expression, metrics_in_code.exported()) == []
    selected = list(metrics_in_code.asked(expression))
    assert selected
    assert expression.count('{namespace="icn"') == len(selected), "another release's metrics count, too"


@of_each_alert
def test_an_alert_has_a_test_where_it_fires_and_one_where_it_is_silent(path: Path) -> None:
    cases = yaml.safe_load((TESTS / f"{path.stem}.test.yaml").read_text("utf-8"))
    assert (TESTS / cases["rule_files"][0]).resolve() == path
    expected = [
        (asked["alertname"], bool(asked["exp_alerts"]))
        for case in cases["tests"]
        for asked in case["alert_rule_test"]
    ]
    assert {(path.stem, True), (path.stem, False)} == set(expected)


@of_each_alert
def test_an_alert_has_a_runbook_with_commands(path: Path) -> None:
    text = (RUNBOOKS / f"{path.stem}.md").read_text("utf-8")
    assert text.startswith(f"# {path.stem}\n")
    sections = sections_of(text)
    assert list(sections) == SECTIONS
    assert all(len(section.split()) >= 5 for section in sections.values())
    assert FENCE.search(sections["Diagnosis"])
    assert FENCE.search(sections["Mitigation"])


@of_each_alert
def test_the_commands_of_a_runbook_are_shell(path: Path) -> None:
    bash = shutil.which("bash")
    assert bash is not None
    commands = "\n".join(FENCE.findall((RUNBOOKS / f"{path.stem}.md").read_text("utf-8")))
    done = subprocess.run([bash, "-n"], input=commands, capture_output=True, text=True, check=False)
    assert done.stderr == ""


@of_each_alert
def test_a_runbook_names_alerts_and_metrics_that_there_are(path: Path) -> None:
    text = (RUNBOOKS / f"{path.stem}.md").read_text("utf-8")
    assert set(NAMED.findall(text)) <= {alert.stem for alert in ALERTS}
    names = set(re.findall(r"\bicn_(?:kit|consensus|ledger|gateway|vm)_[a-z_]*[a-z]\b(?![_(*])", text))
    known = set(metrics_in_code.exported())
    assert {name for name in names if not any(one.startswith(name) for one in known)} == set()


def test_every_test_and_runbook_is_of_an_alert() -> None:
    names = {path.stem for path in ALERTS}
    assert len(names) >= ALERTS_MIN
    assert {path.name.removesuffix(".test.yaml") for path in TESTS.iterdir()} == names
    assert {path.stem for path in RUNBOOKS.iterdir()} == names


def test_the_page_about_monitoring_lists_every_alert_and_every_metric_of_the_kit() -> None:
    page = PAGE.read_text("utf-8")
    listed = dict(re.findall(r"^\| \[(\w+)\]\(.+\) \| (\w+) \|", page, re.M))
    assert listed == {path.stem: rule_of(path)["labels"]["severity"] for path in ALERTS}
    rows = re.findall(r"^\| `(icn_kit_\w+?)(?:\{([\w,]+)\})?` \|", page, re.M)
    made = metrics_in_code.families("kit")
    assert {name: frozenset(labels.split(",")) - {""} for name, labels in rows} == made


def test_promtool_takes_every_rule(program: Callable[[str], str]) -> None:
    command = [program("promtool"), "check", "rules", "--lint=all", "--lint-fatal", *map(str, ALERTS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_fires_and_is_silent_as_its_test_says(program: Callable[[str], str]) -> None:
    command = [program("promtool"), "test", "rules", *map(str, sorted(TESTS.iterdir()))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


Render = Callable[..., dict[tuple[str, str], dict[str, Any]]]


def test_the_chart_renders_every_alert_for_its_own_namespace(render: Render) -> None:
    monitoring = {
        "prometheusRules": True,
        "runbooksUrl": "https://icn.example/runbooks",
        "labels": {"a": "b"},
    }
    objects = render({"monitoring": monitoring}, "--namespace", "valley")
    rule = objects["PrometheusRule", "icn-alerts"]
    assert rule["metadata"]["labels"]["a"] == "b"
    (group,) = rule["spec"]["groups"]
    rendered = {one["alert"]: one for one in group["rules"]}
    assert rendered.keys() == {path.stem for path in ALERTS}
    for path in ALERTS:
        written, one = rule_of(path), rendered[path.stem]
        assert one["annotations"].pop("runbook_url") == f"https://icn.example/runbooks/{path.stem}.md"
        written["expr"] = written["expr"].replace('namespace="icn"', 'namespace="valley"')
        assert one == written, "templates such as {{ $labels.pod }} survive"


def test_where_runbooks_are_not_published_their_path_is_told(render: Render) -> None:
    objects = render({"monitoring": {"prometheusRules": True}})
    for one in objects["PrometheusRule", "icn-alerts"]["spec"]["groups"][0]["rules"]:
        assert (ROOT / one["annotations"]["runbook_url"]).is_file()


def test_every_pod_that_has_metrics_is_monitored(render: Render) -> None:
    objects = render({"monitoring": {"monitors": True}})
    monitors = [one["spec"] for (kind, _), one in objects.items() if kind == "PodMonitor"]
    for (kind, name), one in objects.items():
        if kind not in ("Deployment", "StatefulSet"):
            continue
        template = one["spec"]["template"]
        ports = {
            port["name"]
            for container in template["spec"]["containers"]
            for port in container.get("ports", ())
            if port["name"] == "metrics" or port["name"].startswith("m-")
        }
        read = {
            endpoint["port"]
            for spec in monitors
            if chooses(spec["selector"], template["metadata"]["labels"])
            for endpoint in spec["podMetricsEndpoints"]
        }
        assert read == ports, name


def chooses(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Whether a label selector chooses a pod with these labels."""
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        labels.get(rule["key"]) in rule["values"] for rule in selector.get("matchExpressions", ())
    )


def test_nothing_of_monitoring_is_there_unless_it_is_asked_for(render: Render) -> None:
    kinds = {kind for kind, _ in render({})}
    assert not kinds & {"PodMonitor", "ServiceMonitor", "PrometheusRule"}


def test_these_rules_can_fail() -> None:
    known = metrics_in_code.exported()
    for query, wrong in [
        ("rate(icn_ledger_nothing_total[5m])", ["icn_ledger_nothing_total"]),
        ('icn_consensus_height_blocks{which="told", shard="1"}', ["icn_consensus_height_blocks{shard}"]),
        ("sum by (shard) (icn_consensus_pool_bytes)", ["shard"]),
        ('sum by (namespace, seat) (icn_consensus_pool_bytes{namespace="up"}) > 0', []),
        ("icn_consensus_finality_seconds", ["icn_consensus_finality_seconds"]),
    ]:
        assert metrics_in_code.unknown(query, known) == wrong
