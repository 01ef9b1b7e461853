"""The command from outside: exit codes, what goes to stdout and what to stderr."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import typer
from icn_client.cli.main import app
from icn_client.cli.output import Refused
from icn_client.cli.platform import _balances_file
from icn_client.light.proof_file import ProofFile
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


def leaf_commands() -> list[tuple[str, Any]]:
    """Every command that does something, with the words that call it."""
    left: list[tuple[str, Any]] = [("icn", typer.main.get_command(app))]
    found = []
    while left:
        words, command = left.pop()
        if hasattr(command, "commands"):
            left += [(f"{words} {name}", inner) for name, inner in command.commands.items()]
        else:
            found.append((words, command))
    return sorted(found, key=lambda one: one[0])


def test_every_command_has_examples_of_itself_in_its_help() -> None:
    found = leaf_commands()
    assert len(found) > 20
    for words, command in found:
        shown = command.get_help(typer.Context(command, info_name=words))
        assert "Examples:" in shown, words
        assert f"  {words}" in shown.partition("Examples:")[2], words


def test_the_version_is_the_package_s(tmp_path: Path) -> None:
    run = icn("--version", folder=tmp_path)
    assert (run.returncode, run.stdout.decode()) == (0, f"icn {version('icn-client')}\n")


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
        "recovery",
        "unit",
        "pay",
        "proof",
        "ledger",
        "crypto",
        "vote",
        "jcs",
        "vm",
        "Examples:",
    ]:
        assert name in shown


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["statsu"], "status"),
        (["proof", "verfy"], "verify"),
        (["account", "frezze"], "freeze"),
        (["jsc"], "jcs"),
    ],
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
        ["vote", "count", "--in", "x"],
        ["vote", "count", "--method", "lottery", "--in", "x"],
        ["vote", "count", "--method", "scottish-stv", "--in", "x", "--format", "ods"],
        ["vote", "count", "--method", "scottish-stv", "--in", "x", "--seats", "0"],
        ["proof", "verify", "x"],
        ["keys", "new", "Not A Name"],
        ["keys", "new", "anna", "--for", "not-an-id"],
        ["recovery", "guardian", "not-an-id", "--as", "anna"],
        ["recovery", "guardian", "none", "--as", "anna", "--delay", "soon"],
        ["recovery", "guardian", "00" * 16, "--as", "anna", "--delay", "367d"],
        ["recovery", "cancel", "accounts/" + "00" * 16, "--as", "anna"],
        ["recovery", "complete", "00" * 15, "--as", "anna"],
        ["recovery", "show", "nobody"],
        ["account", "show", "not-an-id"],
        ["account", "balance", "00" * 16],
        ["account", "balance", "00" * 16, "--at", "2026-01-01", "--at-height", "5"],
        ["account", "balance", "00" * 16, "--at", "soon"],
        ["account", "balance", "00" * 16, "--at", "1969-12-31"],
        ["account", "balance", "00" * 16, "--at-height", "-1"],
        ["statement", "convert", "x", "--to", "doc"],
        ["statement", "convert", "x", "--to", "pdf", "--out", "y"],
        ["statement", "convert", "x", "--to", "pdf", "--genesis", "y"],
        ["statement", "convert", "x", "--to", "csv", "--out", "y"],
        ["statement", "check-text", "x.txt", "--against", "y"],
        ["statement", "check-text", "x.csv", "--against", "y", "--form", "pdf"],
        ["import", "check", "x.csv"],
        ["import", "check", "x.csv", "--unit", "00" * 16, "--scale", "2"],
        ["import", "check", "x.csv", "--scale", "10"],
        ["import", "members", "x.csv", "--unit", "00" * 16, "--as", "anna", "--guardian", "nobody"],
        ["pay", "not-an-id", "1", "--as", "anna"],
        ["account", "floor", "00" * 16, "-5", "--as", "anna", "--action"],
        ["account", "floor", "00" * 16, "-5"],
        ["account", "floor", "not-an-id", "-5", "--as", "anna"],
        ["account", "freeze", "00" * 16, "--as", "anna"],
        ["account", "freeze", "00" * 16, "--until", "1d", "--lift", "--as", "anna"],
        ["account", "close", "00" * 16, "--remainder-to", "00" * 16, "--as", "anna"],
        ["account", "close", "00" * 16, "--remainder-to", "11" * 16, "--action"],
        ["account", "limits", "holds/" + "00" * 16],
        ["unit", "policy", "00" * 16, "--growth", "half", "--as", "anna"],
        ["unit", "policy", "00" * 16, "--growth", "100.0001%", "--as", "anna"],
        ["unit", "policy", "00" * 16, "--soft", "1", "--as", "anna"],
        ["unit", "policy", "00" * 16, "--fee-share", "0.0000001", "--as", "anna"],
        ["unit", "policy", "00" * 16, "--fee-share", "10.01%", "--as", "anna"],
        ["unit", "openings", "00" * 16, "11" * 16, "--as", "anna"],
        ["unit", "openings", "00" * 16, "11" * 16, "11" * 16, "--as", "anna"],
        ["unit", "openings", "00" * 16, "--as", "anna"],
        ["unit", "close-period", "00" * 16, "--end", "soon", "--as", "anna"],
        ["unit", "close-period", "00" * 16, "--end", "2026-01-01", "--digest", "00", "--as", "anna"],
        ["unit", "demurrage", "00" * 16, "00" * 16, "--as", "anna"],
        ["unit", "demurrage", *(f"{number:032x}" for number in range(65)), "--as", "anna"],
        ["order", "place", "00" * 16, "1", "--first", "367d", "--as", "anna"],
        ["order", "place", "00" * 16, "1", "--first", "2020-01-01", "--as", "anna"],
        ["order", "place", "00" * 16, "1", "--first", "1d", "--every", "1m", "--as", "anna"],
        ["order", "place", "00" * 16, "1", "--first", "1d", "--times", "2", "--as", "anna"],
        ["order", "place", "00" * 16, "1", "--first", "1d", "--every", "13m", "--times", "2", "--as", "anna"],
        ["order", "place", "00" * 16, "1", "--first", "1d", "--every", "0d", "--times", "2", "--as", "anna"],
        ["order", "place", "00" * 16, "1", "--first", "1d", "--every", "1d", "--times", "1201", "--as", "a"],
        ["order", "release", "accounts/" + "00" * 16, "--as", "anna"],
        ["exchange", "void", "not-an-id", "--as", "anna"],
        ["proof", "fetch", "receipts/00"],
        ["contract", "instantiate", "00" * 16, "{}", "--as", "anna"],
        ["contract", "instantiate", "00" * 32, "{}", "--unit", "hours", "--as", "anna"],
        ["contract", "execute", "00" * 15, "{}", "--as", "anna"],
        ["contract", "execute", "00" * 16, "{}", "--pay", "5", "--as", "anna"],
        ["contract", "execute", "00" * 16, "{}", "--declare", "anna", "--as", "anna"],
        ["contract", "execute", "00" * 16, "{}", "--fuel", "1000000001", "--as", "anna"],
        ["contract", "query", "accounts/" + "00" * 16, "{}"],
        ["contract", "show", "fund"],
        ["member", "apply", "nobody", "--as", "anna"],
        ["member", "apply", "accounts/" + "00" * 16, "--as", "anna"],
        ["member", "vouch", "00" * 16, "00" * 15, "--as", "anna"],
        ["member", "admit", "authorities/" + "00" * 16, "--as", "anna"],
        ["member", "end", "00" * 16, "--as", "anna"],
        ["member", "show", "00" * 16, "units/" + "00" * 16],
        ["member", "list"],
        ["member", "list", "--organization", "00" * 16, "--member", "00" * 16],
        ["authority", "show", "principals/" + "00" * 16],
        ["org", "register", "Bakery", "--for", "units/" + "00" * 16, "--as", "anna"],
        ["org", "show", "bakery"],
        ["proposal", "draft", "--organization", "x", "--title", "A", "--question", "B", "--as", "anna"],
        [
            *(
                "proposal",
                "draft",
                "--organization",
                "00" * 16,
                "--title",
                "A",
                "--question",
                "B",
                "--as",
                "a",
            ),
            *("--candidate", "Ana", "--admit", "00" * 16),
        ],
        [
            *(
                "proposal",
                "draft",
                "--organization",
                "00" * 16,
                "--title",
                "A",
                "--question",
                "B",
                "--as",
                "a",
            ),
            *("--set-floor", "00" * 16),
        ],
        [
            *(
                "proposal",
                "draft",
                "--organization",
                "00" * 16,
                "--title",
                "A",
                "--question",
                "B",
                "--as",
                "a",
            ),
            *("--set-floor", "00" * 16 + "=5"),
        ],
        ["proposal", "open", "00" * 16, "--close", "soon", "--as", "anna"],
        ["proposal", "show", "polls/" + "00" * 16],
        ["proposal", "result", "00"],
        ["ballot", "cast", "00" * 16, "--as", "anna"],
        ["ballot", "cast", "00" * 16, "yes", "--rank", "1", "--as", "anna"],
        ["ballot", "show", "accounts/" + "00" * 16, "--as", "anna"],
        ["lot", "commit", "00" * 15, "--as", "anna"],
        ["federation", "sign", "00" * 16, "--as", "anna"],
        ["federation", "decisions", "--organization", "valley"],
        ["steward", "once", "00" * 15, "--as", "anna"],
        ["steward", "run", "--as", "anna", "--every", "often"],
        ["steward", "once", "--as", "anna", "--accept-unopened", "all"],
        ["unit", "create", "HOURS", "--as", "anna", "--authority", "nobody"],
        ["vm", "query", "contracts/00", "{}"],
        ["vm", "execute", "contracts/00", "{}", "--home", "x", "--gas", "-1"],
    ],
)
def test_a_command_called_wrongly_is_exit_2(tmp_path: Path, arguments: list[str]) -> None:
    run = icn(*arguments, folder=tmp_path)
    assert (run.returncode, run.stdout) == (2, b""), run.stderr
    assert run.stderr


@pytest.mark.parametrize(
    "arguments",
    [["status"], ["account", "list"], ["account", "show", "00" * 16], ["recovery", "show", "00" * 16]],
)
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
        ["vote", "count", "--method", "scottish-stv", "--in", "missing.blt"],
        ["vote", "count", "--method", "scottish-stv", "--in", "missing", "--jsonl"],
        ["vm", "store", "missing.wasm", "--home", "contracts"],
    ],
)
def test_a_file_that_cannot_be_read_is_exit_1_and_named(tmp_path: Path, arguments: list[str]) -> None:
    run = icn(*arguments, folder=tmp_path)
    assert (run.returncode, run.stdout) == (1, b"")
    assert "missing" in run.stderr.decode() or "nobody" in run.stderr.decode()
    assert "Traceback" not in run.stderr.decode()


@pytest.mark.parametrize(
    "arguments",
    [
        ["jcs", "PATH"],
        ["crypto", "verify", "--batch", "PATH"],
        ["ledger", "verify-proof", "--kind", "inclusion", "--in", "PATH"],
        ["vote", "count", "--method", "scottish-stv", "--in", "PATH"],
        ["proof", "verify", "PATH", "--genesis", "PATH"],
        ["replay", "PATH"],
        ["account", "admit", "PATH", "--as", "anna"],
        ["recovery", "start", "PATH", "--as", "anna"],
    ],
)
def test_a_folder_where_a_file_is_wanted_is_exit_1_and_no_usage_error(
    tmp_path: Path, arguments: list[str]
) -> None:
    (tmp_path / "folder").mkdir()
    run = icn(*(text.replace("PATH", "folder") for text in arguments), folder=tmp_path)
    assert run.returncode == 1
    assert run.stderr.decode().startswith("icn: folder: ") and run.stderr.count(b"\n") == 1


def test_a_file_where_a_folder_is_wanted_is_exit_1(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("{}")
    run = icn("ledger", "verify-proof", "--kind", "inclusion", "--batch", "file", folder=tmp_path)
    assert (run.returncode, run.stderr.decode()) == (1, "icn: file: Not a directory\n")


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read every file")
def test_a_file_without_permission_is_exit_1_and_no_usage_error(tmp_path: Path) -> None:
    (tmp_path / "closed").write_text("{}")
    (tmp_path / "closed").chmod(0)
    run = icn("jcs", "closed", folder=tmp_path)
    assert (run.returncode, run.stderr.decode()) == (1, "icn: closed: Permission denied\n")


def test_no_path_is_checked_by_the_parser_which_would_make_it_a_usage_error() -> None:
    found = [
        (parameter.name, parameter.type.readable)
        for _, command in leaf_commands()
        for parameter in command.params
        if hasattr(parameter.type, "readable")
    ]
    assert len(found) > 10 and not any(is_readable for _, is_readable in found)


@pytest.mark.parametrize(
    ("redirected", "told"),
    [
        ("crypto verify --batch - <&-", "icn: -: standard input is closed"),
        ("jcs - <&-", "icn: -: standard input is closed"),
        ("jcs in.json > /dev/full", "icn: standard output: No space left on device"),
        ("crypto verify --batch in.json > /dev/full", "icn: standard output: No space left on device"),
        ("keys list > /dev/full", "icn: standard output: No space left on device"),
        ("--help > /dev/full", "icn: standard output: No space left on device"),
        ("jcs in.json >&-", "icn: standard output is closed"),
        ("jcs missing.json 2>&-", ""),
    ],
)
def test_a_closed_input_and_a_full_or_closed_output_are_one_sentence(
    tmp_path: Path, redirected: str, told: str
) -> None:
    (tmp_path / "in.json").write_text("{}")
    run = subprocess.run(
        f"{' '.join(ICN)} {redirected}",
        shell=True,
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 1
    assert run.stderr.rstrip("\n").split("\n")[-1] == told
    assert "Traceback" not in run.stderr and "Exception" not in run.stderr


def test_jcs_prints_canonical_bytes_and_nothing_after_them(tmp_path: Path) -> None:
    (tmp_path / "in.json").write_text('{ "b": 1.0, "a": [1e3, "\\u00e9"] }\n')
    run = icn("jcs", "in.json", folder=tmp_path)
    assert (run.returncode, run.stdout) == (0, '{"a":[1000,"é"],"b":1}'.encode())
    assert icn("jcs", "-", folder=tmp_path, text=b'{"a":1, "a":2}').returncode == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"a":[1,{"b":"\\ud800"}]}', "at /a/1/b: a string holds a surrogate"),
        ('{"a":{"\\udc00":1}}', "at /a: the member name"),
        ('{"a/b":[0,1e400]}', "at /a~1b/1: number 1e400"),
        ("[NaN]", "at /0: number NaN"),
        ('[{"a":1,"a":2}]', "at /0: member 'a' stands twice"),
        ('"\\ud800"', "at the top: a string"),
        ('{"a":\n [1,]}', "line 2 column"),
    ],
)
def test_a_refusal_of_jcs_says_where_the_fault_stands(tmp_path: Path, text: str, told: str) -> None:
    run = icn("jcs", "-", folder=tmp_path, text=text.encode())
    assert (run.returncode, run.stdout) == (1, b"")
    assert run.stderr.decode().startswith(f"icn: -: {told}"), run.stderr
    assert run.stderr.count(b"\n") == 1


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


def test_a_bad_line_of_a_batch_is_not_valid_and_named_and_loses_no_other(tmp_path: Path) -> None:
    key = SigningKey.generate(Suite.ED25519)
    good = {"alg": "ed25519", "pk": key.public_key.hex(), "msg": "00", "sig": key.sign(b"\0").hex()}
    made = [
        json.dumps(line)
        for line in (
            good,
            {**good, "sig": good["sig"][:-1]},
            {**good, "sig": "zz"},
            {**good, "alg": "rot13"},
            {**good, "ctx": "00"},
            {"alg": "ed25519"},
        )
    ]
    made += [made[0][:-1] + ',"msg":"00"}', made[0]]
    run = icn("crypto", "verify", "--batch", "-", folder=tmp_path, text="\n".join(made).encode())
    assert [line["valid"] for line in lines(run)] == [True, *[False] * 6, True]
    told = run.stderr.decode()
    for fault in ("3: sig", "4: alg", "5: ctx", "6: pk", "7: msg: stands twice"):
        assert f"line {fault}" in told
    assert "Traceback" not in told


def test_a_line_that_is_no_json_object_is_exit_1_after_the_answers_of_the_others(tmp_path: Path) -> None:
    key = SigningKey.generate(Suite.ED25519)
    good = json.dumps(
        {"alg": "ed25519", "pk": key.public_key.hex(), "msg": "00", "sig": key.sign(b"\0").hex()}
    ).encode()
    for bad in (b"{", b"[]", b"\xff", b""):
        run = icn("crypto", "verify", "--batch", "-", folder=tmp_path, text=b"\n".join([good, bad, good]))
        assert run.returncode == 1
        answers = [json.loads(line)["valid"] for line in run.stdout.splitlines()]
        assert answers == [True, False, True]
        assert "-: line 2: not" in run.stderr.decode()
    assert lines(icn("crypto", "verify", "--batch", "-", folder=tmp_path, text=b"")) == []


@pytest.mark.parametrize("command", ["public", "decaps"])
def test_a_bad_line_of_seeds_gives_an_error_that_names_the_field_and_loses_no_other(
    tmp_path: Path, command: str
) -> None:
    good = json.dumps({"alg": "x25519", "seed": "11" * 32, "ct": "09" + "00" * 31})
    made = [good, good.replace("11", "zz"), '{"alg":"x25519","ct":""}', "[]", '{"alg":"x","alg":"x"}', good]
    run = icn("crypto", command, "--batch", "-", folder=tmp_path, text="\n".join(made).encode())
    first, *bad, last = lines(run)
    assert first == last and "error" not in first
    errors = [answer["error"] for answer in bad]
    assert errors[0].startswith("seed: ") and errors[1].startswith("seed: ")
    assert errors[2:] == ["not a JSON object", "alg: stands twice in one object"]
    run = icn("crypto", command, "--batch", "-", folder=tmp_path, text=f"{good}\n{{\n{good}".encode())
    assert run.returncode == 1 and run.stdout.count(b"\n") == 3 and b"line 2: not JSON" in run.stderr


def test_many_bad_lines_are_answered_in_order_and_only_the_first_are_named(tmp_path: Path) -> None:
    key = SigningKey.generate(Suite.ED25519)
    good = json.dumps(
        {"alg": "ed25519", "pk": key.public_key.hex(), "msg": "00", "sig": key.sign(b"\0").hex()}
    )
    made = [good if number % 3 else '{"alg":"none"}' for number in range(2_000)]
    run = icn("crypto", "verify", "--batch", "-", folder=tmp_path, text="\n".join(made).encode())
    assert [line["valid"] for line in lines(run)] == [bool(number % 3) for number in range(2_000)]
    assert "and 647 more such lines" in run.stderr.decode()


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
    assert found["age_seconds"] > 0
    assert run.stderr.decode().startswith("icn: account 0505") and b"stands at 500 minor units" in run.stderr


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


def test_a_new_key_can_be_made_for_a_principal_whose_own_are_lost(tmp_path: Path) -> None:
    lost = "7f" * 16
    for name, text in (("anna", lost), ("again", f"principals/{lost}")):
        run = icn(
            "keys", "new", name, "--for", text, "--json", folder=tmp_path, ICN_PASSPHRASE="a passphrase"
        )
        (made,) = lines(run)
        assert (made["principal"], made["threshold"], len(made["keys"])) == (lost, 1, 1)
    (listed,) = lines(icn("keys", "list", "--json", folder=tmp_path))
    assert len({one["keys"][0]["key_id"] for one in listed["identities"]}) == 2


PUBLIC_PART = '{"principal": "' + "00" * 16 + '", "threshold": 1, "keys": []}'
ONE_KEY = '[{"public_keys": {"ed25519": "00"}}]'


@pytest.mark.parametrize("options", [["--guardian", ""], ["--guardian", "bakery"], ["--delay", "0d"]])
def test_a_policy_out_of_form_is_exit_2_and_named(tmp_path: Path, options: list[str]) -> None:
    (tmp_path / "anna.json").write_text(PUBLIC_PART.replace("[]", ONE_KEY))
    run = icn("account", "admit", "anna.json", "--as", "bakery", *options, folder=tmp_path)
    assert (run.returncode, run.stdout) == (2, b"")
    assert run.stderr.decode().startswith(f"icn: {options[0]}: ")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "[" * 100_000,
        '{"principal": "00", "threshold": 1}',
        PUBLIC_PART.replace('"threshold": 1, ', ""),
        PUBLIC_PART,
        PUBLIC_PART.replace("00", "", 1).replace("[]", ONE_KEY),
        *[
            PUBLIC_PART.replace(": 1,", f": {threshold},").replace("[]", ONE_KEY)
            for threshold in ("-1", "0", "2", "1e3", "Infinity", "true", "null", '"1"')
        ],
        PUBLIC_PART.replace("[]", '[{"public_keys": {}}]'),
        PUBLIC_PART.replace("[]", '[{"public_keys": {"rsa": "00"}}]'),
        PUBLIC_PART.replace("[]", '{"public_keys": 1}'),
    ],
)
def test_a_public_part_that_is_none_is_named_and_exit_1(tmp_path: Path, text: str) -> None:
    (tmp_path / "anna.json").write_text(text)
    for command in (("account", "admit"), ("recovery", "start")):
        run = icn(*command, "anna.json", "--as", "anna", folder=tmp_path)
        assert (run.returncode, run.stdout) == (1, b"")
        assert run.stderr.decode().startswith("icn: anna.json: not a public part of an identity")
        assert run.stderr.count(b"\n") == 1


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
