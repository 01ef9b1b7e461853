"""`icn order`: payments that fall due by themselves, and payments that somebody else has to release."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from icn_client.cli.common import (
    AsOption,
    DataOption,
    JsonOption,
    KeystoreOption,
    command_group,
    future_ms,
    identifier,
    open_identity,
    platform_directory,
    show_amount,
    show_time,
    with_connection,
)
from icn_client.cli.memos import Memo, MemoOption, ReferenceOption, read_reference
from icn_client.cli.output import Refused, UsageError, print_json, say, table
from icn_client.cli.payments import FromOption, only_account, positive_minor
from icn_client.cli.signing import perform_and_print, perform_as, print_done

if TYPE_CHECKING:
    from icn_client.connection import Connection

_EVERY: Final = re.compile(r"([0-9]{1,3})([dm])")
_EVERY_MAX: Final = {"d": 366, "m": 12}

OrderArgument = Annotated[str, typer.Argument(metavar="ORDER", help="Id of the order.")]

_EXAMPLES = """\b
Examples:
  icn order place ACCOUNT 25 --first 2026-05-01 --every 1m --times 12 --as anna
  icn order list ACCOUNT
"""
_PLACE_EXAMPLES = """\b
Examples:
  icn order place ACCOUNT 25 --first 2026-05-01 --every 1m --times 12 --as anna    on the 1st of each month
  icn order place ACCOUNT 25 --first 36h --as anna                                 once
  icn order place ACCOUNT 900 --first 7d --needs-release --as bakery-clerk         another key releases it
"""
_LIST_EXAMPLES = """\b
Examples:
  icn order list ACCOUNT
  icn order list ACCOUNT --json
"""
_CANCEL_EXAMPLES = """\b
Examples:
  icn order cancel ORDER --as anna
"""
_RELEASE_EXAMPLES = """\b
Examples:
  icn order release ORDER --as bakery-officer
  icn order release ORDER 900 --as bakery-officer    only if it is of this amount
"""


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = command_group("Standing orders, and payments that need a second key.", _EXAMPLES)
    group.command("place", epilog=_PLACE_EXAMPLES)(place)
    group.command("list", epilog=_LIST_EXAMPLES)(list_orders)
    group.command("cancel", epilog=_CANCEL_EXAMPLES)(cancel)
    group.command("release", epilog=_RELEASE_EXAMPLES)(release)
    app.add_typer(group, name="order")


def place(  # noqa: PLR0917 - one parameter per option
    to: Annotated[str, typer.Argument(metavar="ACCOUNT", help="Account that receives.")],
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="Of each payment, in whole units.")],
    first: Annotated[
        str,
        typer.Option(
            "--first",
            metavar="TIME",
            help="Of the first: from now, such as 36h, or a day or time (UTC). With --needs-release its end.",
        ),
    ],
    acting: AsOption,
    every: Annotated[
        str | None,
        typer.Option("--every", metavar="7d|1m", help="Days or months between two; without it once."),
    ] = None,
    times: Annotated[
        int | None, typer.Option("--times", metavar="N", min=1, help="How many, up to 1,200, with --every.")
    ] = None,
    needs_release: Annotated[
        bool, typer.Option("--needs-release", help="Paid only once another key of the owner releases it.")
    ] = False,
    source: FromOption = None,
    memo: MemoOption = None,
    reference: ReferenceOption = None,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Order payments that fall due by block time, or one that waits for its release. Says so where no key of
    the owner could release it as its keys are now.
    """
    from icn_machine.limits import ORDER_TIMES_MAX

    from icn_client import transactions
    from icn_client.acting import now_ms
    from icn_client.credit import order_transfers
    from icn_client.order_release import can_be_released

    destination = identifier(to, "ACCOUNT", "accounts")
    payer = None if source is None else identifier(source, "--from", "accounts")
    days, months = _every(every)
    if (every is None) != (times is None):
        raise UsageError("--every and --times go together: how often, and how many")
    if needs_release and every is not None:
        raise UsageError("--needs-release: such an order is paid once; leave out --every")
    count = times or 1
    if count > ORDER_TIMES_MAX:
        raise UsageError(f"--times: {count}, at most {ORDER_TIMES_MAX} are ordered")
    first_ms = future_ms(first, "--first")
    told = Memo(memo)
    word = read_reference(reference)
    directory = platform_directory(data)
    identity = open_identity(acting, keystore, directory)
    order = transactions.new_identifier()

    async def work(connection: Connection) -> tuple[Any, int, Any, bool]:
        target = await connection.account(destination)
        unit = await connection.unit(target.leaf.unit)
        minor = positive_minor(amount, unit.scale)
        debited = payer or await only_account(connection, identity.principal, target.leaf.unit)
        message = order_transfers(
            order,
            debited,
            destination,
            minor,
            first_ms,
            every_days=days,
            every_months=months,
            times=count,
            needs_release=needs_release,
            memo_hash=await told.seal(connection, debited, destination),
            reference=word,
        )
        signers = {key.key_id for key in identity.keys[: identity.threshold]}
        is_stuck = needs_release and not can_be_released(
            await connection.controller(identity.principal), signers, debited, minor, now_ms()
        )
        outcome, _ = await perform_as(connection, identity, [message])
        await told.keep(connection, f"orders/{order.hex()}")
        return unit, minor, outcome, is_stuck

    unit, minor, outcome, is_stuck = with_connection(directory, work)
    shown = {
        "order": order.hex(),
        "amount_minor": str(minor),
        "first_time_ms": str(first_ms),
        "times": count,
        "needs_release": needs_release,
        **told.shown,
    }
    when = (
        f"until {show_time(first_ms)} it can be released" if needs_release else f"first {show_time(first_ms)}"
    )
    text = f"ordered {count} x {show_amount(minor, unit.scale)} {unit.code}, {when}: orders/{order.hex()}"
    print_done(outcome, as_json, shown, text)
    if is_stuck:
        say(
            "icn: no key of the owner can release it: those that ordered it may not, and too few others "
            "are left; let one before it ends: icn keys allow FILE --kind release-order"
        )


