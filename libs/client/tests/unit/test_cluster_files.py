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
    assert all(password[:1].isalpha() for password in passwords), "NATS reads others as numbers and dates"


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


def new_key(folder: Path, file: Path, organization: str) -> None:
    genesis = ("--genesis", str(folder / "genesis.json"))
    done = run.invoke(app, ["validators", "key", "new", "--for", organization, "--out", str(file), *genesis])
    assert done.exit_code == 0, done.output


@pytest.fixture
def own_folder(tmp_path: Path) -> Path:
    made = tmp_path / "federation"
    done = run.invoke(app, ["cluster", "prepare", str(made), "--founders", "5", "--epoch-minutes", "1"])
    assert done.exit_code == 0, done.output
    return made


def objects_in(file: Path) -> dict[tuple[str, str], dict[str, Any]]:
    items = json.loads(file.read_text("utf-8"))["items"]
    return {(item["kind"], item["metadata"]["name"]): item for item in items}


def test_a_zone_may_have_more_founders_than_seats_and_short_epochs(own_folder: Path) -> None:
    genesis = parse_genesis((own_folder / "genesis.json").read_bytes())
    assert (len(genesis.organizations), len(genesis.validators), genesis.epoch_ms) == (5, 4, 60_000)
    refused = run.invoke(app, ["cluster", "prepare", str(own_folder.parent / "few"), "--founders", "3"])
    assert "4 validators are of as many co-ops, not 3" in str(refused.exception)
    assert not (own_folder.parent / "few").exists()


def test_a_seat_gets_a_new_key_and_keeps_the_rest(own_folder: Path, tmp_path: Path) -> None:
    before = objects_in(own_folder / "objects.json")
    new_key(own_folder, tmp_path / "key.json", "00" * 16)
    done = run.invoke(app, ["cluster", "seat", str(own_folder), "2", str(tmp_path / "key.json")])
    assert done.exit_code == 0, done.output
    changed = objects_in(own_folder / "seat-2.json")
    assert list(changed) == [("Secret", "icn-validator-2")]
    after = objects_in(own_folder / "objects.json")
    values = secret(after, "icn-validator-2")
    assert values.pop("consensus.json") == (tmp_path / "key.json").read_bytes()
    assert values.items() < secret(before, "icn-validator-2").items()
    assert secret(changed, "icn-validator-2") == secret(after, "icn-validator-2")
    before.pop(("Secret", "icn-validator-2"))
    assert before.items() < after.items()


def test_a_seat_more_gets_everything_that_it_needs(own_folder: Path, tmp_path: Path) -> None:
    new_key(own_folder, tmp_path / "key.json", "00" * 16)
    done = run.invoke(app, ["cluster", "seat", str(own_folder), "4", str(tmp_path / "key.json")])
    assert done.exit_code == 0, done.output
    added = objects_in(own_folder / "seat-4.json")
    assert [name for _, name in added] == ["icn-validator-4-record", "icn-validator-4", "icn-validator-4-tls"]
    after = objects_in(own_folder / "objects.json")
    assert added.items() < after.items()
    assert set(secret(added, "icn-validator-4")) == set(secret(after, "icn-validator-3"))
    certificate = x509.load_pem_x509_certificate(secret(added, "icn-validator-4-tls")["tls.crt"])
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "icn-validator-4" in names.get_values_for_type(x509.DNSName)
    assert secret(added, "icn-validator-4-tls")["ca.crt"] == secret(after, "icn-validator-0-tls")["ca.crt"]


def test_a_key_that_another_seat_has_is_refused_and_nothing_written(own_folder: Path, tmp_path: Path) -> None:
    objects = objects_in(own_folder / "objects.json")
    (tmp_path / "key.json").write_bytes(secret(objects, "icn-validator-0")["consensus.json"])
    refused = run.invoke(app, ["cluster", "seat", str(own_folder), "4", str(tmp_path / "key.json")])
    assert "icn-validator-0 has this key" in str(refused.exception)
    assert objects_in(own_folder / "objects.json") == objects and not (own_folder / "seat-4.json").exists()


def test_what_is_not_prepared_is_refused(tmp_path: Path, own_folder: Path) -> None:
    new_key(own_folder, tmp_path / "key.json", "00" * 16)
    refused = run.invoke(app, ["cluster", "seat", str(tmp_path), "4", str(tmp_path / "key.json")])
    assert "bring back from the safe" in str(refused.exception)
    (tmp_path / "objects.json").write_text('{"items": []}', "ascii")
    refused = run.invoke(app, ["cluster", "seat", str(tmp_path), "4", str(tmp_path / "key.json")])
    assert "holds no Secret" in str(refused.exception)
    (tmp_path / "key.json").write_text("{}", "ascii")
    refused = run.invoke(app, ["cluster", "seat", str(own_folder), "4", str(tmp_path / "key.json")])
    assert "not a key file" in str(refused.exception)
