"""The files of a local network: who validates, at which addresses, and where each part keeps its data.

A network runs all its validators and what they share, or it is one validator of a zone whose others are
elsewhere (docs/adr/0047-joining-from-outside.md); then it has no ``shared``. ::

    DIR/genesis.json           public; docs/spec/genesis.md
    DIR/network.json           public; addresses and process ids, no secrets
    DIR/validator-0/postgres/  the validator's own Postgres
    DIR/validator-0/keys/      its consensus key (private)
    DIR/validator-0/record/    what it sent, on disk before it was sent
    DIR/validator-0/retired/   keys it had before, each with its record
    DIR/validator-0/tls/       its certificate
    DIR/shared/{nats,gateway,client,authority}/
    DIR/shared/postgres/       Postgres of the services of the host
    DIR/shared/{identity,governance,marketplace,reputation}/
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from icn_chain.protocols import NEWEST_PROTOCOL
from icn_crypto.suites import SUITE_NAMES, SigningKey, Suite, key_id
from icn_kit.genesis import (
    IDENTIFIER_BYTES,
    VALIDATORS_MAX,
    VALIDATORS_MIN,
    Allowance,
    Genesis,
    PublicKeys,
    TrustProfile,
    load_genesis,
    parse_genesis,
    public_keys_document,
)

from icn_localnet import files

NETWORK_FORMAT = 3
"""Of network.json; a reader refuses another one."""

SERVICES = ("identity", "governance", "marketplace", "reputation")
"""What the host runs beside the validators: each a process, all on one Postgres server."""

GENEROUS = Allowance(
    bytes_per_epoch=64 * 1024 * 1024 * 1024,
    signatures_per_epoch=1_000_000_000,
    state_leaves=100_000_000,
    fuel_per_epoch=100_000_000_000_000,
)
"""A network on one machine is for trying things out; its members are not the ones to protect it from."""


KEY_FILE = "consensus.json"
"""In a validator's ``keys``."""
CHECKPOINT_FILE = "checkpoint.json"
"""In a validator's directory, where its operator believes one: history must come by it."""


class NetworkInvalid(ValueError):
    """The directory does not hold a network of this release; the message says what is wrong."""


class KeyUsed(ValueError):
    """A consensus key is or was a validator's here; with another record it could contradict itself."""


@dataclass(frozen=True, slots=True)
class Founder:
    """A founding organization as genesis names it. Its secret keys stay with who made them."""

    name: str
    keys: Sequence[PublicKeys]
    """Public keys of all suites, one mapping per key."""
    threshold: int = 1
    principal: bytes = field(default_factory=lambda: secrets.token_bytes(IDENTIFIER_BYTES))
    allowance: Allowance = GENEROUS
    consensus_keys: PublicKeys | None = None
    """Public keys of its validator, where it has made them itself; None: they are made with genesis."""


@dataclass(frozen=True, slots=True)
class NetworkOptions:
    """What genesis sets; defaults as in docs/spec/genesis.md."""

    zone: str = "Local federation"
    trust_profile: TrustProfile = TrustProfile.HOSTED
    epoch_ms: int = 86_400_000
    heartbeat_ms: int = 30_000
    recovery_delay_ms_min: int = 259_200_000
    block_time_distance_ms_max: int = 3_000
    block_bytes_max: int = 1_048_576
    block_transactions_max: int = 4_000
    genesis_time_ms: int | None = None
    """Unix milliseconds; now when it is None."""
    protocol_version: int = NEWEST_PROTOCOL


@dataclass(slots=True)
class ValidatorAddresses:
    """Where a validator listens, ``host:port`` each."""

    seat: int
    name: str
    organization: str
    """Principal in hex."""
    consensus: str
    """PeerService and ConsensusService, mutual TLS."""
    ledger: str
    """LedgerService, mutual TLS."""
    metrics: str
    """Plain HTTP: /metrics, /healthz."""
    vm_metrics: str
    """The same of its vm."""


@dataclass(slots=True)
class ServiceAddresses:
    """Where a service of the host listens, ``host:port`` each."""

    address: str
    """Its gRPC service, mutual TLS."""
    metrics: str
    """Plain HTTP: /metrics, /healthz."""


