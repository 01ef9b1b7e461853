"""Secrets are planted wherever they could be, and looked for in everything that is packed."""

from __future__ import annotations

import copy
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from icn_client.doctor.finding import Finding, Severity
from icn_client.doctor.kubectl import KubectlFailed
from icn_client.doctor.redaction import REDACTED, redact, redact_object, redacted_json
from icn_client.doctor.release_state import ReleaseState
from icn_client.doctor.support_bundle import release_files, write_bundle

WORD = "hunter2hunter"
"""A password that a person chose: found by where it stands alone."""
TOKEN = "qZ9xV2-bL0tR_7sWmK4jH8nE3cYpGdAu"
"""As `icn cluster prepare` makes passwords."""
SEED = "5eed" * 16
DSN = f"postgresql://identity:{WORD}@icn-postgres:5432/icn?sslmode=verify-full"
PEM = (
    "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg\n-----END PRIVATE KEY-----"
)
JWT = "eyJhbGciOiJFUzI1NiIsImtpZCI6IjEifQ.eyJzdWIiOiJhbm5hQG1pbGwuZXhhbXBsZSJ9.c2lnbmF0dXJlMTIzNDU2Nzg5MA"
SECRETS = (WORD, TOKEN, SEED, "MIGHAgEAMBMGByqGSM49", "eyJhbGciOiJFUzI1NiIs", "czNjcjN0LXZhbHVl")

LOG = "\n".join(
    (
        json.dumps({"event": "bus error", "error": f"nats: authorization failed for {TOKEN}"}),
        json.dumps(
            {"event": "process failed", "exception": f"Traceback\n  connect({DSN!r})\nOperationalError: no"}
        ),
        f"FATAL: could not connect: host=icn-postgres user=identity password={WORD} dbname=icn",
        f"FATAL: password='{WORD}' dbname=icn",
        f"GET /v1/me Authorization: Bearer {JWT}",
        f"curl -H 'authorization: Basic {TOKEN}' https://member:{WORD}@icn.example/",
        PEM,
        f"ICN_LEDGER_NATS_PASSWORD={WORD} started",
        f'{{"ed25519": "{SEED}"}}',
        f"passphrase: {WORD}",
        "ledger serves, height 42, root " + "ab12" * 16,
    )
)


def planted() -> ReleaseState:
    pod: dict[str, Any] = {
        "kind": "Pod",
        "metadata": {
            "name": "icn-identity-1",
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": f'{{"x": "{WORD}"}}'},
            "managedFields": [{"manager": WORD}],
        },
        "spec": {
            "containers": [
                {
                    "name": "identity",
                    "image": "icn/identity:0.1.0",
                    "args": ["--token", TOKEN, f"--dsn={DSN}", "--password", WORD, "serve"],
                    "env": [
                        {"name": "ICN_IDENTITY_NATS_PASSWORD", "value": WORD},
                        {"name": "ICN_IDENTITY_DATABASE_URL", "value": DSN},
                        {"name": "SEED", "value": SEED},
                        {"name": "ICN_IDENTITY_NATS_USER", "value": "identity"},
                        {
                            "name": "ICN_IDENTITY_NATS_PASSWORD_2",
                            "valueFrom": {"secretKeyRef": {"name": "icn-identity", "key": "nats-password"}},
                        },
                    ],
                }
            ]
        },
        "status": {
            "containerStatuses": [
                {
                    "name": "identity",
                    "restartCount": 1,
                    "state": {"terminated": {"message": f"no server at {DSN}: {TOKEN}"}},
                }
            ]
        },
    }
    config_map = {
        "kind": "ConfigMap",
        "metadata": {"name": "icn-extra"},
        "data": {
            "consensus.json": json.dumps({"ed25519": SEED}),
            "nats.conf": f'user: identity, password: {WORD}\nuser: gateway, password: "{WORD}"',
            "password": WORD,
            "tls.key": PEM,
            "genesis.json": json.dumps({"zone": "Valley"}),
            "postgresql.conf": "fsync = on",
        },
    }
    secret = {"kind": "Secret", "metadata": {"name": "icn-x"}, "data": {"value": "czNjcjN0LXZhbHVl"}}
    event = {
        "metadata": {"name": "e"},
        "message": f"Error: cannot pull with https://pull:{WORD}@registry.example/icn",
    }
    return ReleaseState(
        "icn",
        "icn",
        version="1.34",
        objects={"pods": [pod], "configmaps": [config_map], "secrets": [secret], "events": [event]},
        secret_keys={"icn-identity": frozenset(("database-url", "nats-password"))},
        metrics={"icn-identity-1/identity": f'icn_info{{url="{DSN}"}} 1.0\n'},
        faults={"icn-identity-1/identity": f"kubectl exec: {DSN} refused"},
    )


