"""`icn vm`: contracts offline, in a folder, on the engine that the chain's nodes run."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from icn_client.cli.common import command_group
from icn_client.cli.files import read_file
from icn_client.cli.output import EXIT_REFUSED, UsageError, print_json, say

if TYPE_CHECKING:
    from icn_wasm.engine import Outcome
    from icn_wasm.messages import Caller, Coin

    from icn_client.contract_store import ContractStore

GAS_DEFAULT = 100_000_000
SENDER_DEFAULT = "local"
FUNDS_MAX = 16
_COIN = re.compile(r"([1-9][0-9]{0,37})([a-zA-Z][a-zA-Z0-9/:._-]{1,127})")
"""As Cosmos writes coins; at most 128 bits."""

_STORE_EXAMPLES = """\b
Examples:
  icn vm store fund.wasm --home ./contracts
"""
_INSTANTIATE_EXAMPLES = """\b
Examples:
  icn vm instantiate CODE '{"unit":"hours","approvals":"2","members":"anna,ben,cara"}' --home ./contracts
"""
_EXECUTE_EXAMPLES = """\b
Examples:
  icn vm execute contracts/ID '{"ask":{"amount":"40"}}' --sender ben --home ./contracts
"""
_QUERY_EXAMPLES = """\b
Examples:
  icn vm query contracts/ID '{"fund":{}}' --home ./contracts
