"""What is broken after the installation: each is told by a sentence, in the pod and by `icn doctor`."""

from __future__ import annotations

import base64
import json
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from scripts.cluster_test.release import RELEASE, ROOT, Cluster, wait_for

SENTENCE_CHARACTERS = 200
"""Of what is told, shown in the table."""
TOLD_SECONDS_MAX = 300.0
"""A migration waits two minutes for its server before it says why it gives up."""
SECRET_CHARACTERS_MIN = 12
"""Of what is looked for in the bundle; shorter values stand in any text."""
SEAT = 3
ADMINISTRATOR = "PGPASSWORD=$(cat /run/passwords/administrator-password)"


def diagnose(cluster: Cluster) -> None:
    """Break a part at a time, or several that do not meet, and look what is told; then mend it."""
    _expect_well(cluster, "icn doctor on a release that is well")
    _break_addresses(cluster)
    _break_schema_and_secret(cluster)
    _fill_volumes(cluster)
    _expect_well(cluster, "icn doctor after all of it was mended")
    _search_bundle(cluster)


def _break_addresses(cluster: Cluster) -> None:
    """Three wrong addresses of Postgres, a text that is none, and an image that is nowhere."""

    def host(url: str) -> str:
        return url.replace("icn-postgres", "nowhere")

    def password(url: str) -> str:
        parts = urlsplit(url)
        return urlunsplit(parts._replace(netloc=f"{parts.username}:wrong@{parts.hostname}:{parts.port}"))

    def database(url: str) -> str:
        return urlunsplit(urlsplit(url)._replace(path="/nowhere"))

    with ExitStack() as mended:
        for part, change in {
            "identity": host,
            "governance": password,
            "marketplace": database,
            "reputation": lambda url: url.replace("postgresql://", ""),
        }.items():
            mended.enter_context(_changed_secret(cluster, part, change))
        image = f"icn/gateway:{cluster.tag}"
        cluster.kubectl("set", "image", "deployment/icn-gateway", "gateway=icn/gateway:nowhere")
        mended.callback(cluster.kubectl, "set", "image", "deployment/icn-gateway", f"gateway={image}")
        says = "ICN_{}_DATABASE_URL leads to no server that lets icn_{} in, within 120 s, as role "
        _expect(
            cluster,
            {
                "a wrong host of Postgres": (says.format("IDENTITY", "identity"), "nowhere:5432"),
                "a wrong password": (
                    says.format("GOVERNANCE", "governance"),
                    "password authentication failed",
                ),
                "a wrong database": (says.format("MARKETPLACE", "marketplace"), "database nowhere"),
                "an address that is none": ("ICN_REPUTATION_DATABASE_URL is not how Postgres is addressed",),
                "an image that is nowhere": ("no image icn/gateway:nowhere", "icn-gateway"),
            },
        )
    cluster.wait_until_ready()


def _break_schema_and_secret(cluster: Cluster) -> None:
    """A schema of a newer release, as after a downgrade, and a Secret that is gone."""
    before = _sql(cluster, "SELECT version_num FROM reputation.schema_revision")
    noted = _sql(cluster, "SELECT obj_description('reputation.schema_revision'::regclass)")
    with ExitStack() as mended:
        _note_revision(cluster, "9001", "9001")
        mended.callback(_restart, cluster, "reputation")
        mended.callback(_note_revision, cluster, before, noted)
        _restart(cluster, "reputation")
        secret = cluster.kubectl("get", "secret", "icn-marketplace", "-o", "json")
        mended.callback(_apply, cluster, secret)
        cluster.kubectl("delete", "secret", "icn-marketplace")
        _restart(cluster, "marketplace")
        _expect(
            cluster,
            {
                "a downgrade across a schema change": (
                    "the schema reputation is at revision 9001, which works with releases that know 9001",
                    "go on with the newer release",
                ),
                "a Secret that is gone": ("are missing or lack keys: Secret icn-marketplace",),
            },
        )
    cluster.wait_until_ready()


def _fill_volumes(cluster: Cluster) -> None:
    """A full volume of a validator's Postgres, then of its record; the chain goes on without it."""
    owner = f"icn-validator-{SEAT}"
    for claim, what, sentences in (
        (
            f"postgres-{owner}-0",
            "a full volume of Postgres",
            ("MiB free and a start needs 48", "make the volume larger"),
        ),
        (
            f"record-{owner}-0",
            "a full volume of the record",
            ("No space left on device", "Make the volume larger"),
        ),
    ):
        _scale(cluster, owner, 0)
        with _full(cluster, claim):
            _scale(cluster, owner, 1)
            try:
                _expect(cluster, {what: sentences})
            finally:
                _scale(cluster, owner, 0)
        _scale(cluster, owner, 1)
        cluster.wait_until_ready()


@contextmanager
def _full(cluster: Cluster, claim: str) -> Iterator[None]:
    """Within it the claim's volume is a small one with the same files and no room."""
    volume = cluster.kubectl("get", "pvc", claim, "-o", "jsonpath={.spec.volumeName}")
    path = Path(cluster.run("kubectl", "get", "pv", volume, "-o", "jsonpath={.spec.local.path}"))
    size_kib = int(cluster.run("du", "-sk", str(path)).split()[0]) + 8 * 1024
    with tempfile.TemporaryDirectory() as staging:
        cluster.run("mount", "-t", "tmpfs", "-o", f"size={size_kib}k,mode=0777", "tmpfs", staging)
        try:
            cluster.run("cp", "-a", f"{path}/.", staging)
            with (Path(staging) / "filler").open("wb", buffering=0) as filler, suppress(OSError):
                while True:  # until it is full
                    filler.write(b"\0" * 4096)
            cluster.run("mount", "--bind", staging, str(path))
            try:
                yield
            finally:
                cluster.run("umount", str(path))
                (Path(staging) / "filler").unlink()
                # What was said meanwhile is on the small one: a record must never lose it.
                cluster.run("cp", "-a", f"{staging}/.", str(path))
        finally:
            cluster.run("umount", staging)


