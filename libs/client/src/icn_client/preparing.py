"""What a Helm release is given before it is installed: genesis, the objects of every part, values.

Three ways: a zone whose keys are all made here, to look at; one of founders who made their own; and one
validator of a zone whose others are elsewhere. Nothing is written but what a later step cannot make again:
genesis, the founders' keystores, the certificates' authority and the founders' admissions.

Source: docs/operating/install.md; docs/operating/join.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from icn_chain.quorum import quorum_of
from icn_kit.genesis import Genesis, TrustProfile
from icn_localnet import files
from icn_localnet.certificates import Authority
from icn_localnet.joined import Admission, ToldValidator
from icn_localnet.network import Network, NetworkOptions, ValidatorAddresses, found_zone

from icn_client import platforms
from icn_client.cluster_files import AUTHORITY_FOLDER, Release, cluster_objects, validator_objects
from icn_client.founding import OfferedFounder

GENESIS_FILE: Final = "genesis.json"
ADMISSIONS_FOLDER: Final = "admissions"
_NO_SERVICES: Final = "services: {enabled: false}\npostgres: {bundled: false}\nnats: {bundled: false}\n"


@dataclass(frozen=True, slots=True)
class Place:
    """Where it is made, and for which release."""

    directory: Path
    release: Release
    with_certificates: bool
    """Otherwise somebody else certifies the parts."""

    @property
    def certified_in(self) -> Path | None:
        """Where the authority is made; None where somebody else certifies."""
        return self.directory if self.with_certificates else None


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a release is given."""

    genesis: Genesis
    objects: dict[str, Any]
    """A Kubernetes list; holds secrets."""
    values: str
    """YAML."""
    keystore: str | None = None
    """Of founders whose keys were made here."""
    admissions: list[str] = field(default_factory=list)
    """Files for the founders who run their validators elsewhere."""


def evaluation(place: Place, organizations: int, validators: int, options: NetworkOptions) -> Prepared:
    """A zone whose keys are all made here.

    Args:
        organizations: how many found it; the first ones hold the seats.

    Raises:
        GenesisInvalid: there can be no such zone.
    """
    files.make_private_directory(place.directory)
    founded = found_zone(platforms.make_founders(place.directory, organizations), validators, options)
    files.write_atomically(place.directory / GENESIS_FILE, founded.text)
    keys = {seat: key for seat, key in enumerate(founded.key_files) if key is not None}
    return Prepared(
        founded.genesis,
        cluster_objects(founded, place.release, place.certified_in, keys),
        _values(founded.genesis.trust_profile, range(validators)),
        str(platforms.founders_keystore(place.directory).folder),
    )


def founded(
    place: Place, offered: Sequence[OfferedFounder], here: Mapping[int, bytes], options: NetworkOptions
) -> Prepared:
    """A zone of founders who have made their own keys.

    Args:
        offered: by seat.
        here: the key file of each seat that the release runs.

    Raises:
        GenesisInvalid: there can be no such zone.
    """
    is_hosted = len(here) >= quorum_of(len(offered))
    profile = TrustProfile.HOSTED if is_hosted else TrustProfile.INDEPENDENT
    founders = [one.founder for one in offered]
    zone = found_zone(founders, len(founders), replace(options, trust_profile=profile))
    files.make_private_directory(place.directory)
    files.write_atomically(place.directory / GENESIS_FILE, zone.text)
    outer = {seat: offered[seat].request.names for seat in here}
    objects = cluster_objects(zone, place.release, place.certified_in, here, outer)
    away = {seat: one for seat, one in enumerate(offered) if seat not in here}
    admissions: list[str] = []
    if place.with_certificates and away:
        admissions = _admit(place.directory, zone.genesis.hash, offered, away)
    elsewhere = [_elsewhere(seat, one.validator) for seat, one in away.items()]
    return Prepared(
        zone.genesis, objects, _values(str(profile), sorted(here), elsewhere), admissions=admissions
    )


def joining(place: Place, network: Network, validator: Path) -> Prepared:
    """One validator of a zone whose others are elsewhere.

    Args:
        network: the validator's, admitted; the others follow it in the list of its validators.
        validator: its folder.
    """
    others = network.validators[1:]
    seat = len(others)
    elsewhere = [_elsewhere(position, one) for position, one in enumerate(others)]
    objects = validator_objects(seat, validator, place.release)
    files.make_private_directory(place.directory)
    values = _values(network.genesis.trust_profile, [seat], elsewhere)
    return Prepared(network.genesis, objects, f"{values}{_NO_SERVICES}")


def _admit(
    directory: Path,
    genesis_hash: bytes,
    offered: Sequence[OfferedFounder],
    away: Mapping[int, OfferedFounder],
) -> list[str]:
    """Files for those who run their validators elsewhere; their paths."""
    folder = files.make_private_directory(directory / ADMISSIONS_FOLDER)
    authority = Authority(directory / AUTHORITY_FOLDER)
    written = []
    for seat, one in away.items():
        told = [other.validator for number, other in enumerate(offered) if number != seat]
        certificate, trusted = authority.certify(one.request), authority.certificate.read_bytes()
        document = Admission(genesis_hash, certificate, trusted, told).document()
        path = folder / f"{seat}-{platforms.founder_slug(one.founder.name)}.json"
        files.write_atomically(path, json.dumps(document).encode() + b"\n")
        written.append(str(path))
    return written


def _elsewhere(seat: int, validator: ToldValidator | ValidatorAddresses) -> dict[str, str | int]:
    """As the chart lists it."""
    host, _, consensus_port = validator.consensus.rpartition(":")
    ledger_port = validator.ledger.rpartition(":")[2]
    return {
        "seat": seat,
        "host": host,
        "consensusPort": int(consensus_port),
        "ledgerPort": int(ledger_port),
    }


def _values(
    trust_profile: str, seats: Sequence[int], elsewhere: Sequence[Mapping[str, str | int]] = ()
) -> str:
    listed = "".join(f"    - {json.dumps(one)}\n" for one in elsewhere)
    return (
        "# Written by `icn cluster prepare`; deploy/helm/icn/values.yaml has every other value.\n"
        f"trustProfile: {trust_profile}\n"
        f"validators:\n  seats: [{', '.join(map(str, seats))}]\n"
        + (f"  elsewhere:\n{listed}" if listed else "")
    )
