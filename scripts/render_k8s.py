"""Writes deploy/k8s/base from the chart: ``python -m scripts.render_k8s`` (``--check`` says what differs).

For clusters where Helm is not wanted. The chart stays the one source: the base is what it renders for
``examples/evaluation.yaml``, one file per template, and what differs between places is in the overlays, which
are written by hand.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "deploy" / "helm" / "icn"
BASE = ROOT / "deploy" / "k8s" / "base"
VALUES = CHART / "examples" / "evaluation.yaml"
RELEASE = NAMESPACE = "icn"
KUBERNETES_VERSION = "1.34.4"
"""What the chart is rendered for where no cluster is asked; clients have an older one built in."""
LEFT_OUT = {
    "operator": "restarts validators after an upgrade by Helm, which alone runs hooks",
    "tests": "is what `helm test` runs",
}
"""Templates that mean nothing without Helm, each with the reason."""
OF_HELM = re.compile(r"^ *(app\.kubernetes\.io/managed-by: Helm|helm\.sh/chart: .*)\n", re.MULTILINE)
"""Labels that would be untrue of objects that `kubectl apply` manages."""
SOURCE = re.compile(r"^# Source: [\w-]+/templates/([\w/-]+)\.yaml\n", re.MULTILINE)


class Refused(Exception):
    """The chart cannot be rendered; the message is what to show."""


def find_program(name: str) -> str | None:
    """Path of helm, kubectl or kubeconform: its variable (HELM), PATH, then the cluster tools' cache."""
    if given := os.environ.get(name.upper()):
        return given
    cache = Path(os.environ.get("CLUSTER_CACHE") or Path.home() / ".cache" / "icn-cluster")
    return shutil.which(name) or shutil.which(name, path=str(cache / "bin"))


def template(helm: str, *arguments: str, chart: Path = CHART, release: str = RELEASE) -> str:
    """What the chart renders, without a cluster. Raises Refused with what Helm said."""
    command = [helm, "template", release, str(chart), "--namespace", NAMESPACE]
    command += ["--kube-version", KUBERNETES_VERSION, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Refused(done.stderr.strip())
    return done.stdout


def by_template(text: str) -> dict[str, str]:
    """Objects by the template that they come from, in the order of the first of each."""
    found: dict[str, str] = {}
    for document in re.split(r"^---\n", text, flags=re.MULTILINE):
        if source := SOURCE.search(document):
            body = SOURCE.sub("", document).strip("\n")
            name = source.group(1)
            found[name] = f"{found[name]}---\n{body}\n" if name in found else f"{body}\n"
    return found


def base(helm: str) -> dict[str, str]:
    """The files of deploy/k8s/base by name."""
    rendered = by_template(template(helm, "--no-hooks", "--values", str(VALUES)))
    files = {f"{name}.yaml": OF_HELM.sub("", text) for name, text in rendered.items() if name not in LEFT_OUT}
    written = "# Written by `python -m scripts.render_k8s` from the chart; edit that.\n"
    made = {name: f"{written}{text}" for name, text in files.items()}
    resources = "".join(f"  - {name}\n" for name in sorted(files))
    made["kustomization.yaml"] = (
        f"{written}"
        "# Genesis and the Secrets are there before: `icn cluster prepare` writes them.\n"
        "# Validators take a change when their pods are deleted: delete one, wait until it is ready and has\n"
        "# caught up, and go on with the next; more at once would stop the chain.\n"
        "apiVersion: kustomize.config.k8s.io/v1beta1\n"
        "kind: Kustomization\n"
        f"resources:\n{resources}"
    )
    return made


def differences(made: dict[str, str], folder: Path) -> list[str]:
    """Names of files that are missing, too many or not as made."""
    there = {path.name: path.read_text("utf-8") for path in folder.glob("*")} if folder.is_dir() else {}
    return sorted(name for name in {*made, *there} if made.get(name) != there.get(name))


def main() -> None:
    """Write or check; exit status 1 with a sentence where something is amiss."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args()
    helm = find_program("helm")
    if helm is None:
        sys.exit("There is no helm: install it, or name it in HELM.")
    try:
        made = base(helm)
    except Refused as error:
        sys.exit(str(error))
    changed = differences(made, BASE)
    if options.check:
        if changed:
            sys.exit(f"{', '.join(changed)} differ from the chart: run python -m scripts.render_k8s")
        return
    BASE.mkdir(parents=True, exist_ok=True)
    for name in changed:
        if name in made:
            (BASE / name).write_text(made[name], "utf-8")
        else:
            (BASE / name).unlink()
    print(f"{len(changed)} of {len(made)} files written")


if __name__ == "__main__":
    main()
