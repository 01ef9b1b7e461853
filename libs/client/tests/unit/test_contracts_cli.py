"""`icn vm`: contracts in a folder, what is printed and what a crash or a refusal leaves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from icn_client.cli.main import app
from icn_wasm.assembly import contract
from typer.testing import CliRunner

START = '{"unit":"hours","approvals":"1","members":"anna,ben"}'


class Vm:
    """The command on one folder."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.file = folder / "fund.wasm"
        self.file.write_bytes(contract("mutual_aid_fund"))

    def __call__(self, *arguments: str, code: int = 0) -> Any:
        run = CliRunner().invoke(app, ["vm", *arguments, "--home", str(self.home)])
        assert run.exit_code == code, run.output
        lines = run.stdout.splitlines()
        assert len(lines) == 1
        answer = json.loads(lines[0])
        shown = {"ok", "data", "gas_used", "events", "messages"}
        assert set(answer) == (shown if code == 0 else shown - {"data"} | {"error"})
        assert answer["ok"] is (code == 0)
        assert isinstance(answer["gas_used"], str)
        return answer

    def files(self) -> dict[str, bytes]:
        found = self.home.rglob("*")
        return {
            str(path.relative_to(self.home)): path.read_bytes()
            for path in found
            if path.is_file() and path.name != "state.json"
        }


@pytest.fixture
def vm(tmp_path: Path) -> Vm:
    return Vm(tmp_path)


@pytest.fixture
def fund(vm: Vm) -> str:
    code = vm("store", str(vm.file))["data"]
    address: str = vm("instantiate", code, START)["data"]
    return address


def test_a_contract_is_stored_made_called_and_asked(vm: Vm) -> None:
    code = vm("store", str(vm.file))["data"]
    made = vm("instantiate", code, START, "--sender", "anna")
    address = made["data"]
    assert made["events"][0]["type"] == "instantiate"
    assert made["events"][0]["attributes"][0] == {"key": "_contract_address", "value": address}
    paid = vm("execute", address, '{"pay_in":{}}', "--sender", "anna", "--funds", "50hours")
    assert paid["data"] is None
    assert paid["events"][0]["attributes"][1] == {"key": "pay_in", "value": "50"}
    vm("execute", address, '{"ask":{"amount":"40"}}', "--sender", "ben")
    out = vm("execute", address, '{"approve":{"ask":"1"}}', "--sender", "anna")
    assert out["messages"] == [
        {"bank": {"send": {"to_address": "ben", "amount": [{"denom": "hours", "amount": "40"}]}}}
    ]
    assert vm("query", address, '{"fund":{}}')["data"] == {"pool": "10", "asks": "1"}


def test_the_same_commands_give_the_same_answers_in_another_folder(tmp_path: Path) -> None:
    def told(folder: Path) -> list[Any]:
        folder.mkdir()
        vm = Vm(folder)
        code = vm("store", str(vm.file))
        made = [vm("instantiate", code["data"], START) for _ in range(2)]
        assert made[0]["data"] != made[1]["data"]
        return [
            code,
            *made,
            vm("execute", made[1]["data"], '{"pay_in":{}}', "--sender", "ben", "--funds", "5hours"),
        ]

    assert told(tmp_path / "one") == told(tmp_path / "two")


def test_a_refused_call_changes_no_contract(vm: Vm, fund: str) -> None:
    before = vm.files()
    refused = vm("execute", fund, '{"pay_in":{}}', "--sender", "zoe", code=1)
    assert refused["error"] == "CONTRACT_ERROR: not a member"
    assert int(refused["gas_used"]) > 500_000
    short = vm("execute", fund, '{"pay_in":{}}', "--sender", "ben", "--gas", "510000", code=1)
    assert (short["error"], short["gas_used"]) == ("OUT_OF_GAS: the gas limit is reached", "510000")
    assert vm.files() == before


def test_a_contract_that_refuses_to_be_made_is_not_there(vm: Vm) -> None:
    code = vm("store", str(vm.file))["data"]
    before = vm.files()
    assert "at least one approval" in vm("instantiate", code, START.replace('"1"', '"0"'), code=1)["error"]
    assert vm.files() == before


def test_code_that_is_refused_is_not_kept(vm: Vm) -> None:
    vm.file.write_bytes(b"\0asm\1\0\0\0\x08\1\0")
    assert vm("store", str(vm.file), code=1)["error"].startswith("START_FUNCTION: ")
    assert set(vm.files()) == {"lock"}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["instantiate", "00" * 32, "{}"], "CODE_UNKNOWN"),
        (["instantiate", "../../etc", "{}"], "CODE_UNKNOWN"),
        (["execute", "contracts/" + "00" * 16, "{}"], "CONTRACT_UNKNOWN"),
        (["query", "contracts/../state", "{}"], "CONTRACT_UNKNOWN"),
    ],
)
def test_what_is_not_there_is_said(vm: Vm, arguments: list[str], reason: str) -> None:
    assert vm(*arguments, code=1)["error"].startswith(f"{reason}: ")


def test_a_damaged_folder_is_said_and_left_alone(vm: Vm, fund: str) -> None:
    path = vm.home / f"{fund}.json"
    for content in (
        b"",
        b"[]",
        b"{}",
        b'{"code":"zz","creator":"","storage":{}}',
        b'{"code":"","storage":7}',
    ):
        path.write_bytes(content)
        assert vm("query", fund, '{"fund":{}}', code=1)["error"].startswith("STORE_DAMAGED: ")
        assert path.read_bytes() == content
    (vm.home / "state.json").write_text("[]")
    code = next((vm.home / "code").iterdir())
    assert vm("instantiate", code.stem, START, code=1)["error"].startswith("STORE_DAMAGED: ")
    code.write_bytes(b"other")
    assert vm("instantiate", code.stem, START, code=1)["error"].startswith("STORE_DAMAGED: ")


def test_what_a_crash_left_beside_a_file_does_not_matter(vm: Vm, fund: str) -> None:
    path = vm.home / f"{fund}.json"
    path.with_name(f".{path.name}.new").write_bytes(b"half of")
    vm("execute", fund, '{"pay_in":{}}', "--sender", "ben", "--funds", "5hours")
    assert vm("query", fund, '{"fund":{}}')["data"]["pool"] == "5"


@pytest.mark.parametrize(
    "options",
    [
        ["--gas", "-1"],
        ["--gas", "1000000001"],
        ["--gas", "many"],
        ["--sender", ""],
        ["--sender", "Anna B"],
        ["--funds", "5"],
        ["--funds", "0hours"],
        ["--funds", "1hours,2hours"],
        ["--funds", "1.5hours"],
    ],
)
def test_a_call_written_wrongly_is_a_usage_error(vm: Vm, options: list[str]) -> None:
    from icn_client.cli.output import UsageError

    run = CliRunner().invoke(app, ["vm", "execute", "contracts/00", "{}", *options, "--home", str(vm.home)])
    assert run.exit_code == 2 or isinstance(run.exception, UsageError)
