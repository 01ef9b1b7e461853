from __future__ import annotations

import base64
import json
import stat
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cryptography import x509
from icn_client.cli.main import app
from icn_client.platforms import open_founders
from icn_crypto.suites import SigningKey, Suite
from icn_kit.genesis import parse_genesis
from psycopg.conninfo import conninfo_to_dict
from typer.testing import CliRunner

run = CliRunner()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("cluster") / "federation"
    done = run.invoke(app, ["cluster", "prepare", str(made), "--zone", "Valley", "--namespace", "valley"])
    assert done.exit_code == 0, done.output
    return made


@pytest.fixture(scope="module")
def objects(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    items = json.loads((folder / "objects.json").read_text("utf-8"))["items"]
    return {(item["kind"], item["metadata"]["name"]): item for item in items}


def secret(objects: dict[tuple[str, str], dict[str, Any]], name: str) -> dict[str, bytes]:
    return {key: base64.b64decode(value) for key, value in objects["Secret", name]["data"].items()}


def test_what_is_private_is_readable_by_its_owner_only(folder: Path) -> None:
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "objects.json").stat().st_mode) == 0o600


def test_each_seat_gets_the_consensus_key_that_genesis_names(objects: Any) -> None:
    genesis = parse_genesis(objects["ConfigMap", "icn-genesis"]["data"]["genesis.json"].encode())
    assert genesis.zone == "Valley"
    for seat in genesis.validators:
        seeds = json.loads(secret(objects, f"icn-validator-{seat.seat}")["consensus.json"])
        key = SigningKey.from_seed(Suite.ED25519, bytes.fromhex(seeds["ed25519"]))
        assert seat.public_keys[Suite.ED25519] == key.public_key


def test_no_founder_s_key_goes_into_the_cluster(folder: Path, objects: Any, monkeypatch: Any) -> None:
    founders = open_founders(folder)
    assert len(founders) == 4
    everything = json.dumps(list(objects.values()))
    plain = everything + "".join(str(secret(objects, name)) for kind, name in objects if kind == "Secret")
    for founder in founders:
        for key in founder.keys:
            for signing in key.signing_keys.values():
                assert signing.seed.hex() not in plain
                assert base64.b64encode(signing.seed).decode() not in plain


def test_passwords_differ_and_stand_in_the_addresses_that_use_them(objects: Any) -> None:
    passwords = []
    for kind, name in objects:
        values = secret(objects, name) if kind == "Secret" else {}
        for key, value in values.items():
            if key.endswith("password"):
                passwords.append(value)
            if key.endswith("database-url"):
                role = key.removesuffix("database-url").removesuffix("-") or name.removeprefix("icn-")
                parsed = conninfo_to_dict(value.decode())
                own = values.get(f"{role}-password") or values["database-password"]
                assert (parsed["user"], parsed["password"]) == (role, own.decode())
                assert psycopg.conninfo.make_conninfo(value.decode())
    assert len(set(passwords)) == len(passwords) == 4 * 5 + 5 * 2 + 1


def test_certificates_name_the_services_of_the_namespace(objects: Any) -> None:
    certificate = x509.load_pem_x509_certificate(secret(objects, "icn-validator-2-tls")["tls.crt"])
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    hosts = names.get_values_for_type(x509.DNSName)
    assert {"icn-validator-2", "icn-validator-2.valley.svc.cluster.local", "localhost"} <= set(hosts)


def test_every_seat_has_an_empty_note_of_its_key_s_record(objects: Any) -> None:
    assert [objects["ConfigMap", f"icn-validator-{seat}-record"]["data"] for seat in range(4)] == [{}] * 4


def test_without_certificates_only_they_are_left_out(tmp_path: Path) -> None:
    done = run.invoke(app, ["cluster", "prepare", str(tmp_path / "a"), "--no-certificates", "--json"])
    assert done.exit_code == 0, done.output
    items = json.loads((tmp_path / "a" / "objects.json").read_text("utf-8"))["items"]
    assert not [item for item in items if item.get("type") == "kubernetes.io/tls"]
    assert not (tmp_path / "a" / "authority").exists()


def test_a_folder_that_holds_something_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "keep").write_text("me")
    done = run.invoke(app, ["cluster", "prepare", str(tmp_path)])
    assert done.exit_code != 0
    assert [path.name for path in tmp_path.iterdir()] == ["keep"]


@pytest.mark.parametrize("name", ["", "Icn", "-icn", "icn-", "i" * 41, "icn_1"])
def test_names_that_kubernetes_refuses_are_refused_first(tmp_path: Path, name: str) -> None:
    done = run.invoke(app, ["cluster", "prepare", str(tmp_path / "b"), "--release", name])
    assert done.exit_code != 0
    assert not (tmp_path / "b").exists()
