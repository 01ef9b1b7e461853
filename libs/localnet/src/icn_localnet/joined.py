"""One validator of a zone whose others are elsewhere: its directory, and what others tell it.

It is a network (`icn_localnet.network`) that runs its first validator alone; the others it only calls.
Source: docs/adr/0047-joining-from-outside.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from icn_kit.genesis import parse_genesis

from icn_localnet import files
from icn_localnet.certificates import CertificateInvalid, check_certificate, write_request
from icn_localnet.network import KEY_FILE, Network, ValidatorAddresses
from icn_localnet.parts import port_of

OWN = 0
"""Which validator of its network it is."""
LISTENING_FILE = "listening.json"
ADMISSION_FORMAT = "icn/validator-admission/v1"
ADMISSION_BYTES_MAX = 262_144
"""Fifty validators' addresses and a dozen certificates stay far below it."""
VALIDATORS_TOLD_MAX = 64
"""As many peers as a validator's consensus takes."""
ADDRESS_CHARACTERS_MAX = 256


class AdmissionInvalid(ValueError):
    """The bytes are no admission, or not this validator's; the message says why."""


class KeyGone(ValueError):
    """The validator has no key any more, or has voted with it; the message says what to do."""


class NotAdmitted(ValueError):
    """The validator was not told where the others are."""


@dataclass(frozen=True, slots=True)
class Listening:
    """Where a validator listens to the others."""

    hosts: Sequence[str]
    """Names and addresses by which the others call it, the first before the rest."""
    consensus_port: int
    ledger_port: int
    listen: str
    """Address of this machine, or 0.0.0.0 for all of them."""


@dataclass(frozen=True, slots=True)
class ToldValidator:
    """Another validator, as who joins is told of it."""

    name: str
    organization: str
    """Principal in hex; zeros where it is not known."""
    consensus: str
    """``host:port``."""
    ledger: str

    def check(self) -> None:
        """Raises AdmissionInvalid where it cannot be called."""
        for address in (self.consensus, self.ledger):
            host, _, port = address.rpartition(":")
            if not host or not port.isdecimal() or len(address) > ADDRESS_CHARACTERS_MAX:
                raise AdmissionInvalid(f"{address[:80]!r} is not host:port")
        bytes.fromhex(self.organization)


@dataclass(frozen=True, slots=True)
class Admission:
    """What who runs the other validators gives a new one; nothing in it is secret."""

    genesis_hash: bytes
    certificate: bytes
    """The new one's, PEM."""
    authority: bytes
    """Whose certificates it shall accept, PEM, one or several."""
    validators: Sequence[ToldValidator]

    def document(self) -> dict[str, Any]:
        """As a file has it."""
        return {
            "format": ADMISSION_FORMAT,
            "genesis": self.genesis_hash.hex(),
            "certificate": self.certificate.decode("ascii"),
            "authority": self.authority.decode("ascii"),
            "validators": [asdict(one) for one in self.validators],
        }


def read_admission(content: bytes) -> Admission:
    """The admission of a file.

    Raises:
        AdmissionInvalid: it is none.
    """
    try:
        document = json.loads(content)
        if document["format"] != ADMISSION_FORMAT:
            raise AdmissionInvalid(f"not an admission ({ADMISSION_FORMAT})")
        told = document["validators"]
        if not 1 <= len(told) <= VALIDATORS_TOLD_MAX:
            raise AdmissionInvalid(f"names {len(told)} validators, must be 1 to {VALIDATORS_TOLD_MAX}")
        return Admission(
            bytes.fromhex(document["genesis"]),
            document["certificate"].encode("ascii"),
            document["authority"].encode("ascii"),
            tuple(map(_told_validator, told)),
        )
    except AdmissionInvalid:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise AdmissionInvalid(f"not an admission ({ADMISSION_FORMAT}): {error!r}") from None


def _told_validator(item: Mapping[str, str]) -> ToldValidator:
    told = ToldValidator(**{field.name: item[field.name] for field in fields(ToldValidator)})
    told.check()
    return told


def make_validator(
    directory: Path, genesis: bytes, organization: bytes, key_file: bytes, listening: Listening
) -> bytes:
    """Write the directory of a validator that is to join a zone, and return a request for its certificate,
    PEM.

    Args:
        directory: new or empty.
        genesis: content of the zone's genesis file.
        organization: principal that will hold the seat.
        key_file: content of KEY_FILE.
        listening: to the others.

    Raises:
        GenesisInvalid: see there.
        FileExistsError: something is in the directory.
        CertificateInvalid: a host cannot stand in a certificate.
    """
    parse_genesis(genesis)
    request = make_keys(directory, key_file, listening)
    take_genesis(directory, genesis, organization)
    return request


def make_keys(directory: Path, key_file: bytes, listening: Listening) -> bytes:
    """The first half of `make_validator`, for a founder whose zone has no genesis yet; raises the same."""
    if directory.exists() and any(directory.iterdir()):
        raise FileExistsError(f"{directory} is not empty")
    request = write_request(listening.hosts[0], listening.hosts, own_directory(directory) / "tls")
    files.make_private_directory(directory)
    keys = files.make_private_directory(own_directory(directory) / "keys")
    files.write_private(keys / KEY_FILE, key_file)
    files.write_private(directory / LISTENING_FILE, json.dumps(asdict(listening)).encode())
    return request


