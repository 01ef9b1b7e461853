from __future__ import annotations

import base64
import json
import shutil
import stat
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from icn_chain.protocols import FIRST_PROTOCOL, NEWEST_PROTOCOL
from icn_client.cli.main import app
from icn_client.cli.output import CommandError, Refused
from icn_client.cli.signing import zone_signers
from icn_client.platforms import open_founders
from icn_crypto.suites import SigningKey, Suite
from icn_kit.genesis import parse_genesis
from icn_localnet.certificates import Authority, hosts_of
from psycopg.conninfo import conninfo_to_dict
from typer.testing import CliRunner, Result

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


# --- what is made anew for a release that runs


@pytest.fixture
def own(folder: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(folder, tmp_path / "federation"))


def renewed(directory: Path, *options: str) -> dict[str, dict[str, bytes]]:
    """Secrets that `icn cluster certificates` says to apply, by name."""
    done = run.invoke(app, ["cluster", "certificates", str(directory), *options])
    assert done.exit_code == 0, done.output
    file = directory / "certificates.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    return secrets_in(file)


def decoded(data: dict[str, str]) -> dict[str, bytes]:
    return {key: base64.b64decode(value) for key, value in data.items()}


def secrets_in(file: Path) -> dict[str, dict[str, bytes]]:
    return {
        item["metadata"]["name"]: decoded(item["data"])
        for item in json.loads(file.read_text("utf-8"))["items"]
        if item["kind"] == "Secret"
    }


def why(done: Result) -> str:
    return " ".join(f"{done.exception} {done.output}".split())


def snapshot(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


def test_new_passwords_are_of_everybody_and_of_nothing_else(own: Path) -> None:
    before = secrets_in(own / "objects.json")
    done = run.invoke(app, ["cluster", "passwords", str(own)])
    assert done.exit_code == 0, done.output
    patches = {path.stem: path for path in (own / "passwords").iterdir()}
    assert {stat.S_IMODE(path.stat().st_mode) for path in patches.values()} == {0o600}
    changed = {name: decoded(json.loads(path.read_text("utf-8"))["data"]) for name, path in patches.items()}
    after = secrets_in(own / "objects.json")
    assert {name for name in before if not name.endswith("-tls")} == set(changed)
    old = [value for held in before.values() for key, value in held.items() if key.endswith("password")]
    everything = b"".join(value for held in after.values() for value in held.values())
    assert not [value for value in old if value in everything]
    for name, held in changed.items():
        assert set(held) == {key for key in before[name] if key.endswith(("password", "database-url"))}
        assert after[name] == before[name] | held
        for key, address in held.items():
            if key.endswith("database-url"):
                role = key.removesuffix("database-url")
                password = held[f"{role}password" if role else "database-password"].decode()
                parsed, as_before = (conninfo_to_dict(one.decode()) for one in (address, before[name][key]))
                assert parsed == as_before | {"password": password}


def test_passwords_of_a_server_elsewhere_are_refused_and_nothing_is_written(own: Path) -> None:
    objects = json.loads((own / "objects.json").read_text("utf-8"))
    (gateway,) = (one for one in objects["items"] if one["metadata"]["name"] == "icn-gateway")
    gateway["data"]["database-url"] = base64.b64encode(b"postgresql://gateway:x@db.example/icn").decode()
    (own / "objects.json").write_text(json.dumps(objects))
    before = snapshot(own)
    done = run.invoke(app, ["cluster", "passwords", str(own)])
    assert isinstance(done.exception, Refused)
    assert "icn-gateway: database-url does not hold database-password" in why(done)
    assert snapshot(own) == before


def certificate_of(held: dict[str, bytes]) -> x509.Certificate:
    return x509.load_pem_x509_certificate(held["tls.crt"])


def test_renewed_certificates_are_of_the_same_authority_and_names_and_of_new_keys(own: Path) -> None:
    before = secrets_in(own / "objects.json")
    changed = renewed(own, "--host", "validator-1=icn.mill.example")
    assert set(changed) == {name for name in before if name.endswith("-tls")}
    authority = Authority(own / "authority")
    for name, held in changed.items():
        assert held["ca.crt"] == before[name]["ca.crt"]
        assert held["tls.key"] != before[name]["tls.key"]
        assert authority.has_signed(held["tls.crt"])
        further = {"icn.mill.example"} if name == "icn-validator-1-tls" else set()
        assert set(hosts_of(held["tls.crt"])) == set(hosts_of(before[name]["tls.crt"])) | further
    again = renewed(own)
    assert "icn.mill.example" in hosts_of(again["icn-validator-1-tls"]["tls.crt"])
    assert secrets_in(own / "objects.json") == before | again


def test_a_new_authority_takes_three_steps_and_at_each_all_pairs_trust_each_other(own: Path) -> None:
    before = secrets_in(own / "objects.json")
    both = renewed(own, "--new-authority")
    leaves = renewed(own)
    alone = renewed(own, "--forget-old-authorities")
    for first, second in pairwise((before, both, leaves, alone)):
        for name in both:
            for one, other in ((first, second), (second, first)):
                trusted = x509.load_pem_x509_certificates(other[name]["ca.crt"])
                assert any(issued(certificate_of(one[name]), by) for by in trusted)
    assert all(both[name]["tls.crt"] == before[name]["tls.crt"] for name in both)
    old = x509.load_pem_x509_certificate(before["icn-gateway-tls"]["ca.crt"])
    (newest,) = x509.load_pem_x509_certificates(alone["icn-gateway-tls"]["ca.crt"])
    assert newest.subject != old.subject, "who trusts two of one name may try the wrong one only"
    assert (own / "tls" / "client" / "authority.pem").read_bytes() == alone["icn-gateway-tls"]["ca.crt"]


def issued(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, InvalidSignature):
        return False
    return True


@pytest.mark.parametrize(
    ("spoil", "options", "sentence"),
    [
        ("objects.json", (), "objects.json: No such file or directory: bring back from the safe"),
        ("authority/authority.key", (), "authority.key is not there: whoever has the authority's key"),
        ("genesis.json", ("--new-authority",), "genesis.json"),
        ("", ("--host", "validator-9=a.example"), "no part is called validator-9; there are client, gateway"),
        ("", ("--forget-old-authorities",), "there is nothing to forget"),
        ("", ("--new-authority", "--forget-old-authorities"), "one step at a time"),
        ("", ("--new-authority", "--host", "gateway=a.example"), "renews none"),
        ("", ("--host", "gateway"), "PART=NAME"),
        ("", ("--host", "gateway=a b"), "PART=NAME"),
    ],
)
def test_certificates_that_cannot_be_made_are_refused_and_nothing_is_written(
    own: Path, spoil: str, options: tuple[str, ...], sentence: str
) -> None:
    if spoil:
        (own / spoil).unlink()
    before = snapshot(own)
    done = run.invoke(app, ["cluster", "certificates", str(own), *options])
    assert isinstance(done.exception, CommandError)
    assert sentence in why(done)
    assert snapshot(own) == before


def test_an_authority_is_not_forgotten_while_its_certificates_are_shown(own: Path) -> None:
    renewed(own, "--new-authority")
    before = snapshot(own)
    done = run.invoke(app, ["cluster", "certificates", str(own), "--forget-old-authorities"])
    assert isinstance(done.exception, Refused)
    assert "are of an authority that would be forgotten: renew them first" in why(done)
    assert snapshot(own) == before


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"items": [{"kind": "Secret"}]}', '{"items": []}'])
def test_a_file_that_prepare_has_not_made_is_refused(own: Path, text: str) -> None:
    (own / "objects.json").write_text(text)
    for command in ("passwords", "certificates"):
        done = run.invoke(app, ["cluster", command, str(own)])
        assert isinstance(done.exception, Refused)
        assert "holds no Secret" in why(done)
        assert (own / "objects.json").read_text() == text


