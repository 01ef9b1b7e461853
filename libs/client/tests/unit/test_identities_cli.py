"""`icn did resolve` and `icn vc verify` from outside: answers, exit codes, and files that are none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from icn_credentials import did_key, documents, status_list, webvh_author
from icn_credentials.multikey import KeyKind, PublicKey
from icn_credentials.proofs import EDDSA_JCS, MLDSA65_JCS, add_proof
from icn_credentials.webvh_log import read_log
from icn_crypto.suites import SigningKey, Suite

START_MS = 1_700_000_000_000
DAY_MS = 86_400_000
KEY = "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp"


def icn(*arguments: str, folder: Path, text: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "icn_client.cli", *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
        input=text,
        capture_output=True,
        timeout=60,
        check=False,
    )


class Organization:
    """A did:webvh whose first key is rotated out after a day, with a membership signed by the second."""

    def __init__(self) -> None:
        self.secrets = [SigningKey(Suite.ED25519, bytes([number]) * 32) for number in (1, 2)]
        self.ml_dsa = SigningKey(Suite.ML_DSA_65, bytes(32))
        self.keys = [PublicKey(KeyKind.ED25519, secret.public_key) for secret in self.secrets]
        did = webvh_author.template("coop.example", ["bakery"])
        first = webvh_author.first_entry(
            self.document(did, self.keys[0]),
            [self.keys[0]],
            self.keys[0],
            self.secrets[0].sign,
            time_ms=START_MS,
        )
        entry = read_log(first, START_MS).last
        second = webvh_author.next_entry(
            entry,
            self.document(entry.did, self.keys[1]),
            {"updateKeys": [self.keys[1].did_key_part()]},
            self.keys[0],
            self.secrets[0].sign,
            time_ms=START_MS + DAY_MS,
        )
        self.log = first + b"\n" + second + b"\n"
        self.did = entry.did

    def document(self, did: str, key: PublicKey) -> dict[str, Any]:
        quantum_safe = PublicKey(KeyKind.ML_DSA_65, self.ml_dsa.public_key)
        methods = [
            documents.multikey_method(did, "key-1", key),
            documents.multikey_method(did, "key-1-pq", quantum_safe),
        ]
        return {
            "id": did,
            "verificationMethod": methods,
            "assertionMethod": [method["id"] for method in methods],
        }

    def sign(self, form: dict[str, Any], secret: int = 1) -> dict[str, Any]:
        signed = add_proof(
            form,
            EDDSA_JCS,
            self.secrets[secret].sign,
            verification_method=f"{self.did}#key-1",
            created_ms=START_MS,
        )
        return add_proof(
            signed,
            MLDSA65_JCS,
            self.ml_dsa.sign,
            verification_method=f"{self.did}#key-1-pq",
            created_ms=START_MS,
        )

    def membership(self, secret: int = 1) -> dict[str, Any]:
        form = {
            "@context": ["https://www.w3.org/ns/credentials/v2"],
            "type": ["VerifiableCredential"],
            "issuer": self.did,
            "credentialSubject": {"id": KEY},
            "credentialStatus": {
                "type": "BitstringStatusListEntry",
                "statusPurpose": "revocation",
                "statusListIndex": "7",
                "statusListCredential": "https://coop.example/list",
            },
        }
        return self.sign(form, secret)

    def status_list(self, *revoked: int) -> dict[str, Any]:
        content = status_list.with_bits_set(status_list.empty(), revoked)
        return self.sign(
            {
                "@context": ["https://www.w3.org/ns/credentials/v2"],
                "id": "https://coop.example/list",
                "type": ["VerifiableCredential", "BitstringStatusListCredential"],
                "issuer": self.did,
                "credentialSubject": status_list.list_subject(
                    "https://coop.example/list", ["revocation"], content
                ),
            }
        )


@pytest.fixture(scope="module")
def bakery() -> Organization:
    return Organization()


def test_a_did_key_is_resolved_without_anything_else(tmp_path: Path) -> None:
    run = icn("did", "resolve", KEY, folder=tmp_path)
    assert (run.returncode, run.stderr) == (0, b"")
    assert json.loads(run.stdout) == did_key.resolve(KEY)


def test_a_did_webvh_is_resolved_from_its_log_at_any_version(tmp_path: Path, bakery: Organization) -> None:
    (tmp_path / "did.jsonl").write_bytes(bakery.log)
    lines = [json.loads(line) for line in bakery.log.splitlines()]

    def resolve(*options: str, did: str = bakery.did) -> Any:
        run = icn("did", "resolve", did, "--log", "did.jsonl", *options, folder=tmp_path)
        assert run.returncode == 0, run.stderr
        return json.loads(run.stdout)

    old, new = (line["state"] for line in lines)
    assert resolve() == new
    assert resolve("--version-number", "1") == old
    assert resolve("--version-id", lines[0]["versionId"]) == old
    assert resolve("--version-time", "2023-11-15T00:00:00Z") == old
    assert resolve(did=f"{bakery.did}?versionNumber=1") == old
    found = resolve("--metadata")
    assert found["didDocument"] == new and found["didDocumentMetadata"]["versionNumber"] == 2


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ((), 1, "https://coop.example/bakery/did.jsonl"),
        (("--log", "gone.jsonl"), 1, "gone.jsonl"),
        (("--log", "broken.jsonl"), 1, "entry 1"),
        (("--log", "did.jsonl", "--version-number", "3"), 1, "no such version"),
        (("--log", "did.jsonl", "--version-number", "0"), 2, "version-number"),
        (("--log", "did.jsonl", "--version-time", "noon"), 1, "--version-time"),
        (("--log", "did.jsonl", "--version-time", "2020-01-01T00:00:00Z"), 1, "no such version"),
        (("--log", "tampered.jsonl"), 1, "entry 2"),
    ],
)
def test_a_did_that_does_not_resolve_says_why(
    tmp_path: Path, bakery: Organization, options: tuple[str, ...], code: int, said: str
) -> None:
    (tmp_path / "did.jsonl").write_bytes(bakery.log)
    (tmp_path / "broken.jsonl").write_bytes(bakery.log[1:])
    (tmp_path / "tampered.jsonl").write_bytes(bakery.log.replace(b"2023-11-15T22", b"2023-11-15T23"))
    run = icn("did", "resolve", bakery.did, *options, folder=tmp_path)
    assert (run.returncode, run.stdout) == (code, b"")
    assert said in run.stderr.decode()


@pytest.mark.parametrize(
    "did", ["", "x", "did:web:a.example", f"{KEY}#x", f"{KEY}/path", "did:peer:9", f"{KEY}?versionNumber=1"]
)
def test_what_is_no_did_is_refused(tmp_path: Path, did: str) -> None:
    run = icn("did", "resolve", did, folder=tmp_path)
    assert (run.returncode, run.stdout) == (1, b"") and run.stderr


def test_a_credential_is_verified_with_its_log_and_its_list(tmp_path: Path, bakery: Organization) -> None:
    (tmp_path / "did.jsonl").write_bytes(bakery.log)
    (tmp_path / "good.json").write_text(json.dumps(bakery.status_list(6)))
    (tmp_path / "bad.json").write_text(json.dumps(bakery.status_list(7)))
    content = json.dumps(bakery.membership()).encode()

    def verify(*options: str, text: bytes = content) -> Any:
        run = icn("vc", "verify", "-", *options, folder=tmp_path, text=text)
        assert run.returncode == 0, run.stderr
        return json.loads(run.stdout)

    log = ("--log", "did.jsonl")
    assert "coop.example/bakery/did.jsonl" in verify()["reason"]
    found = verify(*log)
    assert (found["valid"], found["issuer_bound"], found["status"]) == (True, True, "not_checked")
    assert [proof["cryptosuite"] for proof in found["proofs"]] == ["eddsa-jcs-2022", "mldsa65-jcs-2024"]
    assert verify(*log, "--status-list", "good.json")["status"] == "good"
    found = verify(*log, "--status-list", "bad.json")
    assert (found["valid"], found["status"]) == (False, "revoked")
    old = json.dumps(bakery.membership(secret=0)).encode()
    assert not verify(*log, text=old)["valid"]
    assert verify(*log, "--at", "2023-11-15T00:00:00Z", text=old)["valid"]
    run = icn("vc", "verify", "-", "--status-list", "good.json", folder=tmp_path, text=content)
    assert run.returncode == 1 and b"status list does not hold" in run.stderr


def test_a_folder_is_verified_file_by_file(tmp_path: Path) -> None:
    folder = tmp_path / "all"
    folder.mkdir()
    (folder / ".hidden").write_text("x")
    (folder / "a.json").write_text("{}")
    (folder / "b.json").write_text('{"a":1,"a":2}')
    run = icn("vc", "verify", "--batch", "all", folder=tmp_path)
    found = [json.loads(line) for line in run.stdout.splitlines()]
    assert run.returncode == 0
    assert [(line["file"], line["valid"], line["proofs"]) for line in found] == [
        ("a.json", False, []),
        ("b.json", False, []),
    ]
    (folder / "c.json").write_text("not json")
    run = icn("vc", "verify", "--batch", "all", folder=tmp_path)
    assert run.returncode == 1 and b"c.json" in run.stderr
    assert len(run.stdout.splitlines()) == 3


@pytest.mark.vectors
def test_published_credentials_are_valid_and_changed_ones_are_not(
    tmp_path: Path, shared_data: Callable[[str], Path]
) -> None:
    root = shared_data("vc-data-integrity-eddsa")
    for name in ("eddsa-jcs-2022/signedJCS.json", "Ed25519Signature2020/signedEdSig.json"):
        content = (root / name).read_bytes()
        for text, is_valid in ((content, True), (content.replace(b"Alumni Cred", b"Alumna Cred"), False)):
            run = icn("vc", "verify", "-", folder=tmp_path, text=text)
            found = json.loads(run.stdout)
            assert (run.returncode, found["valid"]) == (0, is_valid)
            assert bool(found["reason"]) is not is_valid and len(found["proofs"]) == 1


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("verify",), 2),
        (("verify", "a.json", "--batch", "."), 2),
        (("verify", "gone.json"), 1),
        (("verify", "--batch", "gone"), 1),
        (("verify", "-", "--at", "noon"), 2),
        (("verify", "-", "--log", "gone"), 1),
    ],
)
def test_wrong_calls_end_with_their_code(tmp_path: Path, arguments: tuple[str, ...], code: int) -> None:
    run = icn("vc", *arguments, folder=tmp_path, text=b"{}")
    assert run.returncode == code and run.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("vc", "issue", "diploma", "--as", "x", "--to", "0" * 32), 2, "neither membership nor office"),
        (("vc", "issue", "office", "--as", "x", "--to", "0" * 32), 2, "an office has a name"),
        (
            ("vc", "issue", "membership", "--name", "x", "--as", "x", "--to", "0" * 32),
            2,
            "an office has a name",
        ),
        (("vc", "issue", "membership", "--as", "x", "--to", "anna"), 2, "--to"),
        (("vc", "issue", "membership", "--as", "x", "--to", "0" * 32, "--for", "soon"), 2, "--for"),
        (("vc", "revoke", "credentials/x", "--as", "x"), 2, "CREDENTIAL"),
        (("vc", "list"), 2, "either --of or --to"),
        (("vc", "get", "principals/" + "0" * 32), 2, "credentials"),
        (("did", "show", "x"), 2, "PRINCIPAL"),
        (("did", "log", "0" * 32), 3, "no platform"),
        (("did", "create", "--as", "x"), 3, "no platform"),
    ],
)
def test_calls_of_a_platform_say_what_is_wrong(
    tmp_path: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    run = icn(*arguments, folder=tmp_path)
    assert run.returncode == code and said in run.stderr.decode()