def take_genesis(directory: Path, genesis: bytes, organization: bytes) -> Network:
    """The second half of `make_validator`: note which zone it is; raises GenesisInvalid."""
    zone = parse_genesis(genesis)
    listening = Listening(**json.loads((directory / LISTENING_FILE).read_text("utf-8")))
    names = {one.principal: one.name for one in zone.organizations}
    own = ValidatorAddresses(
        seat=OWN,
        name=names.get(organization, "this validator"),
        organization=organization.hex(),
        consensus=f"127.0.0.1:{listening.consensus_port}",
        ledger=f"127.0.0.1:{listening.ledger_port}",
        metrics=f"127.0.0.1:{files.free_port()}",
        vm_metrics=f"127.0.0.1:{files.free_port()}",
    )
    network = Network(
        directory, [own], {}, gateway="", metrics="", nats="", hosted=[OWN], listen=listening.listen
    )
    files.write_atomically(network.genesis_path, genesis)
    network.save()
    return network


def own_directory(directory: Path) -> Path:
    """Where the keys of the validator in a directory are; its network may not be there yet."""
    return directory / f"validator-{OWN}"


def take_admission(network: Network, admission: Admission) -> None:
    """Note where the others are, and what to show them; what it was told before is replaced.

    Raises:
        AdmissionInvalid: of another zone, or not for this validator's key.
    """
    genesis_hash = network.genesis.hash
    if admission.genesis_hash != genesis_hash:
        raise AdmissionInvalid(
            f"of the zone with genesis {admission.genesis_hash.hex()}, and {network.genesis_path} has "
            f"{genesis_hash.hex()}: one of the two files is of another zone"
        )
    shown = network.client_tls_directory
    try:
        check_certificate(admission.certificate, (shown / "key.pem").read_bytes(), admission.authority)
    except CertificateInvalid as error:
        raise AdmissionInvalid(f"{error}: have it made from the request.pem of this folder") from None
    own = network.validators[OWN]
    others = [one for one in admission.validators if one.organization != own.organization]
    network.validators = [
        own,
        *(
            ValidatorAddresses(
                seat=position,
                name=one.name,
                organization=one.organization,
                consensus=one.consensus,
                ledger=one.ledger,
                metrics="",
                vm_metrics="",
            )
            for position, one in enumerate(others, OWN + 1)
        ),
    ]
    files.write_atomically(shown / "authority.pem", admission.authority)
    files.write_atomically(shown / "certificate.pem", admission.certificate)
    network.save()


@contextmanager
def undone_if_refused(directory: Path) -> Iterator[None]:
    """What the validator was told stays as it was where the block raises."""
    tls = own_directory(directory) / "tls"
    paths = (
        *(directory / name for name in ("genesis.json", "network.json")),
        *(tls / name for name in ("certificate.pem", "authority.pem")),
    )
    before = {path: path.read_bytes() for path in paths if path.is_file()}
    try:
        yield
    except Exception:
        for path in paths:
            if path in before:
                files.write_atomically(path, before[path])
            else:
                path.unlink(missing_ok=True)
        raise


def check_admitted(network: Network) -> None:
    """Return if the validator has its key, knows the others and has what they accept.

    Raises:
        NotAdmitted: it has no admission.
        KeyGone: see there.
        CertificateInvalid: the certificate of it is over, or was damaged.
    """
    shown = network.client_tls_directory
    if not _key_file(network.directory).is_file():
        raise _key_gone(network.directory)
    if len(network.validators) == 1 or not (shown / "certificate.pem").is_file():
        raise NotAdmitted("this validator has not been admitted")
    check_certificate(*((shown / f"{name}.pem").read_bytes() for name in ("certificate", "key", "authority")))


def give_key_away(directory: Path) -> None:
    """Remove the key, which votes elsewhere from now on."""
    _key_file(directory).unlink()


def read_unused_key(directory: Path) -> bytes:
    """Content of the key file, if the key cannot have voted here.

    Raises:
        KeyGone: it can, and its record cannot go with it; or the key is gone already.
    """
    record = own_directory(directory) / "record"
    if record.exists():
        raise KeyGone(
            f"{record} is there: the key has voted here, and elsewhere it could contradict itself; make "
            "another validator with icn validator init"
        )
    try:
        return _key_file(directory).read_bytes()
    except FileNotFoundError:
        raise _key_gone(directory) from None


def _key_file(directory: Path) -> Path:
    return own_directory(directory) / "keys" / KEY_FILE


def _key_gone(directory: Path) -> KeyGone:
    return KeyGone(
        f"{_key_file(directory)} is not there: a release has the key (icn cluster prepare), and two "
        "processes must never vote with one; make another validator with icn validator init"
    )


def taken_ports(network: Network) -> list[str]:
    """Addresses of the validator on which it cannot listen."""
    own = network.validators[OWN]
    addresses = (network.listening(own.consensus), network.listening(own.ledger))
    return [one for one in addresses if not files.is_free(port_of(one), one.rpartition(":")[0])]
