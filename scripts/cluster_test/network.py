"""Who may call whom, tried between every pair of pods and on the bus."""

from __future__ import annotations

import json
from typing import Any

from scripts.cluster_test.release import SEATS, Cluster, say

PROBE = """
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor
def reaches(target):
    try:
        socket.create_connection(target, timeout=2).close()
        return True
    except OSError:
        return False
targets = [tuple(one) for one in json.loads(sys.argv[1])]
with ThreadPoolExecutor(64) as pool:
    print(json.dumps(list(pool.map(reaches, targets))))
"""


def check_policies(cluster: Cluster) -> None:
    """Every pod tries every port of every other; the answers are those of the list of calls."""
    pods = cluster.pods()
    ports = {"gateway": [8080, 9100], "postgres": [5432], "nats": [4222, 8222]}
    ports |= {f"validator-{seat}": [7001, 7002, 9101, 9102, 9103] for seat in SEATS}
    targets = [(pod, port) for pod in pods for port in ports.get(component_of(pod), [7100, 9100])]
    tried = wrong = 0
    for caller in pods:
        asked = [(pod, port) for pod, port in targets if pod is not caller]
        addresses = [(pod["status"]["podIP"], port) for pod, port in asked]
        python = ("--", "python3", "-c", PROBE, json.dumps(addresses))
        name, container = caller["metadata"]["name"], caller["spec"]["containers"][0]["name"]
        answers = json.loads(cluster.kubectl("exec", name, "-c", container, *python))
        for (pod, port), reaches in zip(asked, answers, strict=True):
            tried += 1
            if reaches != may_call(component_of(caller), component_of(pod), port):
                wrong += 1
                say(f"{name} {'reaches' if reaches else 'does not reach'} {pod['metadata']['name']}:{port}")
    cluster.note(
        "network policies, every pair of pods", "all as listed", f"{tried - wrong} of {tried}", not wrong
    )


def component_of(pod: dict[str, Any]) -> str:
    """What the pod runs."""
    return str(pod["metadata"]["labels"]["app.kubernetes.io/component"])


def may_call(caller: str, called: str, port: int) -> bool:
    """The rules of the platform, said independently of the chart."""
    kind, called_kind = caller.partition("-")[0], called.partition("-")[0]
    is_service = kind in ("gateway", "identity", "governance", "marketplace", "reputation")
    if called_kind == "gateway":
        return False  # members come from outside; no part calls it
    if called_kind == "validator":
        return (kind == "validator" and port == 7001) or (is_service and port in (7001, 7002))
    if called_kind == "nats":
        return port == 4222 and (is_service or kind == "validator")
    if called_kind == "postgres":
        return port == 5432 and is_service
    return kind == "gateway" and port == 7100


BUS_PROBE = """
import asyncio, json, os, sys
from pathlib import Path
from icn_kit.bus import _tls_context
from icn_kit.tls import TlsFiles
import nats
told = {name.removeprefix("ICN_IDENTITY_"): value for name, value in os.environ.items()}
refused = []
async def main():
    async def on_error(error):
        refused.append(str(error))
    names = ("TLS_CERTIFICATE", "TLS_KEY", "TLS_AUTHORITY")
    password = Path(told["NATS_PASSWORD_FILE"]).read_text()
    bus = await nats.connect(
        told["NATS_URL"], user=told["NATS_USER"], password=password, error_cb=on_error,
        tls=_tls_context(TlsFiles(*(Path(told[name]) for name in names))), allow_reconnect=False,
    )
    answers = {}
    for subject in json.loads(sys.argv[1]):
        refused.clear()
        await bus.publish(subject, b"{}")
        await bus.flush()
        await asyncio.sleep(0.2)
        answers[subject] = any("permissions violation" in one.lower() for one in refused)
    await bus.close()
    print(json.dumps(answers))
asyncio.run(main())
"""
BUS_REFUSED = {
    "icn.ledger.v1.transfer_committed": True,
    "$JS.API.STREAM.DELETE.ICN_LEDGER": True,
    "$JS.API.STREAM.PURGE.ICN_IDENTITY": True,
    "$JS.API.STREAM.CREATE.ANYTHING": True,
    "$SYS.REQ.SERVER.PING": True,
    "$JS.API.INFO": False,
    "$JS.API.STREAM.INFO.ICN_LEDGER": False,
}
"""What the bus refuses to identity's user."""


def check_bus(cluster: Cluster) -> None:
    """A service writes its own subjects, and no other's."""
    text = cluster.kubectl(
        "exec", "deploy/icn-identity", "-c", "identity", "--", "/opt/icn/venv/bin/python", "-c", BUS_PROBE,
        json.dumps(list(BUS_REFUSED)),
    )  # fmt: skip
    found = json.loads(text.splitlines()[-1])
    wrong = {subject: refused for subject, refused in found.items() if refused != BUS_REFUSED[subject]}
    cluster.note(
        "what the bus allows identity",
        "its own",
        f"{len(found) - len(wrong)} of {len(found)} as listed {wrong or ''}",
        not wrong,
    )