def test_certificates_that_somebody_else_makes_are_not_renewed_here(tmp_path: Path) -> None:
    made = tmp_path / "a"
    assert run.invoke(app, ["cluster", "prepare", str(made), "--no-certificates"]).exit_code == 0
    done = run.invoke(app, ["cluster", "certificates", str(made)])
    assert isinstance(done.exception, Refused)
    assert "is not there: whoever has the authority's key" in why(done)


def new_key(folder: Path, file: Path, organization: str) -> None:
    genesis = ("--genesis", str(folder / "genesis.json"))
    done = run.invoke(app, ["validators", "key", "new", "--for", organization, "--out", str(file), *genesis])
    assert done.exit_code == 0, done.output


@pytest.fixture
def own_folder(tmp_path: Path) -> Path:
    made = tmp_path / "federation"
    done = run.invoke(app, ["cluster", "prepare", str(made), "--co-ops", "5", "--epoch", "1m"])
    assert done.exit_code == 0, done.output
    return made


def objects_in(file: Path) -> dict[tuple[str, str], dict[str, Any]]:
    items = json.loads(file.read_text("utf-8"))["items"]
    return {(item["kind"], item["metadata"]["name"]): item for item in items}


def test_a_zone_may_have_more_founders_than_seats_and_short_epochs(own_folder: Path) -> None:
    genesis = parse_genesis((own_folder / "genesis.json").read_bytes())
    assert (len(genesis.organizations), len(genesis.validators), genesis.epoch_ms) == (5, 4, 60_000)
    refused = run.invoke(app, ["cluster", "prepare", str(own_folder.parent / "few"), "--co-ops", "3"])
    assert "4 validators are of as many, not 3" in str(refused.exception)
    assert not (own_folder.parent / "few").exists()


def test_a_zone_may_begin_by_an_older_protocol_version_and_by_none_that_is_not_known(tmp_path: Path) -> None:
    older = ("--protocol-version", str(FIRST_PROTOCOL))
    done = run.invoke(app, ["cluster", "prepare", str(tmp_path / "older"), *older])
    assert done.exit_code == 0, done.output
    assert (
        parse_genesis((tmp_path / "older" / "genesis.json").read_bytes()).protocol_version == FIRST_PROTOCOL
    )
    unknown = ("--protocol-version", str(NEWEST_PROTOCOL + 1))
    refused = run.invoke(app, ["cluster", "prepare", str(tmp_path / "unknown"), *unknown])
    assert (refused.exit_code, (tmp_path / "unknown").exists()) == (2, False)


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


def test_founders_sign_for_the_zone_from_the_keystore_where_the_platform_is_elsewhere(
    own_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    founders = [one.principal for one in open_founders(own_folder)]
    elsewhere = tmp_path / "zone"
    elsewhere.mkdir()
    monkeypatch.setenv("ICN_KEYSTORE", str(own_folder / "keystores"))
    assert [one.principal for one in zone_signers(None, None, elsewhere)] == founders
    assert [one.principal for one in zone_signers(None, own_folder / "keystores", elsewhere)] == founders
    monkeypatch.setenv("ICN_KEYSTORE", str(tmp_path / "nothing"))
    assert [one.principal for one in zone_signers(None, None, own_folder)] == founders
    with pytest.raises(Refused):
        zone_signers(None, None, elsewhere)
