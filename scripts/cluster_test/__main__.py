"""Installs the chart on a real Kubernetes and holds it to what it must reach: ``make cluster-test``.

The cluster is that of ``CLUSTER_DIR`` (../shared/cluster where it is not set): one node on this machine,
started here if it does not run. Prints a table of bars and what was measured; exit status 1 where one is
missed. Single steps: ``python -m scripts.cluster_test --work DIR --only install --only policies``.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

from scripts.cluster_test import operating
from scripts.cluster_test.activating import activate
from scripts.cluster_test.building import measure_images
from scripts.cluster_test.diagnosis import diagnose
from scripts.cluster_test.downgrades import refuse_downgrade
from scripts.cluster_test.faults import kill_everything, roll_under_load, tell_stories, wipe_events
from scripts.cluster_test.installing import (
    bring_up,
    check_requests,
    install,
    load_images,
    uninstall,
    validate,
)
from scripts.cluster_test.joining import join_from_outside, leave_outside
from scripts.cluster_test.monitoring import ask_dashboards, await_silence
from scripts.cluster_test.network import check_bus, check_policies
from scripts.cluster_test.rebuilding import rebuild_events
from scripts.cluster_test.refusals import refuse
from scripts.cluster_test.release import ROOT, Cluster, Failed, say
from scripts.cluster_test.restoring import restore
from scripts.cluster_test.rotation import (
    meet_ended_certificate,
    rotate_certificates,
    rotate_key,
    rotate_passwords,
)
from scripts.cluster_test.runbooks import run_runbooks
from scripts.cluster_test.scaling import scale_under_load
from scripts.cluster_test.sizes import measure
from scripts.cluster_test.traces import follow_traces
from scripts.cluster_test.validators import change_seats
from scripts.cluster_test.volumes import keep, lose_volumes

STEPS: dict[str, Callable[[Cluster], None]] = {
    "up": bring_up,
    "images": load_images,
    "weights": measure_images,
    "validate": validate,
    "install": install,
    "requests": check_requests,
    "paid": operating.begin,
    "policies": check_policies,
    "bus": check_bus,
    "stories": tell_stories,
    "sizes": measure,
    "rolling": roll_under_load,
    "scaling": scale_under_load,
    "traces": follow_traces,
    "killed": kill_everything,
    "runbooks": run_runbooks,
    "dashboards": ask_dashboards,
    "events": wipe_events,
    "certificates": rotate_certificates,
    "ended": meet_ended_certificate,
    "passwords": rotate_passwords,
    "lost": lose_volumes,
    "keys": rotate_key,
    "kept": keep,
    "refused": refuse,
    "silence": await_silence,
    "diagnosis": diagnose,
    "joined": join_from_outside,
    "left": leave_outside,
    "rebuilt": rebuild_events,
    "downgrade": refuse_downgrade,
    "activated": activate,
    "seats": change_seats,
    "restored": restore,
    "operate": operating.end,
    "uninstall": uninstall,
}


def main() -> None:
    """Run the steps; a plain closing line tells how many bars were met."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", action="append", choices=list(STEPS), help="these steps, on what is there")
    parser.add_argument("--tag", default="dev", help="of the images")
    parser.add_argument("--namespace", default="icn", help="of the release, on a cluster that several share")
    parser.add_argument("--values", type=Path, help="more of the release, such as smaller requests")
    parser.add_argument("--work", type=Path, help="where the zone's files are, with --only")
    options = parser.parse_args()
    directory = Path(os.environ.get("CLUSTER_DIR", ROOT.parent / "shared" / "cluster"))
    if not directory.is_dir():
        print(f"cluster tests skipped: no {directory}; set CLUSTER_DIR")
        return
    cache = Path(os.environ.get("CLUSTER_CACHE", Path.home() / ".cache" / "icn-cluster"))
    work = options.work or Path(tempfile.mkdtemp(prefix="icn-cluster-"))
    work.mkdir(exist_ok=True)
    environment = {**os.environ, "PATH": f"{cache / 'bin'}:{os.environ['PATH']}"}
    state = Path(os.environ.get("CLUSTER_STATE", "/var/lib/icn-cluster"))
    environment.setdefault("KUBECONFIG", str(state / "admin.kubeconfig"))
    environment.setdefault("DOCKER_HOST", f"unix://{state / 'run' / 'docker.sock'}")
    cluster = Cluster(
        directory, cache, state, work, options.tag, options.namespace, environment, options.values
    )
    cluster.environment |= cluster.whose_keys
    failed = 0
    with cluster.resources:
        for name in options.only or STEPS:
            say(f"-- {name}")
            try:
                STEPS[name](cluster)
            except Exception as error:  # noqa: BLE001 - what was measured before is printed, whatever it was
                failed += 1
                is_told = isinstance(error, Failed | AssertionError | subprocess.TimeoutExpired)
                say(f"{name} failed: {error if is_told else traceback.format_exc()}")
                break
    print("\n| figure | bar | measured | |\n|---|---|---|---|")
    for row in cluster.rows:
        print(f"| {row.figure} | {row.bar} | {row.measured} | {'met' if row.is_met else '**missed**'} |")
    missed = failed + sum(not row.is_met for row in cluster.rows)
    print(f"\n{len(cluster.rows) - missed + failed} passed, {missed} failed")
    raise SystemExit(1 if missed else 0)


if __name__ == "__main__":
    main()