def _expect(cluster: Cluster, wanted: dict[str, tuple[str, ...]]) -> None:
    """Each is among what `icn doctor` finds, with all parts of its sentence and something to do."""
    told: dict[str, str] = {}

    def is_told() -> bool:
        for finding in _findings(cluster):
            for what, parts in wanted.items():
                if finding["advice"] and all(part in finding["found"] for part in parts):
                    told[what] = finding["found"]
        return told.keys() == wanted.keys()

    try:
        wait_for(is_told, "every fault to be told", TOLD_SECONDS_MAX)
    finally:
        for what in wanted:
            cluster.note(
                f"told: {what}", "a sentence", told.get(what, "nothing")[-SENTENCE_CHARACTERS:], what in told
            )


def _expect_well(cluster: Cluster, figure: str) -> None:
    problems: list[str] = []

    def is_well() -> bool:
        problems[:] = [
            one["found"] for one in _findings(cluster) if one["severity"] in {"problem", "unknown"}
        ]
        return not problems

    try:
        wait_for(is_well, "nothing to be wrong")
    finally:
        cluster.note(
            figure, "0 problems", f"{len(problems)} problems {'; '.join(problems)[:300]}", not problems
        )


def _findings(cluster: Cluster) -> list[dict[str, Any]]:
    found = cluster.run(*_doctor(cluster, "--json"), may_fail=True)
    findings: list[dict[str, Any]] = json.loads(found)["findings"]
    return findings


def _doctor(cluster: Cluster, *options: str) -> tuple[str, ...]:
    named = ("--release", RELEASE, "--namespace", cluster.namespace)
    return (str(ROOT / ".venv" / "bin" / "icn"), "doctor", *named, *options)


def _search_bundle(cluster: Cluster) -> None:
    """Nothing that any Secret of the namespace holds is in the bundle."""
    archive = cluster.work / "help.tar.gz"
    archive.unlink(missing_ok=True)
    cluster.run(*_doctor(cluster, "--bundle", str(archive)))
    with tarfile.open(archive) as packed:
        texts = [packed.extractfile(one).read() for one in packed.getmembers()]  # type: ignore[union-attr]
    everything = b"\n".join(texts)
    values: set[bytes] = set()
    for secret in json.loads(cluster.kubectl("get", "secrets", "-o", "json"))["items"]:
        if secret["type"].startswith("helm.sh/"):
            continue
        for encoded in (secret.get("data") or {}).values():
            value = base64.b64decode(encoded).strip()
            if len(value) >= SECRET_CHARACTERS_MIN and value not in {b"first", b"second"}:
                values |= {value, encoded.encode()}
    out = [value for value in values if value in everything]
    cluster.note(
        "support bundle: values of Secrets in it",
        "0",
        f"{len(out)} of {len(values)} looked for in {len(texts)} files, {len(everything) / 2**20:.1f} MiB",
        not out and b"icn_consensus_height_blocks" in everything,
    )


@contextmanager
def _changed_secret(cluster: Cluster, part: str, change: Callable[[str], str]) -> Iterator[None]:
    """Within it the part has another address of its Postgres."""
    before = cluster.kubectl("get", "secret", f"icn-{part}", "-o", "jsonpath={.data.database-url}")
    other = base64.b64encode(change(base64.b64decode(before).decode("utf-8")).encode()).decode("ascii")
    try:
        _patch(cluster, part, other)
        yield
    finally:
        _patch(cluster, part, before)


def _patch(cluster: Cluster, part: str, encoded: str) -> None:
    patch = json.dumps({"data": {"database-url": encoded}})
    cluster.kubectl("patch", "secret", f"icn-{part}", "--type=merge", "-p", patch)
    _restart(cluster, part)


def _apply(cluster: Cluster, document: str) -> None:
    held = json.loads(document)
    held["metadata"] = {"name": held["metadata"]["name"]}
    subprocess.run(
        ("kubectl", "-n", cluster.namespace, "apply", "-f", "-"),
        input=json.dumps(held), env=cluster.environment, text=True, check=True, capture_output=True,
    )  # fmt: skip


def _restart(cluster: Cluster, part: str) -> None:
    cluster.kubectl("delete", "pod", "-l", f"app.kubernetes.io/component={part}", "--grace-period=1")


def _scale(cluster: Cluster, owner: str, replicas: int) -> None:
    cluster.kubectl("scale", f"statefulset/{owner}", f"--replicas={replicas}")
    if not replicas:
        cluster.kubectl("wait", "--for=delete", f"pod/{owner}-0", "--timeout=120s")


def _note_revision(cluster: Cluster, revision: str, oldest: str) -> None:
    """Of reputation's schema, as a release would that has migrated it."""
    _sql(
        cluster,
        f"UPDATE reputation.schema_revision SET version_num = '{revision}';"  # noqa: S608 - ours
        f"COMMENT ON TABLE reputation.schema_revision IS '{oldest}'",
    )


def _sql(cluster: Cluster, statement: str) -> str:
    shell = f'{ADMINISTRATOR} psql -h /run/postgres -U icn_administrator -Atc "$1" icn'
    return cluster.kubectl("exec", "icn-postgres-0", "--", "sh", "-c", shell, "sql", statement).strip()
