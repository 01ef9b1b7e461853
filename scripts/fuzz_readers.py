"""A search for bytes that break a reader of ballots, budgets, rules or documents, guided by the lines of code
that they reach (`make campaign`, or ``python -m scripts.fuzz_readers [READER...] --seconds 60``).

The readers and what they promise stand in `libs/client/tests/reader_targets.py`. Atheris, on libFuzzer, makes
inputs from `reader_seeds.py` and small files of the shared data, where it is present. It has a lock of its
own, is installed under ``build/fuzzing`` when first needed, and is not to be had on every system. More than
2 s of CPU time or 512 MiB of memory for an input break a promise, too. Inputs that reached something new are
kept there, and a later search goes on with them.

Prints a table; the last line is JSON. Exit status 1 on any violation, with its input and the command that
plays it again, without Atheris; 2 where Atheris cannot be had.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import time
import traceback
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
SHARED: Final = Path(os.environ.get("ICN_SHARED_DATA") or ROOT.parent / "shared" / "data")
FUZZING: Final = ROOT / "build" / "fuzzing"
ATHERIS: Final = FUZZING / "atheris"
LOCK: Final = ROOT / "scripts" / "fuzzing" / "requirements.lock"
INPUT_BYTES_MAX: Final = 65_536
RUN_SECONDS_MAX: Final = 2
"""CPU time of one input, of reading it and of counts that fit its size, while lines of code are recorded."""
HANG_SECONDS: Final = 60
"""After which libFuzzer ends a run that does not."""
MEMORY_MIB_MAX: Final = 512
SEED_BYTES_MAX: Final = 8_192
SEED_FILES_MAX: Final = 20
ENDINGS: Final = {".blt": "blt", ".pb": "pabulib", ".yaml": "approvals", ".csv": "csv-as-named"}
"""Of files in the shared data that are not named like their reader."""
WATCHED: Final = ["icn_tally", "icn_client.approval_files", "icn_crypto.jcs", "csv", "yaml"]


def main() -> int:
    """Search each reader for some time."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("readers", nargs="*", metavar="READER", help="by default all")
    parser.add_argument("--seconds", type=int, default=60, help="of CPU time for each reader")
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--replay", type=Path, metavar="FILE", help="play one input of one reader")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        search(options.readers[0], options.seconds, options.first_seed)
    from libs.client.tests.reader_targets import TARGETS

    unknown = [name for name in options.readers if name not in TARGETS]
    if unknown or options.seconds < 1 or (options.replay and len(options.readers) != 1):
        parser.error(f"READER: of {', '.join(TARGETS)}, one with --replay; --seconds: 1 or more")
    if options.replay:
        return replay(options.readers[0], options.replay)
    if not install():
        print(
            "Atheris cannot be had here: is a package index reachable, has it a wheel for this system and "
            "Python? Inputs that were found bad before are played by `make test` all the same.",
            file=sys.stderr,
        )
        return 2
    rows = [
        searched(name, options.seconds, options.first_seed) for name in options.readers or sorted(TARGETS)
    ]
    print("| reader | executions | CPU seconds | taken | refused | violations |\n|---|---|---|---|---|---|")
    for row in rows:
        figures = [row[name] for name in ("executions", "cpu_seconds", "taken", "refused")]
        cells = [row["reader"], *(f"{figure:,}" for figure in figures), row["violation"] or "0"]
        print(f"| {' | '.join(cells)} |")
    violations = [row for row in rows if row["violation"]]
    for row in violations:
        print(f"\n.venv/bin/python -m scripts.fuzz_readers {row['reader']} --replay {row['violation']}")
    total = {
        name: sum(row[name] for row in rows) for name in ("executions", "cpu_seconds", "taken", "refused")
    }
    print(json.dumps({**total, "first_seed": options.first_seed, "violations": len(violations)}))
    return int(bool(violations))


def install() -> bool:
    """Put Atheris into a folder of its own, for the interpreter that runs this; whether it is there."""
    if not (ATHERIS / "atheris").is_dir():
        uv = str(Path(sys.executable).parent / "uv")
        command = [uv, "pip", "install", "--quiet", "--python", sys.executable, "--target", str(ATHERIS)]
        command += ["--only-binary", ":all:", "--require-hashes", "--requirements", str(LOCK)]
        return subprocess.run(command, check=False).returncode == 0
    return True


def searched(name: str, seconds: int, seed: int) -> dict[str, Any]:
    """A row of the table, from a search in a process of its own."""
    folder = FUZZING / name
    shutil.rmtree(folder / "found", ignore_errors=True)
    (folder / "found").mkdir(parents=True)
    command = [sys.executable, "-m", "scripts.fuzz_readers", name, "--child"]
    command += ["--seconds", str(seconds), "--first-seed", str(seed)]
    with (folder / "log").open("wb") as log:
        status = subprocess.run(command, cwd=ROOT, stdout=log, stderr=log, check=False).returncode
    counts = folder / "found" / "counts.json"
    found = [path for path in (folder / "found").iterdir() if path != counts]
    if status != 0:
        print(f"{name}: {(folder / 'log').read_text(errors='replace')[-3_000:]}")
    if not counts.exists() or bool(status) != bool(found):
        raise SystemExit(f"the search of {name} broke off by itself, with status {status}")
    row: dict[str, Any] = json.loads(counts.read_bytes())
    executions = row["taken"] + row["refused"] + len(found)
    violation = str(found[0].relative_to(ROOT)) if found else ""
    return {"reader": name, "executions": executions, **row, "violation": violation}


