"""`icn exchange`: credit of one unit for credit of another, both or neither."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

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
from icn_client.cli.output import Refused, print_json, print_text, table
from icn_client.cli.payments import only_account, positive_minor
from icn_client.cli.signing import perform_and_print, perform_as, print_done

if TYPE_CHECKING:
    from icn_client.connection import Connection

OfferArgument = Annotated[str, typer.Argument(metavar="OFFER", help="Id of the offer, a hold.")]

_EXAMPLES = """\b
Examples:
  icn exchange offer --give 10 --from ACCOUNT --take 25 --into ACCOUNT --expire 7d --as anna
  icn exchange list
  icn exchange take OFFER 4 --as bruno
"""
_OFFER_EXAMPLES = """\b
Examples:
  icn exchange offer --give 10 --from ACCOUNT --take 25 --into ACCOUNT --expire 7d --as anna
  icn exchange offer --give 10 --from ACCOUNT --take 25 --into ACCOUNT --expire 7d --taker PRINCIPAL --as anna
"""
_LIST_EXAMPLES = """\b
Examples:
  icn exchange list
  icn exchange list --unit UNIT      what gives this one
"""
_SHOW_EXAMPLES = """\b
Examples:
  icn exchange show OFFER
"""
_TAKE_EXAMPLES = """\b
Examples:
  icn exchange take OFFER --as bruno                   all that is left, at its price
  icn exchange take OFFER 4 --pay-max 10 --as bruno    four of it, for ten at most
"""
_VOID_EXAMPLES = """\b
Examples:
  icn exchange void OFFER --as anna
"""


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = command_group("Exchanges of two units at a rate.", _EXAMPLES)
    group.command("offer", epilog=_OFFER_EXAMPLES)(offer)
    group.command("list", epilog=_LIST_EXAMPLES)(list_offers)
    group.command("show", epilog=_SHOW_EXAMPLES)(show)
    group.command("take", epilog=_TAKE_EXAMPLES)(take)
    group.command("void", epilog=_VOID_EXAMPLES)(void)
    app.add_typer(group, name="exchange")


def offer(  # noqa: PLR0917 - one parameter per option
    give: Annotated[str, typer.Option("--give", metavar="AMOUNT", help="What is offered; it is held.")],
    source: Annotated[str, typer.Option("--from", metavar="ACCOUNT", help="Account that gives.")],
    take: Annotated[str, typer.Option("--take", metavar="AMOUNT", help="What all of it costs.")],
    into: Annotated[
        str, typer.Option("--into", metavar="ACCOUNT", help="Account that is paid, of another unit.")
    ],
    expire: Annotated[
        str, typer.Option("--expire", metavar="TIME", help="How long, such as 7d, or a day or time (UTC).")
    ],
    acting: AsOption,
    taker: Annotated[
        str | None, typer.Option("--taker", metavar="PRINCIPAL", help="Who may take it; else anybody.")
    ] = None,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Offer credit of one unit for credit of another, at a rate; also parts of it can be taken."""
    from icn_client import credit, transactions

    give_account = identifier(source, "--from", "accounts")
    take_account = identifier(into, "--into", "accounts")
    by = b"" if taker is None else identifier(taker, "--taker", "principals")
    expire_ms = future_ms(expire, "--expire")
    directory = platform_directory(data)
    identity = open_identity(acting, keystore, directory)
    hold = transactions.new_identifier()

    async def work(connection: Connection) -> tuple[Any, Any, Any]:
        giving, taking = [await connection.unit_of(account) for account in (give_account, take_account)]
        if giving.unit == taking.unit:
            raise Refused(f"SAME_UNIT: both accounts are of units/{giving.unit.hex()}", "SAME_UNIT")
        message = credit.offer_exchange(
            hold,
            give_account=give_account,
            give_minor=positive_minor(give, giving.scale, "--give"),
            take_account=take_account,
            take_minor=positive_minor(take, taking.scale, "--take"),
            expire_time_ms=expire_ms,
            taker=by,
        )
        outcome, _ = await perform_as(connection, identity, [message])
        return giving, taking, outcome

    giving, taking, outcome = with_connection(directory, work)
    shown = {"offer": hold.hex(), "expire_time_ms": str(expire_ms)}
    until = show_time(expire_ms)
    text = f"offered {give} {giving.code} for {take} {taking.code} until {until}: holds/{hold.hex()}"
    print_done(outcome, as_json, shown, text)


