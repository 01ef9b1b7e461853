from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from icn_crypto.suites import SigningKey, Suite
from icn_localnet import files, joined, parts
from icn_localnet.certificates import Authority, CertificateInvalid, read_request, write_request
from icn_localnet.joined import Admission, AdmissionInvalid, Listening, ToldValidator
from icn_localnet.network import CHECKPOINT_FILE, Founder, Network, NetworkOptions, found_zone
from icn_localnet.postgres import PostgresServer

FOUNDERS = [
    Founder(f"Co-op {number}", [{suite: SigningKey.generate(suite).public_key for suite in Suite}])
    for number in range(5)
]
ZONE = found_zone(FOUNDERS, 4, NetworkOptions())
FIFTH = FOUNDERS[4].principal
OTHERS = [
    ToldValidator(f"Co-op {number}", FOUNDERS[number].principal.hex(), f"h{number}:7001", f"h{number}:7002")
    for number in range(4)
]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "seat"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    made = Authority(tmp_path / "authority")
    made.ensure("Zone")
    return made


def make(
    directory: Path, consensus_port: int = 7001, hosts: tuple[str, ...] = ("icn.mill.example",)
) -> bytes:
    listening = Listening(hosts, consensus_port, consensus_port + 1, "0.0.0.0")
    key_file = ZONE.key_files[0]
    assert key_file is not None
    return joined.make_validator(directory, ZONE.text, FIFTH, key_file, listening)


def admission(authority: Authority, request: bytes) -> Admission:
    certificate = authority.certify(read_request(request))
    return Admission(ZONE.genesis.hash, certificate, authority.certificate.read_bytes(), OTHERS)


def test_an_admission_reads_as_it_was_written(directory: Path, authority: Authority) -> None:
    made = admission(authority, make(directory))
    assert joined.read_admission(json.dumps(made.document()).encode()) == replace(
        made, validators=tuple(OTHERS)
    )


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        json.dumps({"format": joined.ADMISSION_FORMAT}).encode(),
        b"\xff",
        b"[" * 100_000,
    ],
)
def test_what_is_no_admission_is_refused(content: bytes) -> None:
    with pytest.raises(AdmissionInvalid, match="not an admission"):
        joined.read_admission(content)


@pytest.mark.parametrize(
    ("validators", "says"),
    [
        ([], "names 0 validators, must be 1 to 64"),
        ([{"name": "x", "organization": "00", "consensus": "h", "ledger": "h:1"}], "'h' is not host:port"),
        ([{"name": "x", "organization": "zz", "consensus": "h:1", "ledger": "h:1"}], "not an admission"),
        ([{"name": "x", "organization": "00", "consensus": "h:1"}], "not an admission"),
    ],
)
def test_an_admission_that_names_nobody_rightly_is_refused(
    directory: Path, authority: Authority, validators: list[object], says: str
) -> None:
    document = admission(authority, make(directory)).document() | {"validators": validators}
    with pytest.raises(AdmissionInvalid, match=says):
        joined.read_admission(json.dumps(document).encode())