def search(name: str, seconds: int, seed: int) -> None:
    """Never comes back: the process ends, with a status other than 0 after a violation."""
    sys.path.insert(0, str(ATHERIS))
    import atheris

    atheris.enabled_hooks.add("str")
    with atheris.instrument_imports(include=WATCHED):
        from libs.client.tests.reader_seeds import SEEDS
        from libs.client.tests.reader_targets import TARGETS, took
    took(TARGETS[name], SEEDS[name][0])  # imports what is imported late, which is no input's time
    counts = {"taken": 0, "refused": 0, "cpu_seconds": -1}
    folder = FUZZING / name
    began = time.process_time()

    def once(content: bytes) -> None:
        passed = int(time.process_time() - began)
        if passed > counts["cpu_seconds"]:
            counts["cpu_seconds"] = passed
            (folder / "found" / "counts.json").write_text(json.dumps(counts))
            if passed >= seconds:  # by CPU time, which libFuzzer's own limit does not measure
                os._exit(0)
        counts["taken" if within_time(TARGETS[name], content, took) else "refused"] += 1

    seeds = [*SEEDS[name], *shared_seeds(name)]
    for kind in ("seeds", "corpus"):
        (folder / kind).mkdir(exist_ok=True)
    for place, content in enumerate(seeds):
        (folder / "seeds" / str(place)).write_bytes(content)
    (folder / "words").write_text("".join(f'"{word}"\n' for word in words_of(seeds)))
    limits = [f"-timeout={HANG_SECONDS}", f"-rss_limit_mb={MEMORY_MIB_MAX}", f"-max_len={INPUT_BYTES_MAX}"]
    limits += [f"-seed={seed}", f"-dict={folder / 'words'}"]
    limits += [f"-artifact_prefix={folder / 'found'}/", str(folder / "corpus"), str(folder / "seeds")]
    atheris.Setup([sys.argv[0], *limits], once)
    atheris.Fuzz()


def within_time(
    target: Callable[[bytes], object],
    content: bytes,
    took: Callable[[Callable[[bytes], object], bytes], bool],
) -> bool:
    """Whether a target took the input. Raises what the target does, and AssertionError after too long."""
    began = time.process_time()
    is_taken = took(target, content)
    seconds = time.process_time() - began
    assert seconds <= RUN_SECONDS_MAX, f"{len(content)} bytes took {seconds:.1f} s of CPU time"
    return is_taken


def replay(name: str, path: Path) -> int:
    """Play one input as it is."""
    from libs.client.tests.reader_seeds import SEEDS
    from libs.client.tests.reader_targets import TARGETS, took

    took(TARGETS[name], SEEDS[name][0])
    began = time.process_time()
    try:
        print("taken" if within_time(TARGETS[name], path.read_bytes(), took) else "refused")
    except Exception:  # noqa: BLE001 - whatever comes out is the violation that is looked for
        traceback.print_exc()
        return 1
    finally:
        memory_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1_024
        print(f"{time.process_time() - began:.2f} s, {memory_mib} MiB")
    return int(memory_mib > MEMORY_MIB_MAX)


def words_of(seeds: list[bytes]) -> list[str]:
    """Words of the seeds, for the search to put elsewhere."""
    found = {word for content in seeds for word in re.findall(rb"[A-Za-z_-]{2,40}|[\[\]{}:;,=#-]", content)}
    return sorted(word.decode() for word in found)


def shared_seeds(name: str) -> list[bytes]:
    """Small files of the shared data that the reader is for."""
    found = []
    for file, content in shared_files():
        ending = Path(file).suffix
        if ENDINGS.get(ending, ending.removeprefix(".")) == name and len(content) <= SEED_BYTES_MAX:
            found.append(content)
        if len(found) == SEED_FILES_MAX:
            break
    return found


def shared_files() -> Iterator[tuple[str, bytes]]:
    """Names and contents of files of ballots, out of archives as well."""
    for path in sorted(SHARED.glob("*/*")):
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                for member in archive.infolist():
                    if member.file_size <= SEED_BYTES_MAX and not member.is_dir():
                        yield member.filename, archive.read(member)
        elif path.suffix == ".gz":
            yield path.stem, gzip.decompress(path.read_bytes())
        elif path.suffix == ".toi":
            yield path.name, path.read_bytes()


if __name__ == "__main__":
    sys.exit(main())