def list_offers(
    unit: Annotated[
        str | None, typer.Option("--unit", metavar="UNIT", help="Only what gives this unit.")
    ] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the open offers of the zone, whoever may take them; with --json one object per line."""
    given = None if unit is None else identifier(unit, "--unit", "units")

    async def read(connection: Connection) -> list[tuple[Any, Any, Any]]:
        found = []
        if given is not None:
            await connection.unit(given)  # or it is told that there is none
        units: dict[bytes, Any] = {}

        async def unit_of(account: bytes) -> Any:
            if account not in units:
                units[account] = await connection.unit_of(account)
            return units[account]

        async for leaf in connection.exchange_offers():
            giving = await unit_of(leaf.source)
            if given in (None, giving.unit):
                found.append((leaf, giving, await unit_of(leaf.take_account)))
        return found

    found = with_connection(platform_directory(data), read)
    if as_json:
        for leaf, giving, taking in found:
            print_json(_document(leaf, giving, taking))
        return
    table(
        ("offer", "gives", "for", "taker", "until"),
        [
            (
                leaf.hold.hex(),
                f"{show_amount(leaf.remaining_minor, giving.scale)} {giving.code}",
                f"{show_amount(_price_minor(leaf), taking.scale)} {taking.code}",
                leaf.taker.hex() or "anybody",
                show_time(leaf.expire_time_ms),
            )
            for leaf, giving, taking in found
        ],
    )


def show(offer: OfferArgument, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Show what is left of an offer, and what it costs."""
    wanted = identifier(offer, "OFFER", "holds")
    leaf, giving, taking = with_connection(
        platform_directory(data), lambda connection: _offer(connection, wanted)
    )
    if as_json:
        print_json(_document(leaf, giving, taking))
        return
    print_text(f"offer    {wanted.hex()}")
    print_text(f"gives    {show_amount(leaf.remaining_minor, giving.scale)} {giving.code}, all that is left")
    print_text(f"for      {show_amount(_price_minor(leaf), taking.scale)} {taking.code}")
    print_text(f"from     {leaf.source.hex()}, paid into {leaf.take_account.hex()}")
    print_text(f"taker    {leaf.taker.hex() or 'anybody'}")
    print_text(f"until    {show_time(leaf.expire_time_ms)}")


def _document(leaf: Any, giving: Any, taking: Any) -> dict[str, Any]:
    return {
        "offer": leaf.hold.hex(),
        "give_account": leaf.source.hex(),
        "give_unit": giving.unit.hex(),
        "take_account": leaf.take_account.hex(),
        "take_unit": taking.unit.hex(),
        "offered_give_minor": str(leaf.offered_give_minor),
        "offered_take_minor": str(leaf.offered_take_minor),
        "remaining_minor": str(leaf.remaining_minor),
        "price_minor": str(_price_minor(leaf)),
        "taker": leaf.taker.hex(),
        "expire_time_ms": str(leaf.expire_time_ms),
    }


def _price_minor(leaf: Any) -> int:
    """What all that is left costs."""
    from icn_client.credit import exchange_price

    return exchange_price(leaf.remaining_minor, leaf.offered_give_minor, leaf.offered_take_minor)


def take(  # noqa: PLR0917 - one parameter per option
    offer: OfferArgument,
    acting: AsOption,
    amount: Annotated[
        str | None, typer.Argument(metavar="AMOUNT", help="Of what is offered; all that is left without.")
    ] = None,
    pay_max: Annotated[
        str | None,
        typer.Option("--pay-max", metavar="AMOUNT", help="Most to pay; its price as offered without."),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="ACCOUNT", help="Account that pays; the only one in the unit without."
        ),
    ] = None,
    into: Annotated[
        str | None,
        typer.Option(
            "--into", metavar="ACCOUNT", help="Account that gets it; the only one in the unit without."
        ),
    ] = None,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take part or all of an offer and pay for it: both happen, or neither."""
    from icn_client import credit

    wanted = identifier(offer, "OFFER", "holds")
    paying = None if source is None else identifier(source, "--from", "accounts")
    getting = None if into is None else identifier(into, "--into", "accounts")
    directory = platform_directory(data)
    identity = open_identity(acting, keystore, directory)

    async def work(connection: Connection) -> tuple[Any, Any, int, int, Any]:
        leaf, giving, taking = await _offer(connection, wanted)
        minor = leaf.remaining_minor if amount is None else positive_minor(amount, giving.scale)
        if minor > leaf.remaining_minor:
            raise Refused(
                f"HOLD_AMOUNT_EXCEEDED: {show_amount(leaf.remaining_minor, giving.scale)} {giving.code} are "
                f"left, {show_amount(minor, giving.scale)} are asked for",
                "HOLD_AMOUNT_EXCEEDED",
            )
        price_minor = credit.exchange_price(minor, leaf.offered_give_minor, leaf.offered_take_minor)
        most_minor = price_minor if pay_max is None else positive_minor(pay_max, taking.scale, "--pay-max")
        if price_minor > most_minor:
            raise Refused(
                f"PRICE_EXCEEDED: it costs {show_amount(price_minor, taking.scale)} {taking.code}, --pay-max "
                f"is {show_amount(most_minor, taking.scale)}",
                "PRICE_EXCEEDED",
            )
        message = credit.take_exchange(
            wanted,
            source=paying or await only_account(connection, identity.principal, taking.unit),
            take_account=leaf.take_account,
            destination=getting or await only_account(connection, identity.principal, giving.unit, "--into"),
            give_account=leaf.source,
            give_minor=minor,
            pay_minor=most_minor,
        )
        outcome, _ = await perform_as(connection, identity, [message])
        return giving, taking, minor, price_minor, outcome

    giving, taking, minor, price_minor, outcome = with_connection(directory, work)
    shown = {"offer": wanted.hex(), "got_minor": str(minor), "paid_minor": str(price_minor)}
    text = (
        f"got {show_amount(minor, giving.scale)} {giving.code} for "
        f"{show_amount(price_minor, taking.scale)} {taking.code}"
    )
    print_done(outcome, as_json, shown, text)


def void(
    offer: OfferArgument,
    acting: AsOption,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take back what is left of an offer of one's own."""
    from icn_client.credit import void_exchange

    wanted = identifier(offer, "OFFER", "holds")
    text = f"took back holds/{wanted.hex()}"
    perform_and_print(void_exchange(wanted), {"offer": wanted.hex()}, text, acting, keystore, data, as_json)


async def _offer(connection: Connection, offer: bytes) -> tuple[Any, Any, Any]:
    """The hold of an offer, the unit it gives and the unit it takes. Raises Refused, DomainError."""
    leaf = await connection.hold(offer)
    if not leaf.take_account:
        raise Refused(
            f"EXCHANGE_MISMATCH: holds/{offer.hex()} is no offer of an exchange", "EXCHANGE_MISMATCH"
        )
    return leaf, await connection.unit_of(leaf.source), await connection.unit_of(leaf.take_account)
