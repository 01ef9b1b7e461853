"""What a Kubernetes cluster is given beside the chart: genesis, and the secrets of each part.

The chart makes no secret and stores none (docs/adr/0046-kubernetes.md): whoever installs makes them with this
module or by hand, as docs/operating/install.md lists them. Each part can read its own Secret alone.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from icn_kit.tls import TlsFiles
from icn_localnet.certificates import LEAF_DAYS, Authority, certificate_name, hosts_of
from icn_localnet.files import SEALING_KEY_BYTES, SECRET_BYTES, write_atomically
from icn_localnet.joined import OWN
from icn_localnet.network import KEY_FILE, SERVICES, Network
from icn_localnet.postgres import DATABASE

if TYPE_CHECKING:
    from icn_kit.tls import TlsFiles
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
CERTIFICATE_TYPE: Final = "kubernetes.io/tls"
"""The type of Secrets with certificates."""


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
    return _list(items)


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
    return _list(items)


class ObjectsUnfit(Exception):
    """What was prepared is not there, or is not what this needs; the message says what to do."""


def read_objects(file: Path) -> dict[str, Any]:
    """What `cluster_objects` has made and somebody has kept.

    Raises:
        ObjectsUnfit: the file is missing or holds something else.
    """
    try:
        objects: dict[str, Any] = json.loads(file.read_bytes())
        named = [item["metadata"]["name"] for item in objects["items"] if item["kind"] == "Secret"]
    except OSError as error:
        raise ObjectsUnfit(
            f"{file}: {error.strerror}: bring back from the safe what `icn cluster prepare` has made"
        ) from None
    except (ValueError, KeyError, TypeError):
        named = []
    if not named:
        raise ObjectsUnfit(f"{file} holds no Secret: it is not what `icn cluster prepare` has made")
    return objects


def change_passwords(objects: dict[str, Any]) -> dict[str, Any]:
    """Give every role and user a new password, in ``objects`` too.

    Returns:
        A List of the Secrets with what is new in them and nothing else, for a server-side apply.

    Raises:
        ObjectsUnfit: a database's address does not hold the password beside it; nothing was changed.
    """
    changes: dict[str, dict[str, str | bytes]] = {}
    for item in _secrets(objects):
        held = _values_of(item)
        passwords = {key: _password() for key in held if key.endswith("password")}
        new: dict[str, str | bytes] = {**passwords}
        for key, address in held.items():
            role, is_address, _ = key.partition("database-url")
            if not is_address:
                continue
            of_role = f"{role}password" if role else "database-password"
            old = b":" + held.get(of_role, b"") + b"@"
            if address.count(old) != 1:
                raise ObjectsUnfit(
                    f"{item['metadata']['name']}: {key} does not hold {of_role}: this server's passwords are "
                    "not ours to change; change them there and in the Secret"
                )
            new[key] = address.replace(old, f":{passwords[of_role]}@".encode())
        if new:
            changes[item["metadata"]["name"]] = new
    for item in _secrets(objects):
        item["data"] |= _encoded(changes.get(item["metadata"]["name"], {}))
    return _list(_secret(name, values) for name, values in changes.items())


def renew_certificates(
    objects: dict[str, Any], directory: Path, hosts: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """Give every part a new certificate for the names of its last one, in ``objects`` and ``directory`` too.

    Args:
        objects: as `read_objects` gives them.
        directory: where `cluster_objects` has made the authority.
        hosts: further names by part.

    Returns:
        A List of the Secrets.

    Raises:
        ObjectsUnfit: no part of one of these names has a certificate, or there is no authority; nothing was
            changed.
        AuthorityInvalid: see there.
    """
    authority = _authority(directory)
    items = _certificate_secrets(objects)
    if unknown := sorted(set(hosts) - set(items)):
        raise ObjectsUnfit(f"no part is called {', '.join(unknown)}; there are {', '.join(sorted(items))}")
    for part, item in items.items():
        names = (*hosts_of(_values_of(item)["tls.crt"]), *hosts.get(part, ()))
        issued = authority.issue(part, directory / "tls" / part, names, renew_days=LEAF_DAYS + 1)
        item["data"] = _encoded(_tls_values(issued))
    return _list(items.values())


def replace_authority(objects: dict[str, Any], directory: Path, zone: str) -> dict[str, Any]:
    """Make a new authority for the certificates to come; every part trusts both, and keeps its certificate.

    Returns:
        A List of the Secrets, which are changed in ``objects`` and ``directory`` too.

    Raises:
        ObjectsUnfit: there is no authority.
    """
    authority = _authority(directory)
    items = _certificate_secrets(objects)
    authority.succeed(zone)
    return _trust(authority, items, directory)


def forget_old_authorities(objects: dict[str, Any], directory: Path) -> dict[str, Any]:
    """Let every part trust the newest authority alone.

    Returns:
        A List of the Secrets, which are changed in ``objects`` and ``directory`` too.

    Raises:
        ObjectsUnfit: a certificate is of an old authority, no other is trusted, or there is none.
    """
    authority = _authority(directory)
    items = _certificate_secrets(objects)
    old = [part for part, item in items.items() if not authority.has_signed(_values_of(item)["tls.crt"])]
    if old:
        raise ObjectsUnfit(
            f"the certificates of {', '.join(old)} are of an authority that would be forgotten: renew them "
            "first (`icn cluster certificates DIR`), and apply that"
        )
    if not authority.forget_predecessors():
        raise ObjectsUnfit("one authority is trusted, and it is the newest: there is nothing to forget")
    return _trust(authority, items, directory)


def _trust(authority: Authority, items: Mapping[str, dict[str, Any]], directory: Path) -> dict[str, Any]:
    trusted = authority.certificate.read_bytes()
    for part, item in items.items():
        write_atomically(directory / "tls" / part / "authority.pem", trusted)
        item["data"] |= _encoded({"ca.crt": trusted})
    return _list(items.values())


def _authority(directory: Path) -> Authority:
    authority = Authority(directory / AUTHORITY_FOLDER)
    if not authority.key.is_file():
        raise ObjectsUnfit(
            f"{authority.key} is not there: whoever has the authority's key (cert-manager, or the safe it "
            "was put into) makes certificates"
        )
    return authority


def _secrets(objects: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from (item for item in objects["items"] if item["kind"] == "Secret")


def _certificate_secrets(objects: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """By part. Raises ObjectsUnfit."""
    found = {
        certificate_name(_values_of(item)["tls.crt"]): item
        for item in _secrets(objects)
        if item["type"] == CERTIFICATE_TYPE
    }
    if not found:
        raise ObjectsUnfit("no Secret holds a certificate: whoever made them renews them (cert-manager does)")
    return found


def _values_of(item: dict[str, Any]) -> dict[str, bytes]:
    return {key: base64.b64decode(value) for key, value in item["data"].items()}


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
    return _secret(f"{release.name}-{part}-tls", _tls_values(files), kind=CERTIFICATE_TYPE)


def _tls_values(files: TlsFiles) -> dict[str, str | bytes]:
    named = {"tls.crt": files.certificate, "tls.key": files.key, "ca.crt": files.authority}
    return {name: path.read_bytes() for name, path in named.items()}


def _password() -> str:
    """Letters, digits, ``-`` and ``_``: may stand in an address as it is."""
    return secrets.token_urlsafe(SECRET_BYTES)


def _secret(name: str, values: Mapping[str, str | bytes], kind: str = "Opaque") -> dict[str, Any]:
    metadata = {"name": name}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "type": kind,
        "data": _encoded(values),
    }


def _encoded(values: Mapping[str, str | bytes]) -> dict[str, str]:
    return {
        key: base64.b64encode(value.encode() if isinstance(value, str) else value).decode("ascii")
        for key, value in values.items()
    }


def _list(items: Iterable[dict[str, Any]]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "List", "items": list(items)}


def _config_map(name: str, values: Mapping[str, str]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": dict(values)}