def test_a_validator_runs_alone_calls_the_others_and_shows_what_it_was_given(
    directory: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = make(directory)
    network = Network.load(directory)
    with pytest.raises(joined.NotAdmitted):
        joined.check_admitted(network)
    joined.take_admission(network, admission(authority, request))
    network = Network.load(directory)
    joined.check_admitted(network)
    assert network.is_joined
    stores, serving = parts.stages(network)
    assert list(stores.parts) == ["postgres-0"]
    assert list(serving.parts) == ["validator-0", "vm-0"]
    assert serving.spare_max == 0

    monkeypatch.setattr(PostgresServer, "dsn", lambda self, role: f"{role}@{self.directory}")
    database = PostgresServer(network.validator_directory(0) / "postgres")
    certificates = parts.issue_certificates(network)
    document = parts.validator_document(network, 0, database, None, certificates)
    assert document["consensus"]["peers"] == [f"h{number}:7001" for number in range(4)]
    assert document["consensus"]["address"] == "0.0.0.0:7001"
    assert document["ledger"]["address"] == "0.0.0.0:7002"
    assert not {"nats_url", "checkpoint"} & set(document["ledger"])
    assert Path(document["consensus"]["tls_certificate"]).is_file()


def test_a_checkpoint_that_its_operator_believes_is_told_to_its_ledger(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(directory)
    network = Network.load(directory)
    kept = network.validator_directory(0) / CHECKPOINT_FILE
    kept.write_text("{}")
    monkeypatch.setattr(PostgresServer, "dsn", lambda _self, _role: "")
    database = PostgresServer(network.validator_directory(0) / "postgres")
    document = parts.validator_document(network, 0, database, None, parts.issue_certificates(network))
    assert document["ledger"]["checkpoint"] == str(kept)


def test_its_ports_stay_as_others_were_told(directory: Path) -> None:
    make(directory, files.free_port())
    network = Network.load(directory)
    before = network.validators[0].consensus
    assert joined.taken_ports(network) == []
    network.choose_free_ports()
    assert network.validators[0].consensus == before


def test_a_port_that_somebody_has_is_told(directory: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as other:
        make(directory, other.getsockname()[1])
        network = Network.load(directory)
        network.listen = "127.0.0.1"
        assert joined.taken_ports(network)[0] == f"127.0.0.1:{other.getsockname()[1]}"


def test_its_own_seat_is_not_called(directory: Path, authority: Authority) -> None:
    made = admission(authority, make(directory))
    own = ToldValidator("Mill", FIFTH.hex(), "icn.mill.example:7001", "icn.mill.example:7002")
    network = Network.load(directory)
    joined.take_admission(network, replace(made, validators=[*OTHERS, own]))
    assert [one.consensus for one in network.validators[1:]] == [one.consensus for one in OTHERS]


def test_an_admission_to_another_zone_is_refused(directory: Path, authority: Authority) -> None:
    made = replace(admission(authority, make(directory)), genesis_hash=bytes(32))
    with pytest.raises(AdmissionInvalid, match="one of the two files is of another zone"):
        joined.take_admission(Network.load(directory), made)


def test_the_certificate_of_another_key_is_refused(
    directory: Path, authority: Authority, tmp_path: Path
) -> None:
    make(directory)
    made = admission(authority, write_request("other", ("other.example",), tmp_path / "other"))
    with pytest.raises(AdmissionInvalid, match=r"of another key: have it made from the request\.pem"):
        joined.take_admission(Network.load(directory), made)


def test_a_certificate_that_its_authority_has_not_signed_is_refused(
    directory: Path, authority: Authority, tmp_path: Path
) -> None:
    made = admission(authority, make(directory))
    foreign = Authority(tmp_path / "foreign")
    foreign.ensure("Another")
    with pytest.raises(AdmissionInvalid, match="no authority that came with the certificate has signed it"):
        joined.take_admission(
            Network.load(directory), replace(made, authority=foreign.certificate.read_bytes())
        )
    bundle = foreign.certificate.read_bytes() + authority.certificate.read_bytes()
    joined.take_admission(Network.load(directory), replace(made, authority=bundle))


def test_what_it_was_told_stays_where_the_new_is_refused(directory: Path, authority: Authority) -> None:
    request = make(directory)
    told = directory / "validator-0" / "tls" / "certificate.pem"
    for _ in range(2):  # at first nothing is there, then the first admission
        before = {path: path.read_bytes() for path in (directory / "network.json", told) if path.exists()}
        with pytest.raises(RuntimeError), joined.undone_if_refused(directory):
            joined.take_admission(Network.load(directory), admission(authority, request))
            assert told.read_bytes() != before.get(told)
            raise RuntimeError
        assert {path: path.read_bytes() for path in before} == before
        assert told.exists() == (told in before)
        joined.take_admission(Network.load(directory), admission(authority, request))


def test_a_folder_with_keys_is_never_written_over(directory: Path) -> None:
    make(directory)
    key = directory / "validator-0" / "keys" / "consensus.json"
    before = key.read_bytes()
    with pytest.raises(FileExistsError):
        make(directory)
    assert key.read_bytes() == before
    assert key.stat().st_mode & 0o777 == 0o600


def test_bad_input_leaves_nothing(directory: Path) -> None:
    with pytest.raises(CertificateInvalid, match="cannot stand in a certificate"):
        make(directory, hosts=("müller.example",))
    assert not directory.exists()


def test_a_key_that_went_to_a_release_does_not_vote_here(directory: Path, authority: Authority) -> None:
    request = make(directory)
    network = Network.load(directory)
    joined.take_admission(network, admission(authority, request))
    assert joined.read_unused_key(directory) == ZONE.key_files[0]
    joined.give_key_away(directory)
    with pytest.raises(joined.KeyGone, match="a release has the key"):
        joined.read_unused_key(directory)
    with pytest.raises(joined.KeyGone, match="two processes must never vote with one"):
        joined.check_admitted(network)


def test_a_key_that_has_voted_does_not_go_to_a_release(directory: Path) -> None:
    make(directory)
    network = Network.load(directory)
    (network.validator_directory(0) / "record").mkdir()
    with pytest.raises(joined.KeyGone, match="the key has voted here"):
        joined.read_unused_key(directory)


@pytest.mark.parametrize("pem", [b"", b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n"])
def test_what_is_no_request_is_refused(pem: bytes) -> None:
    with pytest.raises(CertificateInvalid, match="no request for a certificate"):
        read_request(pem)


def test_a_request_names_hosts_addresses_and_this_machine(tmp_path: Path) -> None:
    request = read_request(
        write_request("mill", ("icn.mill.example", "192.0.2.7", "[2001:db8::7]"), tmp_path)
    )
    assert request.names == ("icn.mill.example", "192.0.2.7", "2001:db8::7", "localhost", "127.0.0.1", "::1")
