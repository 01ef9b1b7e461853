"""`icn contract`: contracts on the running platform, called with the member's own signature."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from icn_client.cli.common import (
    AsOption,
    DataOption,
    JsonOption,
    KeystoreOption,
    amount_minor,
    command_group,
    identifier,
    open_identity,
    platform_directory,
    show_amount,
    with_connection,
)
from icn_client.cli.files import read_file
from icn_client.cli.output import Refused, UsageError, print_json, print_text
from icn_client.cli.signing import perform_as, print_done

if TYPE_CHECKING:
    from icn_client.connection import Connection
    from icn_client.contract_calls import Funds

CODE_BYTES_MAX = 61_440
FUEL_DEFAULT = 20_000_000
FUEL_MAX = 1_000_000_000
CODE_ID_BYTES = 32

_EXAMPLES = """\b
Examples:
  icn contract store fund.wasm --as sunrise-bakery
  icn contract show CONTRACT
"""
_STORE_EXAMPLES = """\b
Examples:
  icn contract store fund.wasm --as sunrise-bakery
"""
_INSTANTIATE_EXAMPLES = """\b
Examples:
  icn contract instantiate CODE '{"unit":"UNIT","approvals":"2","members":"A,B,C"}' --unit UNIT --as anna
"""
_EXECUTE_EXAMPLES = """\b
Examples:
  icn contract execute CONTRACT '{"pay_in":{}}' --pay 12.50 --from ACCOUNT --as anna
  icn contract execute CONTRACT '{"ask":{"amount":"4000"}}' --as ben
  icn contract execute CONTRACT '{"approve":{"ask":"1"}}' --declare ACCOUNT-OF-BEN --as anna
"""
_QUERY_EXAMPLES = """\b
Examples:
  icn contract query CONTRACT '{"fund":{}}'
  icn contract query CONTRACT '{"ask":{"ask":"1"}}' --json
"""
_SHOW_EXAMPLES = """\b
Examples:
  icn contract show CONTRACT
  icn contract show contracts/6d6f… --json
"""

ContractArgument = Annotated[
    str, typer.Argument(metavar="CONTRACT", help="The contract's id, as instantiate said it.")
]
MessageArgument = Annotated[str, typer.Argument(metavar="JSON", help="What the contract reads.")]
FuelOption = Annotated[
    int, typer.Option("--fuel", metavar="N", help="Where the call is stopped; charged whatever it uses.")
]


def register(app: typer.Typer) -> None:
    """Add `contract`."""
    contract = command_group("Contracts on the running platform.", _EXAMPLES)
    contract.command("store", epilog=_STORE_EXAMPLES)(store)
    contract.command("instantiate", epilog=_INSTANTIATE_EXAMPLES)(instantiate)
    contract.command("execute", epilog=_EXECUTE_EXAMPLES)(execute)
    contract.command("query", epilog=_QUERY_EXAMPLES)(query)
    contract.command("show", epilog=_SHOW_EXAMPLES)(show)
    app.add_typer(contract, name="contract")


def store(
    file: Annotated[
        Path, typer.Argument(metavar="FILE.wasm", help="The module; - for standard input.", readable=False)
    ],
    acting: AsOption,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Store the code of contracts; every validator checks it first."""
    from icn_client import transactions
    from icn_client.contract_calls import code_id

    code = read_file(file, CODE_BYTES_MAX)
    if not code:
        raise Refused(f"{file}: empty", "CODE_EMPTY")
    directory = platform_directory(data)
    identity = open_identity(acting, keystore, directory)

    async def work(connection: Connection) -> tuple[Any, Any]:
        return await perform_as(connection, identity, [transactions.store_code(code)])

    outcome, receipt = with_connection(directory, work)
    shown = {"code": code_id(code).hex(), "fuel_used": str(receipt.contract.fuel_used)}
    print_done(outcome, as_json, shown, f"code {shown['code']} is stored")


