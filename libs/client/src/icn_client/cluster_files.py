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
from typing import TYPE_CHECKING, Any, Final

from icn_localnet.certificates import Authority
from icn_localnet.files import SEALING_KEY_BYTES, SECRET_BYTES
from icn_localnet.network import KEY_FILE, SERVICES
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
TLS_SECRET: Final = "kubernetes.io/tls"  # noqa: S105 - a type of Kubernetes
"""The type of Secrets with certificates."""
GENESIS_SUFFIX: Final = "-genesis"


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


def cluster_objects(zone: FoundedZone, release: Release, directory: Path | None) -> dict[str, Any]:
    """A ``v1`` List for ``kubectl apply``: the ConfigMap of genesis and a Secret for each part.

    Args:
        zone: just founded; its keys go into the Secrets of the seats.
        release: as it will be installed.
        directory: where an authority is made that certifies every part; None where cert-manager does.
    """
    seats = range(len(zone.key_files))
    items = [_config_map(f"{release.name}{GENESIS_SUFFIX}", {"genesis.json": zone.text.decode("utf-8")})]
    # Empty: which record log each seat's key votes with is noted there, and must outlive the seat's volumes.
    items += [_config_map(f"{release.name}-validator-{seat}-record", {}) for seat in seats]
    items += [_validator_secret(release, seat, key_file) for seat, key_file in enumerate(zone.key_files)]
    items += [_service_secret(release, role) for role in SHARED_ROLES]
    items.append(_secret(f"{release.name}-postgres", {"administrator-password": _password()}))
    if directory is not None:
        items += _certificates(zone.genesis.zone, release, parts_with_certificates(seats), directory)
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


def put_key(
    objects: dict[str, Any], seat: int, key_file: bytes, namespace: str, directory: Path
) -> dict[str, Any]:
    """Give a seat a consensus key, in ``objects`` too. One that they do not have yet gets all it needs:
    passwords, an empty note of its record, and a certificate where the authority's key is in ``directory``.

    Args:
        objects: as `read_objects` gives them.
        seat: its number in the chart's values.
        key_file: what the seat's consensus reads.
        namespace: of the release, for the certificate's names.
        directory: where `cluster_objects` may have made the authority.

    Returns:
        A List of what is new, for ``kubectl apply``.

    Raises:
        ObjectsUnfit: another seat has this key; nothing was changed.
    """
    items = {(item["kind"], item["metadata"]["name"]): item for item in objects["items"]}
    release = Release(_release_name(items), namespace)
    encoded = _encoded({KEY_FILE: key_file})
    name = f"{release.name}-validator-{seat}"
    for (_, other), item in items.items():
        if other != name and encoded.items() <= item.get("data", {}).items():
            raise ObjectsUnfit(f"{other} has this key: a key may be used by one validator only; make another")
    if ("Secret", name) in items:
        items["Secret", name]["data"] |= encoded
        return _list([items["Secret", name]])
    added = [_config_map(f"{name}-record", {}), _validator_secret(release, seat, key_file)]
    if Authority(directory / "authority").key.is_file():
        added += _certificates("", release, [f"validator-{seat}"], directory)
    objects["items"] += added
    return _list(added)


def _release_name(items: Iterable[tuple[str, str]]) -> str:
    for kind, name in items:
        if kind == "ConfigMap" and name.endswith(GENESIS_SUFFIX):
            return name.removesuffix(GENESIS_SUFFIX)
    raise ObjectsUnfit("there is no ConfigMap of genesis: this is not what `icn cluster prepare` has made")


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
    zone: str, release: Release, parts: Sequence[str], directory: Path
) -> Iterator[dict[str, Any]]:
    authority = Authority(directory / "authority")
    authority.ensure(zone)
    for part in parts:
        issued = authority.issue(part, directory / "tls" / part, release.hosts(part))
        yield _secret(f"{release.name}-{part}-tls", _tls_values(issued), kind=TLS_SECRET)


def _tls_values(files: TlsFiles) -> dict[str, str | bytes]:
    named = {"tls.crt": files.certificate, "tls.key": files.key, "ca.crt": files.authority}
    return {name: path.read_bytes() for name, path in named.items()}


def _password() -> str:
    """Letters, digits, ``-`` and ``_``: may stand in an address as it is. Begins with a letter: NATS takes a
    variable in its configuration that begins like a number or a date for one."""
    return f"p{secrets.token_urlsafe(SECRET_BYTES)}"


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