def list_orders(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="That pays or receives.")],
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the orders of an account, either side; with --json one object per line."""
    wanted = identifier(account, "ACCOUNT", "accounts")

    async def read(connection: Connection) -> tuple[Any, list[Any]]:
        unit = await connection.unit_of(wanted)
        return unit, [order async for order in connection.orders(wanted)]

    unit, found = with_connection(platform_directory(data), read)
    if as_json:
        for order in found:
            print_json(_document(order))
        return
    table(
        ("order", "from", "to", "amount", "next", "left", "missed"),
        [
            (
                order.ordered.order.hex(),
                order.ordered.source.hex(),
                order.ordered.destination.hex(),
                show_amount(order.ordered.amount_minor, unit.scale),
                ("released by " if order.ordered.needs_release else "") + show_time(order.next_time_ms),
                str(order.ordered.times - order.times_passed),
                str(order.missed),
            )
            for order in found
        ],
    )


def _document(order: Any) -> dict[str, Any]:
    from icn_client.light.leaves import describe

    described = describe(order)
    ordered = described.pop("ordered")
    return {**ordered, **described}


def cancel(
    order: OrderArgument,
    acting: AsOption,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """End an order, as the owner of either account."""
    from icn_client.credit import cancel_order

    wanted = identifier(order, "ORDER", "orders")
    text = f"cancelled orders/{wanted.hex()}"
    perform_and_print(cancel_order(wanted), {"order": wanted.hex()}, text, acting, keystore, data, as_json)


def release(  # noqa: PLR0917 - one parameter per option
    order: OrderArgument,
    acting: AsOption,
    amount: Annotated[
        str | None, typer.Argument(metavar="AMOUNT", help="Refuse unless the order is of this amount.")
    ] = None,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Pay an order that waits for it, with another key of the owner than ordered it."""
    from icn_client.credit import release_order
    from icn_client.order_release import without_signers

    wanted = identifier(order, "ORDER", "orders")
    directory = platform_directory(data)
    identity = open_identity(acting, keystore, directory)

    async def work(connection: Connection) -> tuple[Any, Any, Any]:
        leaf = await connection.order(wanted)
        ordered = leaf.ordered
        unit = await connection.unit_of(ordered.source)
        if not ordered.needs_release:
            raise Refused(
                f"ORDER_MISMATCH: orders/{wanted.hex()} is paid by itself at {show_time(leaf.next_time_ms)}",
                "ORDER_MISMATCH",
            )
        if amount is not None and positive_minor(amount, unit.scale) != ordered.amount_minor:
            raise Refused(
                f"ORDER_MISMATCH: it is of {show_amount(ordered.amount_minor, unit.scale)} {unit.code}, "
                f"not of {amount}",
                "ORDER_MISMATCH",
            )
        releasing = without_signers(identity, leaf.key_ids)
        if len(releasing.keys) < identity.threshold:
            raise Refused(
                f"SAME_KEY: {len(releasing.keys)} of the identity's keys did not sign the order, "
                f"{identity.threshold} such must release it",
                "SAME_KEY",
            )
        message = release_order(wanted, ordered.source, ordered.destination, ordered.amount_minor)
        outcome, _ = await perform_as(connection, releasing, [message])
        return ordered, unit, outcome

    ordered, unit, outcome = with_connection(directory, work)
    shown = {
        "order": wanted.hex(),
        "source": ordered.source.hex(),
        "destination": ordered.destination.hex(),
        "amount_minor": str(ordered.amount_minor),
    }
    paid = f"paid {show_amount(ordered.amount_minor, unit.scale)} {unit.code}"
    text = f"{paid} to accounts/{ordered.destination.hex()}"
    print_done(outcome, as_json, shown, text)


def _every(text: str | None) -> tuple[int, int]:
    """Days and months of ``7d`` or ``1m``. Raises UsageError."""
    if text is None:
        return 0, 0
    matched = _EVERY.fullmatch(text) if text.isascii() else None
    number, what = (int(matched[1]), matched[2]) if matched else (0, "d")
    if not 1 <= number <= _EVERY_MAX[what]:
        raise UsageError(f"--every: {text[:40]!r} is not 1d to 366d (days) or 1m to 12m (months)")
    return (number, 0) if what == "d" else (0, number)