def instantiate(  # noqa: PLR0917 - one parameter per option
    code: Annotated[str, typer.Argument(metavar="CODE", help="The code's id, as store said it.")],
    message: MessageArgument,
    acting: AsOption,
    units: Annotated[
        list[str] | None,
        typer.Option("--unit", metavar="UNIT", help="Open an account for the contract in it; repeatable."),
    ] = None,
    fuel: FuelOption = FUEL_DEFAULT,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a contract from stored code."""
    from icn_client.contract_calls import new_contract

    made = new_contract(
        identifier(code, "CODE", "codes", CODE_ID_BYTES),
        message.encode(),
        units=[identifier(unit, "--unit", "units") for unit in units or ()],
        fuel_limit=_fuel(fuel),
    )
    directory = platform_directory(data)
    identity = open_identity(acting, keystore, directory)

    async def work(connection: Connection) -> tuple[Any, Any]:
        return await perform_as(connection, identity, [made.message])

    outcome, receipt = with_connection(directory, work)
    shown = {
        "contract": made.contract.hex(),
        "accounts": {unit.hex(): account.hex() for unit, account in made.accounts.items()},
        **_result(receipt),
    }
    print_done(outcome, as_json, shown, f"contract {made.contract.hex()} is made")


def execute(  # noqa: PLR0917 - one parameter per option
    contract: ContractArgument,
    message: MessageArgument,
    acting: AsOption,
    pay: Annotated[
        str | None,
        typer.Option("--pay", metavar="AMOUNT", help="Paid to the contract with the call, in whole units."),
    ] = None,
    source: Annotated[
        str | None, typer.Option("--from", metavar="ACCOUNT", help="Account that pays; with --pay.")
    ] = None,
    declare: Annotated[
        list[str] | None,
        typer.Option(
            "--declare",
            metavar="ACCOUNT",
            help="Account that the contract may see and pay to, besides its own; repeatable.",
        ),
    ] = None,
    fuel: FuelOption = FUEL_DEFAULT,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Call a contract: all of what it asks for happens, or nothing does."""
    from icn_client.contract_calls import CallInvalid, call_of

    if (pay is None) != (source is None):
        raise UsageError("--pay and --from go together")
    called = identifier(contract, "CONTRACT", "contracts")
    declared = [identifier(account, "--declare", "accounts") for account in declare or ()]
    paying = None if source is None else identifier(source, "--from", "accounts")
    limit = _fuel(fuel)
    directory = platform_directory(data)
    identity = open_identity(acting, keystore, directory)

    async def work(connection: Connection) -> tuple[Any, Any]:
        funds = await _funds(connection, paying, pay)
        try:
            message_made = await call_of(
                connection, called, message.encode(), funds=funds, declared=declared, fuel_limit=limit
            )
        except CallInvalid as error:
            raise UsageError(str(error)) from None
        return await perform_as(connection, identity, [message_made])

    outcome, receipt = with_connection(directory, work)
    moved = [
        {
            "account": posting.account.hex(),
            "counter_account": posting.counter_account.hex(),
            "amount_minor": str(posting.amount_minor),
            "balance_minor": str(posting.balance_minor),
        }
        for posting in receipt.postings
    ]
    text = f"the contract has done it, with {len(moved) // 2} payments"
    print_done(outcome, as_json, {**_result(receipt), "postings": moved}, text)


def query(
    contract: ContractArgument,
    message: MessageArgument,
    fuel: Annotated[
        int, typer.Option("--fuel", metavar="N", help="Where the query is stopped; at most 100,000,000.")
    ] = 0,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask a contract on the newest state; nobody signs or pays."""
    asked = identifier(contract, "CONTRACT", "contracts")

    async def work(connection: Connection) -> Any:
        return await connection.query_contract(asked, message.encode(), _fuel(fuel))

    answer = with_connection(platform_directory(data), work)
    if as_json:
        print_json(
            {
                "data": json.loads(answer.data),
                "fuel_used": str(answer.fuel_used),
                "height": answer.height,
            }
        )
    else:
        print_text(answer.data.decode())


def show(contract: ContractArgument, data: DataOption = None, as_json: JsonOption = False) -> None:
    """A contract with its accounts."""
    wanted = identifier(contract, "CONTRACT", "contracts")

    async def work(connection: Connection) -> tuple[Any, list[Any], dict[bytes, Any]]:
        found = await connection.contract(wanted)
        accounts = [account.leaf async for account in connection.accounts(wanted)]
        units = {leaf.unit: await connection.unit(leaf.unit) for leaf in accounts}
        return found, accounts, units

    found, accounts, units = with_connection(platform_directory(data), work)
    leaf = found.contract
    if as_json:
        print_json(
            {
                "contract": leaf.contract.hex(),
                "code": leaf.code.hex(),
                "made_by": leaf.made_by.hex(),
                "storage_entries": leaf.storage_entries,
                "storage_bytes": str(leaf.storage_bytes),
                "accounts": [
                    {
                        "account": account.account.hex(),
                        "unit": account.unit.hex(),
                        "balance_minor": str(account.balance_minor),
                    }
                    for account in accounts
                ],
                "height": found.height,
            }
        )
        return
    print_text(f"contract {leaf.contract.hex()}, code {leaf.code.hex()}, made by {leaf.made_by.hex()}")
    print_text(f"{leaf.storage_entries} entries, {leaf.storage_bytes} bytes")
    for account in accounts:
        unit = units[account.unit]
        balance = show_amount(account.balance_minor, unit.scale)
        print_text(f"account {account.account.hex()}: {balance} {unit.code}")


async def _funds(connection: Connection, source: bytes | None, pay: str | None) -> Funds | None:
    from icn_client.contract_calls import Funds

    if source is None or pay is None:
        return None
    account = await connection.account(source)
    unit = await connection.unit(account.leaf.unit)
    minor = amount_minor(pay, unit.scale, "--pay")
    if minor < 1:
        raise UsageError("--pay: must be more than zero")
    return Funds(source, minor)


def _fuel(fuel: int) -> int:
    if not 0 <= fuel <= FUEL_MAX:
        raise UsageError(f"--fuel: {fuel} is not between 0 and {FUEL_MAX}")
    return fuel


def _result(receipt: Any) -> dict[str, Any]:
    data = receipt.contract.data
    return {
        "fuel_used": str(receipt.contract.fuel_used),
        "data": base64.b64encode(data).decode() if data else None,
    }
