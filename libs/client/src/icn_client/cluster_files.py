"""What a Kubernetes cluster is given beside the chart: genesis, and the secrets of each part.

The chart makes no secret and stores none (docs/adr/0046-kubernetes.md): whoever installs makes them with this
module or by hand, as docs/operating/install.md lists them. Each part can read its own Secret alone.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from icn_kit.tls import TlsFiles
from icn_localnet.certificates import Authority
from icn_localnet.files import SEALING_KEY_BYTES, SECRET_BYTES
from icn_localnet.joined import OWN
from icn_localnet.network import KEY_FILE, SERVICES, Network
from icn_localnet.postgres import DATABASE

if TYPE_CHECKING:
    from icn_localnet.network import FoundedZone

VALIDATOR_ROLES: Final = ("consensus", "ledger", "vm")
"""Of a validator's own Postgres."""
SHARED_ROLES: Final = (*SERVICES, "gateway")
"""Of the Postgres that the services of the host share."""
VALIDATOR_SOCKETS: Final = "/run/postgres"
"""Where a validator's containers find the socket of its Postgres."""
TLS_FOLDER: Final = "/run/tls"
"""Where every container finds tls.crt, tls.key and ca.crt."""
POSTGRES_PORT: Final = 5432
AUTHORITY_FOLDER: Final = "authority"
"""Of the directory of a prepared cluster."""


@dataclass(frozen=True, slots=True)
class Release:
    """What the objects are called and where the parts will be."""

    name: str
    """Of the Helm release; every name begins with it."""
    namespace: str
    domain: str = "cluster.local"

    def hosts(self, part: str) -> tuple[str, ...]:
        """Names under which others in the cluster call a part."""
        host = f"{self.name}-{part}"
        within = f"{host}.{self.namespace}"
        return (host, within, f"{within}.svc", f"{within}.svc.{self.domain}")


def parts_with_certificates(seats: Sequence[int]) -> tuple[str, ...]:
    """Everything that calls or is called over TLS, and one more for whoever looks after it."""
    validators = (f"validator-{seat}" for seat in seats)
    return (*validators, *SERVICES, "gateway", "postgres", "nats", "client")


def cluster_objects(
    zone: FoundedZone,
    release: Release,
    directory: Path | None,
    key_files: Mapping[int, bytes],
    outer_hosts: Mapping[int, Sequence[str]] = MappingProxyType({}),
) -> dict[str, Any]:
    """A ``v1`` List for ``kubectl apply``: the ConfigMap of genesis and a Secret for each part.

    Args:
        zone: just founded.
        release: as it will be installed.
        directory: where an authority is made that certifies every part; None where cert-manager does.
        key_files: of the seats that it runs; the keys go into their Secrets.
        outer_hosts: by seat, names under which it is called from outside.
    """
    seats = sorted(key_files)
    items = [_config_map(f"{release.name}-genesis", {"genesis.json": zone.text.decode("utf-8")})]
    # Empty: which record log each seat's key votes with is noted there, and must outlive the seat's volumes.
    items += [_config_map(f"{release.name}-validator-{seat}-record", {}) for seat in seats]
    items += [_validator_secret(release, seat, key_files[seat]) for seat in seats]
    items += [_service_secret(release, role) for role in SHARED_ROLES]
    items.append(_secret(f"{release.name}-postgres", {"administrator-password": _password()}))
    if directory is not None:
        outer = {f"validator-{seat}": hosts for seat, hosts in outer_hosts.items()}
        hosts = {
            part: (*release.hosts(part), *outer.get(part, ())) for part in parts_with_certificates(seats)
        }
        items += _certificates(zone.genesis.zone, release, hosts, directory)
    return {"apiVersion": "v1", "kind": "List", "items": items}


def validator_objects(seat: int, directory: Path, release: Release) -> dict[str, Any]:
    """The same for a release that runs one validator, whose zone's other seats and services are elsewhere.

    Args:
        seat: by which the release names it.
        directory: of a validator that was admitted (`icn_localnet.joined`).
        release: as it will be installed.
    """
    network = Network.load(directory)
    part = f"validator-{seat}"
    key_file = network.validator_directory(OWN) / "keys" / KEY_FILE
    shown = network.client_tls_directory
    tls = TlsFiles(shown / "certificate.pem", shown / "key.pem", shown / "authority.pem")
    items = [
        _config_map(f"{release.name}-genesis", {"genesis.json": network.genesis_path.read_text("utf-8")}),
        _config_map(f"{release.name}-{part}-record", {}),
        _validator_secret(release, seat, key_file.read_bytes()),
        _tls_secret(release, part, tls),
    ]
    return {"apiVersion": "v1", "kind": "List", "items": items}


def _validator_secret(release: Release, seat: int, key_file: bytes) -> dict[str, Any]:
    values: dict[str, str | bytes] = {KEY_FILE: key_file, "administrator-password": _password()}
    for role in VALIDATOR_ROLES:
        password = values[f"{role}-password"] = _password()
        values[f"{role}-database-url"] = (
            f"postgresql://{role}:{password}@/{DATABASE}?host={VALIDATOR_SOCKETS}"
        )
    values["nats-password"] = _password()
    return _secret(f"{release.name}-validator-{seat}", values)


def _service_secret(release: Release, role: str) -> dict[str, Any]:
    password = _password()
    host = f"{release.name}-postgres"
    values: dict[str, str | bytes] = {
        "database-password": password,
        "database-url": (
            f"postgresql://{role}:{password}@{host}:{POSTGRES_PORT}/{DATABASE}"
            f"?sslmode=verify-full&sslrootcert={TLS_FOLDER}/ca.crt"
        ),
        "nats-password": _password(),
    }
    if role in SERVICES:
        values["sealing.key"] = secrets.token_bytes(SEALING_KEY_BYTES)
    return _secret(f"{release.name}-{role}", values)


def _certificates(
    zone: str, release: Release, hosts: Mapping[str, Sequence[str]], directory: Path
) -> Iterator[dict[str, Any]]:
    authority = Authority(directory / AUTHORITY_FOLDER)
    authority.ensure(zone)
    for part, names in hosts.items():
        yield _tls_secret(release, part, authority.issue(part, directory / "tls" / part, names))


def _tls_secret(release: Release, part: str, files: TlsFiles) -> dict[str, Any]:
    named = {"tls.crt": files.certificate, "tls.key": files.key, "ca.crt": files.authority}
    values = {name: path.read_bytes() for name, path in named.items()}
    return _secret(f"{release.name}-{part}-tls", values, kind="kubernetes.io/tls")


def _password() -> str:
    """Letters, digits, ``-`` and ``_``: may stand in an address as it is."""
    return secrets.token_urlsafe(SECRET_BYTES)


def _secret(name: str, values: Mapping[str, str | bytes], kind: str = "Opaque") -> dict[str, Any]:
    encoded = {
        key: base64.b64encode(value.encode() if isinstance(value, str) else value).decode("ascii")
        for key, value in values.items()
    }
    metadata = {"name": name}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": kind, "data": encoded}


def _config_map(name: str, values: Mapping[str, str]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": dict(values)}