class Network:
    """An existing network directory. Made by `create_network` or `Network.load`."""

    def __init__(
        self,
        directory: Path,
        validators: list[ValidatorAddresses],
        services: dict[str, ServiceAddresses],
        *,
        gateway: str,
        metrics: str,
        nats: str,
        hosted: Sequence[int] | None = None,
        listen: str = "",
    ) -> None:
        self.directory = directory.absolute()
        self.validators = validators
        self.services = services
        """By name, SERVICES in this order."""
        self.gateway = gateway
        """``host:port`` of the gateway's door."""
        self.gateway_metrics = metrics
        self.nats = nats
        """``host:port`` of NATS; empty where none runs here."""
        self.hosted = tuple(range(len(validators))) if hosted is None else tuple(hosted)
        """Which of the validators run here."""
        self.listen = listen
        """Host on which those listen to others, where it is not the one they are called by."""
        self.processes: dict[str, dict[str, Any]] = {}
        """Name → {pid, state, restarts} when the file was written; empty when the platform does not run."""
        self.ready_pid: int | None = None
        """Process id of the supervisor once everything serves."""

    @classmethod
    def load(cls, directory: Path) -> Network:
        """Read ``network.json``.

        Raises:
            FileNotFoundError: there is none.
            NetworkInvalid: it is not readable as one.
        """
        text = (directory / "network.json").read_text("utf-8")
        try:
            document = json.loads(text)
            if document["format"] != NETWORK_FORMAT:
                raise NetworkInvalid(
                    f"network.json has format {document['format']}, not {NETWORK_FORMAT}: the directory is "
                    "of another release, and its zone does not go on in this one"
                )
            names = ValidatorAddresses.__slots__
            validators = [
                ValidatorAddresses(**{name: item[name] for name in names}) for item in document["validators"]
            ]
            services = {
                name: ServiceAddresses(
                    document["services"][name]["address"], document["services"][name]["metrics"]
                )
                for name in (SERVICES if document["services"] else ())
            }
            gateway = document["gateway"]
            network = cls(
                directory,
                validators,
                services,
                gateway=gateway["address"],
                metrics=gateway["metrics"],
                nats=document["nats"]["address"],
                hosted=document.get("hosted"),
                listen=document.get("listen", ""),
            )
            network.processes = document["processes"]
            network.ready_pid = document["ready_pid"]
            return network
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise NetworkInvalid(f"network.json: {error!r}") from error

    @property
    def genesis_path(self) -> Path:
        """The zone's genesis file."""
        return self.directory / "genesis.json"

    @cached_property
    def genesis(self) -> Genesis:
        """The zone's genesis, checked."""
        return load_genesis(self.genesis_path)

    @property
    def gateway_url(self) -> str:
        """Address of the page and the REST interface; empty where no gateway runs here."""
        return f"http://{self.gateway}" if self.gateway else ""

    @property
    def is_joined(self) -> bool:
        """Whether this is one validator of a zone whose others, and its services, are elsewhere."""
        return not self.services

    @property
    def shared_directory(self) -> Path:
        """Data of what the validators share."""
        return self.directory / "shared"

    def validator_directory(self, seat: int) -> Path:
        """Data of one validator."""
        return self.directory / f"validator-{seat}"

    @property
    def client_tls_directory(self) -> Path:
        """Certificate, key and authority of who calls the validators from this machine."""
        if self.is_joined:
            return self.validator_directory(self.hosted[0]) / "tls"
        return self.shared_directory / "client" / "tls"

    def listening(self, address: str) -> str:
        """Where a validator that runs here and is called at ``address`` listens."""
        return f"{self.listen}:{address.rpartition(':')[2]}" if self.listen else address

    def call_validators(self, host: str) -> None:
        """Have the validators listen on ``host``, so that others reach them from outside; ports stay."""
        for seat in self.hosted:
            validator = self.validators[seat]
            for kind in ("consensus", "ledger"):
                port = getattr(validator, kind).rpartition(":")[2]
                setattr(validator, kind, f"{host}:{port}")

    def replace_key(self, seat: int, content: bytes) -> None:
        """Give a validator that does not run other consensus keys, with an empty record.

        What it had goes to the next free folder of ``retired``: a key without its record must never vote
        again. The record goes first and the note that names it last, so that a crash in between leaves a
        validator that refuses to start, never one that votes anew.

        Args:
            seat: whose.
            content: of a key file, as ``icn validators key new`` writes it.

        Raises:
            KeyUsed: a validator of this network has or had the key.
        """
        for path in self.directory.glob(f"validator-*/**/{KEY_FILE}"):
            if json.loads(path.read_text("ascii"))["ed25519"] == json.loads(content)["ed25519"]:
                raise KeyUsed(f"{path} holds the same key")
        directory = self.validator_directory(seat)
        keys = files.make_private_directory(directory / "keys")
        retired = files.make_private_directory(directory / "retired")
        last = max((int(path.name) for path in retired.iterdir()), default=0)
        folder = files.make_private_directory(retired / str(last + 1))
        for path in (directory / "record", keys / KEY_FILE, keys / f"{KEY_FILE}.log-id"):
            if path.exists():
                path.rename(folder / path.name)
        files.write_private(keys / KEY_FILE, content)

    def choose_free_ports(self) -> None:
        """Replace addresses on which somebody else listens now; the others are kept, and so is what others
        elsewhere were told."""
        taken: set[int] = set()

        def keep_or_replace(address: str) -> str:
            host, _, port = address.rpartition(":")
            if int(port) in taken or not files.is_free(int(port), host):
                address = f"{host}:{files.free_port(taken=taken)}"
            taken.add(int(address.rpartition(":")[2]))
            return address

        for seat in self.hosted:
            validator = self.validators[seat]
            if not self.is_joined:
                validator.consensus = keep_or_replace(validator.consensus)
                validator.ledger = keep_or_replace(validator.ledger)
            validator.metrics = keep_or_replace(validator.metrics)
            validator.vm_metrics = keep_or_replace(validator.vm_metrics)
        if self.is_joined:
            return
        for service in self.services.values():
            service.address = keep_or_replace(service.address)
            service.metrics = keep_or_replace(service.metrics)
        self.gateway = keep_or_replace(self.gateway)
        self.gateway_metrics = keep_or_replace(self.gateway_metrics)
        self.nats = keep_or_replace(self.nats)

    def save(self, processes: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        """Write ``network.json``; ``processes`` is name → {pid, state, restarts}, None when nothing runs."""
        tls = self.client_tls_directory.relative_to(self.directory)
        document = {
            "format": NETWORK_FORMAT,
            "zone": self.genesis.zone,
            "trust_profile": str(self.genesis.trust_profile),
            "genesis": "genesis.json",
            "genesis_hash": self.genesis.hash.hex(),
            "gateway": {"url": self.gateway_url, "address": self.gateway, "metrics": self.gateway_metrics},
            "nats": {"address": self.nats},
            "services": {
                name: {"address": service.address, "metrics": service.metrics}
                for name, service in self.services.items()
            },
            "validators": [
                {name: getattr(validator, name) for name in ValidatorAddresses.__slots__}
                for validator in self.validators
            ],
            "hosted": self.hosted,
            "listen": self.listen,
            "client_tls": {name: str(tls / f"{name}.pem") for name in ("certificate", "key", "authority")},
            "supervisor_pid": os.getpid() if processes is not None else None,
            "ready_pid": self.ready_pid,
            "processes": dict(processes or {}),
        }
        files.write_atomically(
            self.directory / "network.json", json.dumps(document, indent=1).encode() + b"\n"
        )


@dataclass(frozen=True, slots=True)
class FoundedZone:
    """A new zone, as its genesis says, with what its validators begin to vote with."""

    text: bytes
    """Of the genesis file."""
    genesis: Genesis
    key_files: Sequence[bytes | None]
    """By seat: the content of its KEY_FILE, which is private; None where the founder has made the keys."""


def found_zone(founders: Sequence[Founder], validators: int, options: NetworkOptions) -> FoundedZone:
    """Write genesis, and make consensus keys for founders that have none of their own; the first
    ``validators`` founders get the seats.

    The zone's authority is more than two thirds of the first keys of at most sixteen founders.

    Raises:
        ValueError: fewer founders than validators, or a number of validators out of range.
        GenesisInvalid: a founder's name or key is not acceptable.
    """
    if not VALIDATORS_MIN <= validators <= VALIDATORS_MAX:
        raise ValueError(f"{validators} validators, must be {VALIDATORS_MIN} to {VALIDATORS_MAX}")
    if len(founders) < validators:
        raise ValueError(f"{validators} validators need as many founding organizations, got {len(founders)}")
    seats = founders[:validators]
    made: list[dict[Suite, SigningKey] | None] = [
        {suite: SigningKey.generate(suite) for suite in SUITE_NAMES} if seat.consensus_keys is None else None
        for seat in seats
    ]
    public: list[PublicKeys] = [
        {suite: key.public_key for suite, key in keys.items()} if keys else seat.consensus_keys or {}
        for seat, keys in zip(seats, made, strict=True)
    ]
    document = _genesis_document(founders, seats, public, options)
    text = json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n"
    return FoundedZone(text, parse_genesis(text), [_key_file(keys) if keys else None for keys in made])


def _key_file(keys: Mapping[Suite, SigningKey]) -> bytes:
    return json.dumps({SUITE_NAMES[suite]: key.seed.hex() for suite, key in keys.items()}, indent=1).encode()


def create_network(
    directory: Path,
    founders: Sequence[Founder],
    *,
    validators: int = VALIDATORS_MIN,
    options: NetworkOptions = NetworkOptions(),
) -> Network:
    """Write genesis, the validators' consensus keys and the addresses of a new network.

    Raises:
        FileExistsError: the directory holds a network already.
        ValueError, GenesisInvalid: as `found_zone`.
    """
    if (directory / "genesis.json").exists():
        raise FileExistsError(f"{directory} holds a network already")
    founded = found_zone(founders, validators, options)
    text, genesis = founded.text, founded.genesis
    files.make_private_directory(directory)
    for seat, key_file in enumerate(founded.key_files):
        assert key_file is not None, "who runs all validators makes their keys"
        keys_directory = files.make_private_directory(directory / f"validator-{seat}" / "keys")
        files.write_private(keys_directory / KEY_FILE, key_file, may_replace=True)
    network = Network(
        directory,
        [
            ValidatorAddresses(
                seat=seat.seat,
                name=seat.name,
                organization=seat.organization.hex(),
                consensus=_new_address(),
                ledger=_new_address(),
                metrics=_new_address(),
                vm_metrics=_new_address(),
            )
            for seat in genesis.validators
        ],
        services={name: ServiceAddresses(_new_address(), _new_address()) for name in SERVICES},
        gateway=_new_address(),
        metrics=_new_address(),
        nats=_new_address(),
    )
    files.write_atomically(network.genesis_path, text)
    network.save()
    return network


def _new_address() -> str:
    return f"127.0.0.1:{files.free_port()}"


def _genesis_document(
    founders: Sequence[Founder],
    seats: Sequence[Founder],
    consensus_keys: Sequence[PublicKeys],
    options: NetworkOptions,
) -> dict[str, Any]:
    authority_keys = sorted(key_id(founder.keys[0]).hex() for founder in founders[:16])
    now_ms = time.time_ns() // 1_000_000
    return {
        "zone": options.zone,
        "trust_profile": str(options.trust_profile),
        "protocol_version": options.protocol_version,
        "genesis_time_ms": now_ms if options.genesis_time_ms is None else options.genesis_time_ms,
        "epoch_ms": options.epoch_ms,
        "heartbeat_ms": options.heartbeat_ms,
        "recovery_delay_ms_min": options.recovery_delay_ms_min,
        "block_time_distance_ms_max": options.block_time_distance_ms_max,
        "limits": {
            "block_bytes_max": options.block_bytes_max,
            "block_transactions_max": options.block_transactions_max,
        },
        "validators": [
            {
                "seat": seat,
                "organization": founder.principal.hex(),
                "name": founder.name,
                "consensus_public_keys": public_keys_document(consensus_keys[seat]),
            }
            for seat, founder in enumerate(seats)
        ],
        "organizations": [_organization_document(founder) for founder in founders],
        "zone_authority": {
            "principal": secrets.token_hex(IDENTIFIER_BYTES),
            "threshold": 2 * len(authority_keys) // 3 + 1,
            "key_ids": authority_keys,
            "allowance": _allowance_document(GENEROUS),
        },
    }


def _organization_document(founder: Founder) -> dict[str, Any]:
    keys = sorted(founder.keys, key=key_id)
    return {
        "principal": founder.principal.hex(),
        "name": founder.name,
        "controller": {
            "threshold": founder.threshold,
            "keys": [
                {"key_id": key_id(public_keys).hex(), "public_keys": public_keys_document(public_keys)}
                for public_keys in keys
            ],
        },
        "allowance": _allowance_document(founder.allowance),
    }


def _allowance_document(allowance: Allowance) -> dict[str, int]:
    return {
        "bytes_per_epoch": allowance.bytes_per_epoch,
        "signatures_per_epoch": allowance.signatures_per_epoch,
        "state_leaves": allowance.state_leaves,
        "fuel_per_epoch": allowance.fuel_per_epoch,
    }
