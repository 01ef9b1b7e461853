"""The command from outside: exit codes, what goes to stdout and what to stderr."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from icn_client.cli.output import Refused
from icn_client.cli.platform import _balances_file
from icn_client.proof_file import ProofFile
from icn_crypto.suites import SigningKey, Suite

ICN = (sys.executable, "-m", "icn_client.cli")


def icn(
    *arguments: str, folder: Path, text: bytes = b"", **variables: str
) -> subprocess.CompletedProcess[bytes]:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "ICN_KEYSTORE": str(folder / "keys"),
        **variables,
    }
    return subprocess.run(
        [*ICN, *arguments],
        cwd=folder,
        env=environment,
        input=text,
        capture_output=True,
        timeout=60,
        check=False,
    )


def lines(run: subprocess.CompletedProcess[bytes]) -> list[Any]:
    assert run.returncode == 0, run.stderr
    return [json.loads(line) for line in run.stdout.splitlines()]


def test_help_names_every_command_and_shows_examples(tmp_path: Path) -> None:
    run = icn("--help", folder=tmp_path)
    assert run.returncode == 0
    shown = run.stdout.decode()
    for name in [
        "up",
        "demo",
        "replay",
        "status",
        "keys",
        "account",
        "unit",
        "pay",
        "proof",
        "ledger",
        "crypto",
        "jcs",
        "Examples:",
    ]:
        assert name in shown


@pytest.mark.parametrize(
    ("typed", "meant"), [(["statsu"], "status"), (["proof", "verfy"], "verify"), (["jsc"], "jcs")]
)
def test_a_typo_is_a_usage_error_with_a_suggestion(tmp_path: Path, typed: list[str], meant: str) -> None:
    run = icn(*typed, folder=tmp_path)
    assert (run.returncode, run.stdout) == (2, b"")
    assert run.stderr.decode().count(f"Did you mean '{meant}'?") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["jcs"],
        ["up", "--validators", "3"],
        ["up", "--validators", "four"],
        ["crypto", "verify"],
        ["ledger", "verify-proof", "--kind", "exclusion", "--in", "x"],
        ["ledger", "verify-proof", "--kind", "inclusion"],
        ["ledger", "verify-proof", "--kind", "inclusion", "--in", "x", "--batch", "y"],
        ["proof", "verify", "x"],
        ["keys", "new", "Not A Name"],
        ["account", "show", "not-an-id"],
        ["pay", "not-an-id", "1", "--as", "anna"],
        ["proof", "fetch", "ballots/00"],
    ],
)
def test_a_command_called_wrongly_is_exit_2(tmp_path: Path, arguments: list[str]) -> None:
    run = icn(*arguments, folder=tmp_path)
    assert (run.returncode, run.stdout) == (2, b""), run.stderr
    assert run.stderr


@pytest.mark.parametrize("arguments", [["status"], ["account", "list"], ["account", "show", "00" * 16]])
def test_no_platform_is_exit_3_with_one_sentence(tmp_path: Path, arguments: list[str]) -> None:
    run = icn(*arguments, folder=tmp_path)
    assert (run.returncode, run.stdout) == (3, b"")
    assert run.stderr.decode().count("\n") == 1
    assert "icn up" in run.stderr.decode()


@pytest.mark.parametrize(
    "arguments",
    [
        ["jcs", "missing.json"],
        ["crypto", "verify", "--batch", "missing.jsonl"],
        ["proof", "verify", "missing.json", "--genesis", "missing.json"],
        ["replay", "missing.csv"],
        ["keys", "show", "nobody"],
        ["ledger", "verify-proof", "--kind", "inclusion", "--batch", "missing"],
    ],
)
def test_a_file_that_cannot_be_read_is_exit_1_and_named(tmp_path: Path, arguments: list[str]) -> None:
    run = icn(*arguments, folder=tmp_path)
    assert (run.returncode, run.stdout) == (1, b"")
    assert "missing" in run.stderr.decode() or "nobody" in run.stderr.decode()
    assert "Traceback" not in run.stderr.decode()


def test_jcs_prints_canonical_bytes_and_nothing_after_them(tmp_path: Path) -> None:
    (tmp_path / "in.json").write_text('{ "b": 1.0, "a": [1e3, "\\u00e9"] }\n')
    run = icn("jcs", "in.json", folder=tmp_path)
    assert (run.returncode, run.stdout) == (0, '{"a":[1000,"é"],"b":1}'.encode())
    assert icn("jcs", "-", folder=tmp_path, text=b'{"a":1, "a":2}').returncode == 1


def test_jcs_imports_nothing_that_is_slow(tmp_path: Path) -> None:
    (tmp_path / "in.json").write_text("{}")
    told = subprocess.run(
        [sys.executable, "-X", "importtime", *ICN[1:], "jcs", "in.json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    imported = {line.rpartition("|")[2].strip() for line in told.splitlines()}
    slow = {"grpc", "google.protobuf", "pydantic", "icn_localnet", "nacl", "rich.console", "asyncio"}
    assert "icn_crypto.jcs" in imported
    assert not imported & slow


def test_crypto_verify_answers_line_by_line(tmp_path: Path) -> None:
    made = []
    for suite, name in ((Suite.ED25519, "ed25519"), (Suite.ML_DSA_65, "ml-dsa-65")):
        key = SigningKey.generate(suite)
        good = {"alg": name, "pk": key.public_key.hex(), "msg": "00", "sig": key.sign(b"\0").hex()}
        made += [good, {**good, "msg": "01"}, {**good, "sig": good["sig"][2:]}]
    text = "\n".join(map(json.dumps, made)).encode()
    answers = [{"valid": True}, {"valid": False}, {"valid": False}] * 2
    assert lines(icn("crypto", "verify", "--batch", "-", folder=tmp_path, text=text)) == answers


def test_crypto_names_the_line_that_cannot_be_read(tmp_path: Path) -> None:
    for text in (b'{"alg":"ed25519"}', b"{}\n{", b"[]"):
        run = icn("crypto", "verify", "--batch", "-", folder=tmp_path, text=text)
        assert (run.returncode, run.stdout) == (1, b"")
        assert "line 1" in run.stderr.decode() or "line 2" in run.stderr.decode()
    assert lines(icn("crypto", "verify", "--batch", "-", folder=tmp_path, text=b"")) == []


def test_crypto_public_and_decaps_fit_each_other(tmp_path: Path) -> None:
    seeds = ["11" * 32, "22" * 32]
    text = "\n".join(json.dumps({"alg": "x25519", "seed": seed}) for seed in seeds).encode()
    first, second = (
        line["pk"] for line in lines(icn("crypto", "public", "--batch", "-", folder=tmp_path, text=text))
    )
    text = "\n".join(
        json.dumps({"alg": "x25519", "sk": seed, "ct": other})
        for seed, other in zip(seeds, (second, first), strict=True)
    ).encode()
    one, two = lines(icn("crypto", "decaps", "--batch", "-", folder=tmp_path, text=text))
    assert one == two and len(one["shared"]) == 64


def inclusion_proof(leaf: bytes, sibling: bytes) -> dict[str, Any]:
    root = hashlib.sha256(b"\x01" + leaf + sibling).digest()
    encoded = [base64.b64encode(value).decode() for value in (leaf, sibling, root)]
    return {"leafIdx": 0, "treeSize": 2, "leafHash": encoded[0], "proof": [encoded[1]], "root": encoded[2]}


def test_verify_proof_says_why_and_exits_0_also_for_false(tmp_path: Path) -> None:
    good = inclusion_proof(b"l" * 32, b"s" * 32)
    (tmp_path / "proofs").mkdir()
    (tmp_path / "proofs" / "good.json").write_text(json.dumps(good))
    (tmp_path / "proofs" / "bad.json").write_text(json.dumps({**good, "leafIdx": 1}))
    command = ("ledger", "verify-proof", "--kind", "inclusion")
    (one,) = lines(icn(*command, "--in", "proofs/good.json", folder=tmp_path))
    assert one == {"valid": True, "reason": ""}
    bad, good = lines(icn(*command, "--batch", "proofs", folder=tmp_path))
    assert (bad["file"], bad["valid"]) == ("bad.json", False) and bad["reason"]
    assert good == {"file": "good.json", "valid": True, "reason": ""}


def test_a_file_that_is_no_proof_is_not_valid_and_named_while_the_rest_go_on(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{")
    (tmp_path / "b.json").write_text(json.dumps({"leafIdx": "0"}))
    (tmp_path / "c.json").write_text(json.dumps(inclusion_proof(b"l" * 32, b"s" * 32)))
    run = icn("ledger", "verify-proof", "--kind", "inclusion", "--batch", ".", folder=tmp_path)
    found = [json.loads(line) for line in run.stdout.splitlines()]
    assert run.returncode == 1
    assert [(line["file"], line["valid"]) for line in found] == [
        ("a.json", False),
        ("b.json", False),
        ("c.json", True),
    ]
    assert "b.json: field leafIdx" in run.stderr.decode()


def test_a_batch_takes_files_whatever_their_names_end_in_but_no_hidden_ones(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    good = json.dumps(inclusion_proof(b"l" * 32, b"s" * 32))
    for name in ("b", "a.proof", "-", ".hidden", "c.json"):
        (tmp_path / name).write_text(good)
    (tmp_path / "notes.txt").write_text("no proof")
    run = icn("ledger", "verify-proof", "--kind", "inclusion", "--batch", ".", folder=tmp_path)
    found = [json.loads(line) for line in run.stdout.splitlines()]
    names = ["-", "a.proof", "b", "c.json", "notes.txt"]
    assert [(line["file"], line["valid"]) for line in found] == [(name, name != names[-1]) for name in names]
    assert run.returncode == 1 and "notes.txt: not JSON" in run.stderr.decode()


def test_a_proof_is_judged_with_nothing_but_the_genesis_file(
    tmp_path: Path, handed_over: ProofFile, zone: Any
) -> None:
    (tmp_path / "genesis.json").write_bytes(zone.genesis_bytes)
    (tmp_path / "proof.json").write_bytes(handed_over.to_bytes())
    run = icn("proof", "verify", "proof.json", "--genesis", "genesis.json", folder=tmp_path)
    (found,) = lines(run)
    assert found["valid"] and found["statement"]["balance_minor"] == "500"
    assert (found["trust"], found["profile"], found["epochs"]) == ("genesis", "hosted", 2)
    assert found["age_seconds"] > 0 and run.stderr == b""


def test_a_proof_that_does_not_hold_is_exit_1_with_its_reason(
    tmp_path: Path, handed_over: ProofFile, zone: Any
) -> None:
    (tmp_path / "genesis.json").write_bytes(zone.genesis_bytes)
    changed = bytearray(handed_over.to_bytes())
    changed[changed.index(b'"value":"') + 12] ^= 1
    (tmp_path / "proof.json").write_bytes(changed)
    run = icn("proof", "verify", "proof.json", "--genesis", "genesis.json", folder=tmp_path)
    found = json.loads(run.stdout)
    assert run.returncode == 1
    assert found["valid"] is False and found["statement"] is None and found["reason"]
    assert found["reason"] in run.stderr.decode()


def test_a_genesis_that_is_none_is_exit_1(tmp_path: Path, handed_over: ProofFile) -> None:
    (tmp_path / "genesis.json").write_text("{}")
    (tmp_path / "proof.json").write_bytes(handed_over.to_bytes())
    run = icn("proof", "verify", "proof.json", "--genesis", "genesis.json", folder=tmp_path)
    assert (run.returncode, run.stdout) == (1, b"")
    assert "member zone is missing" in run.stderr.decode()


def test_keys_are_made_listed_and_exported_without_their_secrets(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("a passphrase\n")
    run = icn("keys", "new", "anna", "--json", folder=tmp_path, ICN_PASSPHRASE_FILE=str(secret))
    (made,) = lines(run)
    assert b"keep a copy" in run.stderr
    (listed,) = lines(icn("keys", "list", "--json", folder=tmp_path))
    (exported,) = lines(icn("keys", "export", "anna", folder=tmp_path))
    assert listed["identities"] == [exported] == [made]
    shown = icn("keys", "show", "anna", folder=tmp_path).stdout.decode()
    assert made["principal"] in shown
    again = icn("keys", "new", "anna", folder=tmp_path, ICN_PASSPHRASE="a passphrase")
    assert again.returncode == 1 and b"exists already" in again.stderr


def test_without_a_passphrase_and_a_terminal_no_key_is_made(tmp_path: Path) -> None:
    run = icn("keys", "new", "anna", folder=tmp_path)
    assert run.returncode == 1
    assert b"ICN_PASSPHRASE_FILE" in run.stderr
    assert not (tmp_path / "keys").exists()


def test_a_broken_file_of_transactions_is_refused_before_any_platform_starts(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("transfer_subtype,source,target,weight\nSTANDARD,a,b,-1\n")
    started = time.monotonic()
    run = icn("replay", "rows.csv", folder=tmp_path)
    assert (run.returncode, run.stdout) == (1, b"")
    assert "line 2: field weight" in run.stderr.decode()
    assert time.monotonic() - started < 30


def test_a_place_for_balances_that_cannot_be_written_is_refused_before_any_platform_starts(
    tmp_path: Path,
) -> None:
    (tmp_path / "rows.csv").write_text("transfer_subtype,source,target,weight\nSTANDARD,a,b,1\n")
    for place in ("missing/out.csv", "."):
        run = icn("replay", "rows.csv", "--balances", place, folder=tmp_path)
        assert (run.returncode, run.stdout) == (1, b"")
        assert run.stderr.decode().startswith(f"icn: {place}: ") and run.stderr.count(b"\n") == 1


def test_balances_take_their_name_only_at_the_end_and_leave_nothing_beside_it(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    out.write_text("before")
    with pytest.raises(Refused), _balances_file(out) as file:
        assert file is not None and file.write("half")
        raise Refused("the replay failed")
    assert out.read_text() == "before"
    with _balances_file(out) as file:
        assert file is not None and file.write("whole")
        assert out.read_text() == "before"
    assert out.read_text() == "whole"
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]


def test_output_into_a_closed_pipe_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text(('{"alg":"x25519","seed":"' + "11" * 32 + '"}\n') * 20_000)
    run = subprocess.run(
        f"{' '.join(ICN)} crypto public --batch in.jsonl | head -1",
        shell=True,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert json.loads(run.stdout)["pk"]
    assert "Traceback" not in run.stderr and "Exception" not in run.stderr