"""

HomeOption = Annotated[
    Path,
    typer.Option(
        "--home",
        metavar="DIR",
        help="The folder of the contracts; made where it is missing.",
        readable=False,
    ),
]
SenderOption = Annotated[str, typer.Option("--sender", metavar="A", help="Who calls.")]
FundsOption = Annotated[
    str, typer.Option("--funds", metavar="COINS", help="What comes along, such as 250hours,3kwh.")
]
GasOption = Annotated[int, typer.Option("--gas", metavar="N", help="Where the call is stopped.")]
MessageArgument = Annotated[str, typer.Argument(metavar="JSON", help="The message.")]
AddressArgument = Annotated[str, typer.Argument(metavar="ADDR", help="The contract, as instantiate said it.")]


def register(app: typer.Typer) -> None:
    """Add `vm`."""
    vm = command_group("Contracts in a folder, by the engine that the chain's nodes run.")
    vm.command("store", epilog=_STORE_EXAMPLES)(store)
    vm.command("instantiate", epilog=_INSTANTIATE_EXAMPLES)(instantiate)
    vm.command("execute", epilog=_EXECUTE_EXAMPLES)(execute)
    vm.command("query", epilog=_QUERY_EXAMPLES)(query)
    app.add_typer(vm, name="vm")


def store(
    file: Annotated[
        Path, typer.Argument(metavar="FILE.wasm", help="The module; - for standard input.", readable=False)
    ],
    home: HomeOption,
) -> None:
    """Check code and keep it: {"ok","data","gas_used","events","messages"}, data is the code's id.

    Exit 1 with {"ok":false,"error"} where it is no contract that the engine runs.
    """
    from icn_wasm.limits import CODE_BYTES_MAX
    from icn_wasm.refusals import CodeRefused

    content = read_file(file, CODE_BYTES_MAX * 4)
    with _opened(home) as contracts:
        try:
            code, gas_used = contracts.store(content)
        except CodeRefused as refusal:
            _print_refusal(str(refusal), 0)
    _print_done(code, gas_used, [], [])


def instantiate(  # noqa: PLR0917 - as many as the command has
    code: Annotated[str, typer.Argument(metavar="CODE", help="The code's id, as store said it.")],
    message: MessageArgument,
    home: HomeOption,
    sender: SenderOption = SENDER_DEFAULT,
    funds: FundsOption = "",
    gas: GasOption = GAS_DEFAULT,
) -> None:
    """Make a contract: {"ok","data","gas_used","events","messages"}, data is its address.

    Data of the contract's own stands in the event instantiate.
    """
    caller = _caller(sender, funds)
    with _opened(home) as contracts:
        address, outcome = contracts.instantiate(code, message.encode(), caller, _gas(gas))
    response = _response(outcome)
    attributes = [{"key": "_contract_address", "value": address}, {"key": "code_id", "value": code}]
    if response.data is not None:
        attributes.append({"key": "data", "value": base64.b64encode(response.data).decode()})
    events = [{"type": "instantiate", "attributes": attributes}, *_events(response)]
    _print_done(address, outcome.gas_used, events, list(response.messages))


def execute(  # noqa: PLR0917 - as many as the command has
    address: AddressArgument,
    message: MessageArgument,
    home: HomeOption,
    sender: SenderOption = SENDER_DEFAULT,
    funds: FundsOption = "",
    gas: GasOption = GAS_DEFAULT,
) -> None:
    """Call a contract: {"ok","data","gas_used","events","messages"}, data in base64 or null.

    Exit 1 with {"ok":false,"error","gas_used"} where the call is stopped; no storage changes then.
    """
    caller = _caller(sender, funds)
    with _opened(home) as contracts:
        outcome = contracts.execute(address, message.encode(), caller, _gas(gas))
    response = _response(outcome)
    content = None if response.data is None else base64.b64encode(response.data).decode()
    _print_done(content, outcome.gas_used, _events(response), list(response.messages))


def query(
    address: AddressArgument,
    message: MessageArgument,
    home: HomeOption,
    gas: GasOption = GAS_DEFAULT,
) -> None:
    """Ask a contract: {"ok","data","gas_used","events","messages"}, data is its answer."""
    with _opened(home) as contracts:
        outcome = contracts.query(address, message.encode(), _gas(gas))
    response = _response(outcome)
    assert response.data is not None, "a query's answer has content"
    _print_done(json.loads(response.data), outcome.gas_used, [], [])


@contextmanager
def _opened(home: Path) -> Iterator[ContractStore]:
    from icn_client.contract_store import StoreRefused, opened

    try:
        with opened(home) as contracts:
            yield contracts
    except StoreRefused as refusal:
        _print_refusal(f"{refusal.reason}: {refusal}", 0)


def _gas(gas: int) -> int:
    from icn_wasm.limits import GAS_MAX

    if not 0 <= gas <= GAS_MAX:
        raise UsageError(f"--gas: {gas} is not between 0 and {GAS_MAX}")
    return gas


def _caller(sender: str, funds: str) -> Caller:
    from icn_wasm.addresses import is_address
    from icn_wasm.messages import Caller

    if not is_address(sender):
        raise UsageError(f"--sender: {sender[:80]!r} is not 1 to 64 of a-z, 0-9 and . _ / - inside")
    return Caller(sender, _coins(funds))


def _coins(funds: str) -> tuple[Coin, ...]:
    from icn_wasm.messages import Coin

    coins: list[Coin] = []
    for part in funds.split(",") if funds else []:
        found = _COIN.fullmatch(part)
        if found is None or int(found.group(1)) >= 1 << 128:
            raise UsageError(f"--funds: {part[:80]!r} is not an amount with its unit, such as 250hours")
        coins.append(Coin(found.group(2), int(found.group(1))))
    if len({coin.denomination for coin in coins}) != len(coins) or len(coins) > FUNDS_MAX:
        raise UsageError(f"--funds: at most {FUNDS_MAX} units, each once")
    return tuple(sorted(coins, key=lambda coin: coin.denomination))


def _response(outcome: Outcome) -> Any:
    """The response of a call that went well; else the command ends here."""
    if outcome.stopped is not None:
        _print_refusal(str(outcome.stopped), outcome.gas_used)
    return outcome.response


def _events(response: Any) -> list[dict[str, Any]]:
    return [
        {
            "type": event.type,
            "attributes": [
                {"key": attribute.key, "value": attribute.value} for attribute in event.attributes
            ],
        }
        for event in response.events
    ]


def _print_done(content: Any, gas_used: int, events: list[Any], messages: list[Any]) -> None:
    print_json(
        {"ok": True, "data": content, "gas_used": str(gas_used), "events": events, "messages": messages}
    )


def _print_refusal(error: str, gas_used: int) -> NoReturn:
    print_json({"ok": False, "error": error, "gas_used": str(gas_used), "events": [], "messages": []})
    say(f"icn: {error}")
    raise SystemExit(EXIT_REFUSED)