class Logs:
    """Of one container, whose log before the restart is gone."""

    namespace = "icn"

    def logs(self, _pod: str, _container: str, _lines: int, *, is_previous: bool = False) -> str:
        if is_previous:
            raise KubectlFailed(f"previous terminated container not found, {DSN}")
        return LOG


def test_nothing_planted_comes_out_and_what_helps_does(tmp_path: Path) -> None:
    finding = Finding("pods", Severity.PROBLEM, f"identity ended: no server at {DSN}", f"set {TOKEN}")
    archive = tmp_path / "help.tar.gz"
    count = write_bundle(archive, release_files(Logs(), planted(), [finding]))  # type: ignore[arg-type]
    assert archive.stat().st_mode & 0o077 == 0
    with tarfile.open(archive) as packed:
        texts = {
            member.name: packed.extractfile(member).read().decode()  # type: ignore[union-attr]
            for member in packed.getmembers()
        }
    assert len(texts) == count
    for name, text in texts.items():
        for secret in SECRETS:
            assert secret not in text, (name, secret)
    everything = "\n".join(texts.values())
    for kept in (
        "icn-postgres:5432/icn?sslmode=verify-full",
        '"key": "nats-password"',
        '"name": "icn-identity"',
        "authorization failed for",
        "root " + "ab12" * 16,
        "fsync = on",
        "icn/identity:0.1.0",
        '"value": "identity"',
        "database-url",
        '"serve"',
    ):
        assert kept in everything, kept
    assert set(texts) >= {
        "help/findings.json",
        "help/versions.json",
        "help/objects/pods.json",
        "help/logs/icn-identity-1.identity.log",
        "help/logs/icn-identity-1.identity.previous.log",
        "help/metrics/icn-identity-1.identity.txt",
    }


def test_without_redaction_they_would_come_out() -> None:
    """What is planted is really there: this test can fail."""
    planted_text = json.dumps(planted().objects) + LOG
    assert all(secret in planted_text for secret in SECRETS)


@pytest.mark.parametrize(
    "text",
    [
        "consensus takes part, validator 5f0c" + "ab" * 30 + ", height 7",
        "/opt/icn/app/icn_consensus/store/record_log.py line 30",
        "icn-validator-0-0 icn-gateway-666c6d878b-txrxk 2026-11-28T20:40:26.847364Z",
        'secretKeyRef: {"name": "icn-identity"}',
        "sha256:" + "0f" * 32,
        "password: null",
    ],
)
def test_names_hashes_times_and_paths_are_kept(text: str) -> None:
    assert redact(text) == text


def test_the_shape_of_objects_is_kept_and_the_object_itself_is_not_changed() -> None:
    state = planted()
    pod = state.objects["pods"][0]
    before = copy.deepcopy(pod)
    found = redact_object(pod)
    assert pod == before
    container = found["spec"]["containers"][0]
    assert [one["name"] for one in container["env"]] == [
        one["name"] for one in pod["spec"]["containers"][0]["env"]
    ]
    assert container["env"][0]["value"] == REDACTED
    assert json.loads(redacted_json({"a": [1, None, True]})) == {"a": [1, None, True]}


def test_a_bundle_that_cannot_be_finished_is_not_left_behind_and_none_is_replaced(tmp_path: Path) -> None:
    archive = tmp_path / "help.tar.gz"

    def failing() -> Any:
        yield "a", b"a"
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_bundle(archive, failing())
    assert not archive.exists()
    archive.write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        write_bundle(archive, iter(()))
    assert archive.read_bytes() == b"mine"
