"""Makes .venv from the hashed lock files, generates the stubs and installs the workspace packages editable.

Run by the Makefile with whatever python3 the machine has: it imports the standard library only and keeps to
syntax that Python 3.6 can read, so that an old one gets as far as saying so. Steps whose inputs have not
changed are skipped. Nothing is written outside the checkout and the caches of pip and uv.
"""

import argparse
import contextlib
import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

OLDEST_PYTHON = (3, 11)
ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMPS = VENV / "stamps"
PYTHON = VENV / "bin" / "python"
ADVICE_VENV = "install it (Debian, Ubuntu: apt install python3-venv) and run make again"


def main():
    """Do what is left to do. Exit status 1 with one sentence when this machine cannot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dev", action="store_true", help="also what tests and checks need")
    options = parser.parse_args()
    require_python()
    with one_at_a_time():
        make_venv()
        step("bootstrap", [ROOT / "requirements-bootstrap.lock"], install_uv, "uv")
        sync(options.dev)
        install_workspace()
        generate_stubs()


def require_python():
    """Refuse a Python that cannot make the environment."""
    if sys.version_info < OLDEST_PYTHON:
        found, needed = (".".join(map(str, version[:2])) for version in (sys.version_info, OLDEST_PYTHON))
        fail(
            f"ICN needs Python {needed} or newer and {sys.executable} is {found}: "
            f"install a newer one and run make PYTHON=python{needed}."
        )
    for module in ("venv", "ensurepip"):
        if importlib.util.find_spec(module) is None:
            fail(f"This Python ({sys.executable}) lacks its module {module}: {ADVICE_VENV}.")


@contextlib.contextmanager
def one_at_a_time():
    """Keep a second set-up of this checkout waiting; the kernel drops the lock with the process."""
    (ROOT / "build").mkdir(exist_ok=True)
    with (ROOT / "build" / "setup.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another set-up of this checkout")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def make_venv():
    """Make .venv, anew when its Python is gone or of another version."""
    version = "{}.{}".format(*sys.version_info[:2])
    asked = "import sys; print('%d.%d' % sys.version_info[:2])"
    if PYTHON.exists():
        answer = subprocess.run([str(PYTHON), "-c", asked], capture_output=True, text=True, check=False)
        # Its programs name the folder it was made in: a checkout that was moved or copied needs a new one.
        if answer.stdout.strip() == version and stamp("place") == str(ROOT):
            return
    say("making .venv with Python " + version)
    shutil.rmtree(VENV, ignore_errors=True)
    run(
        [sys.executable, "-m", "venv", str(VENV)],
        "venv could not make .venv; if ensurepip is named above, " + ADVICE_VENV,
    )
    STAMPS.mkdir(exist_ok=True)
    (STAMPS / "place").write_text(str(ROOT))


def install_uv():
    """Install the installer, by hash, with the pip that venv brings."""
    command = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--require-hashes", "--only-binary=:all:", "-r", "requirements-bootstrap.lock"]
    run(command, "pip could not install uv (is a package index reachable?)")


def sync(is_dev):
    """Bring the installed packages to exactly what the lock file says."""
    runtime, dev = ROOT / "requirements.lock", ROOT / "requirements-dev.lock"
    # The packages for development contain those for running, so there is no way back to take.
    if not is_dev and stamp("packages") == fingerprint([dev]):
        return
    lock = dev if is_dev else runtime

    def install():
        uv("sync", "--require-hashes", str(lock))
        forget("workspace")  # sync removes what the lock file does not name

    step("packages", [lock], install, "the packages of " + lock.name)


def install_workspace():
    """Install our own packages, editable, so that a change of code needs no set-up."""
    projects = [ROOT / "protos" / "pyproject.toml"]
    projects += sorted(ROOT.glob("libs/*/pyproject.toml")) + sorted(ROOT.glob("services/*/pyproject.toml"))

    def install():
        editables = [part for project in projects for part in ("-e", str(project.parent.relative_to(ROOT)))]
        uv("install", "--no-deps", "--no-build-isolation", *editables)
        record("stubs", proto_files())  # the build of icn-protos generates them

    step("workspace", projects, install, "the packages of this repository")


def generate_stubs():
    """Generate the Python stubs of the protos."""
    if not (ROOT / "protos" / "generated" / "icn").is_dir():
        forget("stubs")
    step(
        "stubs",
        proto_files(),
        lambda: run([str(PYTHON), "protos/generate.py"], "protoc refused a file"),
        "stubs",
    )


def proto_files():
    """What the stubs are made from."""
    return [ROOT / "protos" / "generate.py", *sorted((ROOT / "protos" / "icn").rglob("*.proto"))]


def step(name, inputs, work, what):
    """Do ``work`` unless it was done with the same inputs before."""
    if stamp(name) == fingerprint(inputs):
        return
    say("installing " + what if name != "stubs" else "generating stubs")
    forget(name)
    work()
    record(name, inputs)


def record(name, inputs):
    """Remember that the step was done with these inputs."""
    STAMPS.mkdir(exist_ok=True)
    (STAMPS / name).write_text(fingerprint(inputs))


def fingerprint(inputs):
    """Names and contents of files, as one hash."""
    digest = hashlib.sha256()
    for path in inputs:
        digest.update(f"{path.relative_to(ROOT)}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def stamp(name):
    """What the step was done with last; empty when it was not."""
    try:
        return (STAMPS / name).read_text()
    except OSError:
        return ""


def forget(name):
    """Have the step done again."""
    if (STAMPS / name).exists():
        (STAMPS / name).unlink()


def uv(command, *arguments):
    """Run ``uv pip`` on .venv."""
    program = [str(VENV / "bin" / "uv"), "pip", command, "--quiet", "--python", str(PYTHON)]
    run([*program, *arguments], "uv could not install the packages (is a package index reachable?)")


def run(command, complaint):
    """Run a command in the checkout; its own output stays visible."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME")
    }
    environment["UV_PYTHON_DOWNLOADS"] = "never"
    if subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode != 0:
        fail(f"Set-up stopped: {complaint}.")


def say(text):
    """Progress, on standard error."""
    sys.stderr.write(f"setup: {text}\n")
    sys.stderr.flush()


def fail(sentence):
    """End with one sentence."""
    sys.stderr.write(sentence + "\n")
    raise SystemExit(1)


if __name__ == "__main__":
    main()
