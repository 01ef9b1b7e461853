"""`icn resource`, `icn book`, `icn booking`, `icn offer` and `icn agreement`: what co-ops share and trade.

Commands and transactions are signed here; no service holds a key.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

from icn_client.cli.common import (
    AsOption,
    DataOption,
    JsonOption,
    KeystoreOption,
    amount_minor,
    command_error,
    command_group,
    duration_ms,
    identifier,
    open_identity,
    platform_directory,
    show_amount,
    with_connection,
)
from icn_client.cli.files import read_file
from icn_client.cli.output import (
    CommandError,
    Refused,
    UsageError,
    print_json,
    print_json_lines,
    print_text,
    say,
    table,
)
from icn_client.cli.signing import perform_as

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from icn_client.connection import Connection
    from icn_client.keystore import Identity

SEEN_SECONDS: Final = 10.0
"""How long a command waits until the marketplace has seen what the ledger committed; one is plenty."""
SEEN_POLL_SECONDS: Final = 0.1
HOLD_SEEN_SECONDS: Final = 2.0
"""How long a command waits for a hold that may have been placed just now."""
MINUTE_MS: Final = 60_000
EXPIRY_SLACK_MS: Final = 60_000
"""Beyond what the offer asks for, so that clocks that differ a little do not matter."""

T = TypeVar("T")
_UTC_TIME: Final = re.compile(r"\b[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{3})?)?Z")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_HOURS: Final = re.compile(r"([0-2][0-9]):([0-5][0-9])-([0-2][0-9]):([0-5][0-9])")
_OFFSET: Final = re.compile(r"([+-])([01][0-9]):([0-5][0-9])")

_RESOURCE_EXAMPLES = """\b
Examples:
  icn resource add --owner ORGANIZATION --title Tractor --kind tractor --as harvest-farm
  icn resource list
  icn resource show RESOURCE
  icn resource photo RESOURCE tractor.jpg --as harvest-farm
  icn resource remove RESOURCE --as harvest-farm
"""
_ADD_EXAMPLES = """\b
Examples:
  icn resource add --owner ORGANIZATION --title Tractor --kind tractor --as harvest-farm
  icn resource add --owner ORGANIZATION --title Oven --kind oven --hours 06:00-22:00 --utc-offset +01:00 \\
      --shortest 30m --longest 4h --for ORGANIZATION --photo oven.jpg --as sunrise-bakery
"""
_BOOK_EXAMPLES = """\b
Examples:
  icn book RESOURCE --from YYYY-MM-DDT08:00Z --to YYYY-MM-DDT12:00Z --as anna
  icn book RESOURCE --from YYYY-MM-DDT08:00+02:00 --to YYYY-MM-DDT12:00+02:00 --or-wait --as ben
  icn book RESOURCE --from YYYY-MM-DDT08:00Z --to YYYY-MM-DDT12:00Z --or-next --as ben
"""
_BOOKING_EXAMPLES = """\b
Examples:
  icn booking list --resource RESOURCE
  icn booking list --as anna
  icn booking cancel BOOKING --as anna
  icn booking end BOOKING --at YYYY-MM-DDT10:00Z --as anna
"""
_OFFER_EXAMPLES = """\b
Examples:
  icn offer publish --title "Rye bread" --kind bread --quantity 20 --measure loaf --price 0.25 \\
      --account ACCOUNT --as sunrise-bakery
  icn offer list
  icn offer accept OFFER 2 --as anna
  icn offer photo OFFER bread.jpg --as sunrise-bakery
  icn offer close OFFER --as sunrise-bakery
"""
_AGREEMENT_EXAMPLES = """\b
Examples:
  icn agreement show AGREEMENT
  icn agreement deliver AGREEMENT --as sunrise-bakery
  icn agreement confirm AGREEMENT --as anna
  icn agreement settle AGREEMENT --as sunrise-bakery
  icn agreement list --as anna
  icn agreement pay AGREEMENT --as anna
  icn agreement withdraw AGREEMENT --as anna
  icn agreement release AGREEMENT --as sunrise-bakery
  icn agreement return AGREEMENT --as sunrise-bakery
"""

resource_group = command_group("What organizations own and others may book.", _RESOURCE_EXAMPLES)
booking_group = command_group("Bookings of resources.", _BOOKING_EXAMPLES)
offer_group = command_group("What somebody gives for credit.", _OFFER_EXAMPLES)
agreement_group = command_group("Agreements: to deliver and to pay.", _AGREEMENT_EXAMPLES)

ResourceArgument = Annotated[str, typer.Argument(metavar="RESOURCE")]
BookingArgument = Annotated[str, typer.Argument(metavar="BOOKING")]
OfferArgument = Annotated[str, typer.Argument(metavar="OFFER")]
PhotoArgument = Annotated[Path, typer.Argument(metavar="FILE", readable=False)]
AgreementArgument = Annotated[str, typer.Argument(metavar="AGREEMENT")]


def register(app: typer.Typer) -> None:
    """Add the groups and `icn book` to the command."""
    app.add_typer(resource_group, name="resource")
    app.command("book", epilog=_BOOK_EXAMPLES)(book)
    app.add_typer(booking_group, name="booking")
    app.add_typer(offer_group, name="offer")
    app.add_typer(agreement_group, name="agreement")


# -- resources


@resource_group.command("add", epilog=_ADD_EXAMPLES)
def resource_add(
    *,
    owner: Annotated[str, typer.Option("--owner", metavar="ORGANIZATION", help="Who owns it.")],
    title: Annotated[str, typer.Option("--title", help="Shown to people.")],
    kind: Annotated[str, typer.Option("--kind", help="What it is, such as tractor.")],
    acting: AsOption,
    note: Annotated[str, typer.Option("--note", help="For people.")] = "",
    hours: Annotated[
        str, typer.Option("--hours", metavar="HH:MM-HH:MM", help="When it may be booked each day.")
    ] = "00:00-24:00",
    utc_offset: Annotated[
        str, typer.Option("--utc-offset", metavar="±HH:MM", help="Whose clock --hours are of.")
    ] = "+00:00",
    shortest: Annotated[str, typer.Option("--shortest", metavar="TIME", help="Shortest booking.")] = "15m",
    longest: Annotated[str, typer.Option("--longest", metavar="TIME", help="Longest booking.")] = "",
    ahead_days: Annotated[
        int, typer.Option("--ahead-days", min=1, max=366, help="How far ahead a booking may start.")
    ] = 60,
    audience: Annotated[
        str,
        typer.Option(
            "--for", metavar="ORGANIZATION", help="Whose members may book, and members of its members."
        ),
    ] = "",
    photo: Annotated[
        list[Path] | None,
        typer.Option("--photo", metavar="FILE", help="JPEG, PNG or WebP; up to eight.", readable=False),
    ] = None,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a resource of an organization that you belong to."""
    from icn.marketplace.v1 import service_pb2 as pb

    from icn_client import marketplace

    open_minute, close_minute = _opening(hours)
    is_always_open = (open_minute, close_minute) == (0, 1_440)
    longest_minutes = _minutes(longest, "--longest") if longest else min(1_440, close_minute - open_minute)
    request = pb.AddResource(
        owner=identifier(owner, "--owner", "principals"),
        title=title,
        note=note,
        specification=kind,
        rules=marketplace.booking_rules(
            audience=identifier(audience, "--for", "principals") if audience else b"",
            open_minute=open_minute,
            close_minute=close_minute,
            utc_offset_minutes=0 if is_always_open else _offset_minutes(utc_offset),
            minutes_min=_minutes(shortest, "--shortest"),
            minutes_max=longest_minutes,
            ahead_days_max=ahead_days,
        ),
    )
    photos = _photos(photo or ())
    directory = platform_directory(data)
    identity = open_identity(acting, keystore, directory)

    async def work(connection: Connection) -> Any:
        added = (await marketplace.write(connection, identity, request)).resource
        await _add_photos(connection, identity, added.name, photos)
        found = await marketplace.read(connection, pb.GetResourceRequest(name=added.name))
        return found.resource

    resource = _connected(directory, work)
    _print_one(as_json, _resource(resource), f"added {resource.title}: {resource.name}")


@resource_group.command("list", epilog=_RESOURCE_EXAMPLES)
def resource_list(
    owner: Annotated[str, typer.Option("--owner", metavar="ORGANIZATION", help="Only this owner's.")] = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List resources, newest first."""
    from icn.marketplace.v1 import service_pb2 as pb

    request = pb.ListResourcesRequest(owner=_name(owner, "--owner", "principals"))
    found = _listed(data, request, "resources")
    if as_json:
        print_json_lines(_resource(resource) for resource in found)
        return
    table(
        ("resource", "title", "kind", "owner"),
        [(item.name, item.title, item.specification, item.owner) for item in found],
    )


@resource_group.command("show", epilog=_RESOURCE_EXAMPLES)
def resource_show(resource: ResourceArgument, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Show a resource and who has it when."""
    from icn.marketplace.v1 import service_pb2 as pb

    from icn_client import marketplace

    name = _name(resource, "RESOURCE", "resources")

    async def work(connection: Connection) -> tuple[Any, list[Any]]:
        found = await marketplace.read(connection, pb.GetResourceRequest(name=name))
        coming = pb.ListBookingsRequest(resource=name, from_time_ms=time.time_ns() // 1_000_000)
        bookings = [item async for item in marketplace.read_all(connection, coming, "bookings")]
        return found.resource, bookings

    shown, bookings = _connected(platform_directory(data), work)
    if as_json:
        print_json({**_resource(shown), "bookings": [_booking(booking) for booking in bookings]})
        return
    print_text(f"{shown.title} ({shown.specification}), of {shown.owner}")
    if shown.note:
        print_text(shown.note)
    _print_bookings(bookings)


@resource_group.command("photo", epilog=_RESOURCE_EXAMPLES)
def resource_photo(
    resource: ResourceArgument,
    file: PhotoArgument,
    *,
    acting: AsOption,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a photo to a resource; JPEG, PNG or WebP, up to eight."""
    _photo(
        _name(resource, "RESOURCE", "resources"),
        file,
        acting=acting,
        keystore=keystore,
        data=data,
        as_json=as_json,
    )


@resource_group.command("remove", epilog=_RESOURCE_EXAMPLES)
def resource_remove(
    resource: ResourceArgument,
    acting: AsOption,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove a resource that nobody has booked any more."""
    from icn.marketplace.v1 import service_pb2 as pb

    from icn_client import marketplace

    request = pb.RemoveResource(resource=identifier(resource, "RESOURCE", "resources"))
    directory = platform_directory(data)
    identity = open_identity(acting, keystore, directory)
    answer = _connected(directory, lambda connection: marketplace.write(connection, identity, request))
    _print_one(
        as_json, _resource(answer.resource), f"removed {answer.resource.title}: {answer.resource.name}"
    )


def _photo(
    name: str, file: Path, *, acting: str, keystore: Path | None, data: Path | None, as_json: bool
) -> None:
    """Add one photo to what has the name."""
    photos = _photos([file])
    directory = platform_directory(data)
    identity = open_identity(acting, keystore, directory)

    async def work(connection: Connection) -> Any:
        return (await _add_photos(connection, identity, name, photos))[-1]

    added = _connected(directory, work)
    shown = {"name": name, "photos": [f"photos/{photo}" for photo in added.photos]}
    _print_one(as_json, shown, f"added {added.photo} to {name}, which has {len(added.photos)} now")


def _photos(paths: Sequence[Path]) -> list[tuple[Path, bytes]]:
    """What the files hold, before anything is sent. Raises Refused for what the marketplace would refuse."""
    from icn_client import marketplace

    if len(paths) > marketplace.PHOTOS_MAX:
        raise Refused(
            f"TOO_MANY_PHOTOS: {len(paths)} photos, at most {marketplace.PHOTOS_MAX}", "TOO_MANY_PHOTOS"
        )
    photos = [(path, read_file(path, marketplace.PHOTO_BYTES_MAX)) for path in paths]
    for path, content in photos:
        if not marketplace.is_photo(content):
            raise Refused(f"PHOTO_KIND_UNKNOWN: {path}: neither JPEG nor PNG nor WebP", "PHOTO_KIND_UNKNOWN")
    return photos


async def _add_photos(
    connection: Connection, identity: Identity, name: str, photos: list[tuple[Path, bytes]]
) -> list[Any]:
    """Add photos to a resource or an offer that is there. Raises Refused, saying what was made."""
    from icn_kit.errors import DomainError

    from icn_client import marketplace

    folder, what = name.partition("/")[0], marketplace.bare_id(name)
    added: list[Any] = []
    for path, content in photos:
        try:
            if folder == "resources":
                answer = await marketplace.add_photo(connection, identity, content, resource=what)
            else:
                answer = await marketplace.add_photo(connection, identity, content, offer=what)
        except DomainError as error:
            command = f"icn {folder.removesuffix('s')} photo"
            refusal = command_error(error)
            raise type(refusal)(
                f"{refusal}; {name} is there with {len(added)} of {len(photos)} photos, {path} is not among "
                f"them: add it with {command}",
                refusal.reason,
            ) from None
        added.append(answer)
    return added


# -- bookings


def book(
    resource: ResourceArgument,
    *,
    start: Annotated[
        str, typer.Option("--from", metavar="TIME", help="ISO 8601, whole minutes; UTC without an offset.")
    ],
    end: Annotated[str, typer.Option("--to", metavar="TIME", help="The same; not part of the booking.")],
    acting: AsOption,
    or_wait: Annotated[bool, typer.Option("--or-wait", help="If it is taken, wait for this time.")] = False,
    or_next: Annotated[
        bool, typer.Option("--or-next", help="If it is taken, book the next free slot as long.")
    ] = False,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Book a resource; when it is taken, be told the next free slot."""
    from icn.marketplace.v1 import service_pb2 as pb

    from icn_client import marketplace

    if or_wait and or_next:
        raise UsageError("--or-wait and --or-next exclude each other")
    if_taken = pb.IF_TAKEN_REFUSE
    if or_wait or or_next:
        if_taken = pb.IF_TAKEN_WAIT if or_wait else pb.IF_TAKEN_NEXT_SLOT
    request = pb.BookResource(
        resource=identifier(resource, "RESOURCE", "resources"),
        start_time_ms=_time_ms(start, "--from"),
        end_time_ms=_time_ms(end, "--to"),
        if_taken=if_taken,
    )
    directory = platform_directory(data)
    identity = open_identity(acting, keystore, directory)
    answer = _connected(directory, lambda connection: marketplace.write(connection, identity, request))
    shown = {**_booking(answer.booking), "replaced": [_booking(wait) for wait in answer.replaced]}
    if answer.booking.state == pb.BOOKING_STATE_WAITING:
        text = f"waiting, place {answer.booking.queue_place}: {answer.booking.name}"
        if answer.HasField("next_free_slot"):
            slot = answer.next_free_slot
            shown["next_free_slot"] = {
                "start": _show_time(slot.start_time_ms),
                "end": _show_time(slot.end_time_ms),
            }
            text += f"; next free: {_span(slot)}"
    else:
        text = f"booked {_span(answer.booking)}: {answer.booking.name}"
    for wait in answer.replaced:
        text += f"\nyou wait no longer for {_span(wait)}: {wait.name}"
    _print_one(as_json, shown, text)


@booking_group.command("list", epilog=_BOOKING_EXAMPLES)
def booking_list(
    *,
    resource: Annotated[str, typer.Option("--resource", metavar="RESOURCE", help="Only this one's.")] = "",
    acting: Annotated[str, typer.Option("--as", metavar="NAME", help="Only those of this identity.")] = "",
    everything: Annotated[bool, typer.Option("--all", help="Past and cancelled ones too.")] = False,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List bookings of a resource or of an identity, by start."""
    from icn.marketplace.v1 import service_pb2 as pb

    if not resource and not acting:
        raise UsageError("name a --resource or an identity with --as")
    directory = platform_directory(data)
    booker = ""
    if acting:
        booker = f"principals/{open_identity(acting, keystore, directory).principal.hex()}"
    request = pb.ListBookingsRequest(
        resource=_name(resource, "--resource", "resources"),
        booker=booker,
        from_time_ms=0 if everything else time.time_ns() // 1_000_000,
        include_cancelled=everything,
    )
    found = _listed(data, request, "bookings")
    if as_json:
        print_json_lines(_booking(booking) for booking in found)
    else:
        _print_bookings(found)


@booking_group.command("cancel", epilog=_BOOKING_EXAMPLES)
def booking_cancel(
    booking: BookingArgument,
    *,
    acting: AsOption,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give a booking, or a place in the queue, back."""
    from icn.marketplace.v1 import service_pb2 as pb

    request = pb.CancelBooking(booking=identifier(booking, "BOOKING", "bookings"))
    _change_booking(request, acting, keystore, data, as_json)


@booking_group.command("end", epilog=_BOOKING_EXAMPLES)
def booking_end(
    booking: BookingArgument,
    *,
    end: Annotated[str, typer.Option("--at", metavar="TIME", help="The new end, ISO 8601.")],
    acting: AsOption,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a booking earlier than booked."""
    from icn.marketplace.v1 import service_pb2 as pb

    request = pb.EndBooking(
        booking=identifier(booking, "BOOKING", "bookings"), end_time_ms=_time_ms(end, "--at")
    )
    _change_booking(request, acting, keystore, data, as_json)


def _change_booking(
    request: Any, acting: str, keystore: Path | None, data: Path | None, as_json: bool
) -> None:
    from icn_client import marketplace

    directory = platform_directory(data)
    identity = open_identity(acting, keystore, directory)
    answer = _connected(directory, lambda connection: marketplace.write(connection, identity, request))
    promoted = [_booking(one) for one in answer.promoted]
    text = f"{_booking(answer.booking)['state']}: {answer.booking.name}, {_span(answer.booking)}"
    for one in answer.promoted:
        text += f"\nbooked for who waited: {one.name}, {_span(one)}"
    _print_one(as_json, {**_booking(answer.booking), "promoted": promoted}, text)


# -- offers


@offer_group.command("publish", epilog=_OFFER_EXAMPLES)
def offer_publish(
    *,
    title: Annotated[str, typer.Option("--title", help="Shown to people.")],
    kind: Annotated[str, typer.Option("--kind", help="What it is, such as bread.")],
    quantity: Annotated[int, typer.Option("--quantity", min=1, max=10**9, help="How much in all.")],
    measure: Annotated[str, typer.Option("--measure", help="What --quantity counts: loaf, kg, h.")],
    price: Annotated[str, typer.Option("--price", help="Of one, in the unit of the account.")],
    account: Annotated[str, typer.Option("--account", metavar="ACCOUNT", help="Yours, to be paid.")],
    acting: AsOption,
    action: Annotated[
        str,
        typer.Option("--action", help="transfer, transferCustody, deliverService, work or use (ValueFlows)."),
    ] = "transfer",
    within: Annotated[
        str, typer.Option("--within", metavar="TIME", help="Time you need to deliver, such as 7d or 36h.")
    ] = "7d",
    note: Annotated[str, typer.Option("--note", help="For people.")] = "",
    expires: Annotated[
        str, typer.Option("--expires", metavar="TIME", help="Last moment to accept, ISO 8601.")
    ] = "",
    photo: Annotated[
        list[Path] | None,
        typer.Option("--photo", metavar="FILE", help="JPEG, PNG or WebP; up to eight.", readable=False),
    ] = None,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Offer something for credit."""
    from icn.marketplace.v1 import service_pb2 as pb

    from icn_client import marketplace

    if action not in marketplace.ACTIONS:
        raise UsageError(f"--action: {action!r} is none of {', '.join(marketplace.ACTIONS)}")
    paid = identifier(account, "--account", "accounts")
    photos = _photos(photo or ())
    directory = platform_directory(data)
    identity = open_identity(acting, keystore, directory)

    async def work(connection: Connection) -> tuple[Any, Any]:
        leaf = (await connection.account(paid)).leaf
        unit = await connection.unit(leaf.unit)
        request = pb.PublishOffer(
            action=marketplace.ACTIONS[action],
            title=title,
            note=note,
            specification=kind,
            quantity=quantity,
            measure=measure,
            price_minor=amount_minor(price, unit.scale, "--price"),
            account=paid,
            fulfil_within_ms=duration_ms(within, "--within"),
            expire_time_ms=_time_ms(expires, "--expires") if expires else 0,
        )
        published = (await marketplace.write(connection, identity, request)).offer
        await _add_photos(connection, identity, published.name, photos)
        found = await marketplace.read(connection, pb.GetOfferRequest(name=published.name))
        return found.offer, unit

    offer, unit = _connected(directory, work)
    price = f"{show_amount(offer.price_minor, unit.scale)} {unit.code}"
    text = f"offered {offer.quantity} {offer.measure} of {offer.title} at {price}: {offer.name}"
    _print_one(as_json, _offer(offer), text)


@offer_group.command("list", epilog=_OFFER_EXAMPLES)
def offer_list(
    *,
    provider: Annotated[str, typer.Option("--of", metavar="PRINCIPAL", help="Only this one's.")] = "",
    everything: Annotated[bool, typer.Option("--all", help="Closed and used up ones too.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List offers, newest first."""
    from icn.marketplace.v1 import service_pb2 as pb

    request = pb.ListOffersRequest(provider=_name(provider, "--of", "principals"), include_closed=everything)
    found, units = _listed_with_units(data, request, "offers")
    if as_json:
        print_json_lines(_offer(offer) for offer in found)
        return
    table(
        ("offer", "title", "left", "measure", "price of one"),
        [
            (
                offer.name,
                offer.title,
                str(offer.quantity_left),
                offer.measure,
                _amount(offer.price_minor, units[offer.unit]),
            )
            for offer in found
        ],
    )


@offer_group.command("photo", epilog=_OFFER_EXAMPLES)
def offer_photo(
    offer: OfferArgument,
    file: PhotoArgument,
    *,
    acting: AsOption,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a photo to an offer; JPEG, PNG or WebP, up to eight."""
    _photo(
        _name(offer, "OFFER", "offers"), file, acting=acting, keystore=keystore, data=data, as_json=as_json
    )


@offer_group.command("close", epilog=_OFFER_EXAMPLES)
def offer_close(
    offer: OfferArgument,
    acting: AsOption,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Close an offer of yours; agreements made stay."""
    from icn.marketplace.v1 import service_pb2 as pb

    from icn_client import marketplace

    request = pb.CloseOffer(offer=identifier(offer, "OFFER", "offers"))
    directory = platform_directory(data)
    identity = open_identity(acting, keystore, directory)
    answer = _connected(directory, lambda connection: marketplace.write(connection, identity, request))
    _print_one(as_json, _offer(answer.offer), f"closed: {answer.offer.name}")


@offer_group.command("accept", epilog=_OFFER_EXAMPLES)
def offer_accept(
    offer: OfferArgument,
    *,
    quantity: Annotated[int, typer.Argument(metavar="QUANTITY", min=1, max=10**9)],
    acting: AsOption,
    source: Annotated[
        str, typer.Option("--from", metavar="ACCOUNT", help="Account that pays; by default your only one.")
    ] = "",
    within: Annotated[
        str,
        typer.Option("--within", metavar="TIME", help="How long the agreement lasts; by default as offered."),
    ] = "",
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Accept part of an offer and hold its price on the ledger."""
    from icn.marketplace.v1 import service_pb2 as pb
    from icn_kit.errors import DomainError

    from icn_client import marketplace
    from icn_client.acting import TransactionRefused

    name = _name(offer, "OFFER", "offers")
    payer = identifier(source, "--from", "accounts") if source else b""
    lasting_ms = duration_ms(within, "--within") if within else 0
    directory = platform_directory(data)
    identity = open_identity(acting, keystore, directory)

    async def work(connection: Connection) -> Any:
        found = (await marketplace.read(connection, pb.GetOfferRequest(name=name))).offer
        paying = payer or await _own_account(connection, identity, marketplace.bare_id(found.unit))
        now_ms = time.time_ns() // 1_000_000
        request = pb.AcceptOffer(
            offer=marketplace.bare_id(found.name),
            quantity=quantity,
            price_minor=found.price_minor,
            expire_time_ms=now_ms + (lasting_ms or found.fulfil_within_ms + EXPIRY_SLACK_MS),
        )
        agreement = (await marketplace.write(connection, identity, request)).agreement
        say(f"icn: agreed: {agreement.name}")
        try:
            return await _pay(connection, identity, agreement, paying)
        except TransactionRefused as refusal:
            withdrawal = pb.WithdrawAgreement(agreement=marketplace.bare_id(agreement.name))
            try:
                await marketplace.write(connection, identity, withdrawal)
            except DomainError as error:
                due = _local(agreement.hold_due_time_ms)
                after = f"it could not be withdrawn ({error.reason}) and lapses {due} unless it is paid for"
            else:
                after = "it is withdrawn, you owe nothing"
            raise Refused(
                f"{refusal.reason}: the price of {agreement.name} could not be held: {refusal}; {after}",
                refusal.reason,
            ) from None

    _show_agreement(directory, work, as_json)


# -- agreements


@agreement_group.command("list", epilog=_AGREEMENT_EXAMPLES)
def agreement_list(
    *,
    acting: Annotated[str, typer.Option("--as", metavar="NAME", help="Only those of this identity.")] = "",
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List agreements, newest first."""
    from icn.marketplace.v1 import service_pb2 as pb

    directory = platform_directory(data)
    party = ""
    if acting:
        party = f"principals/{open_identity(acting, keystore, directory).principal.hex()}"
    found, units = _listed_with_units(data, pb.ListAgreementsRequest(party=party), "agreements")
    if as_json:
        print_json_lines(_agreement(agreement) for agreement in found)
        return
    rows = []
    for agreement in found:
        shown, unit = _agreement(agreement), units[agreement.unit]
        amount = _amount(agreement.amount_minor, unit)
        rows.append((agreement.name, agreement.title, shown["state"], shown["hold"], amount))
    table(("agreement", "title", "state", "hold", "amount"), rows)


@agreement_group.command("show", epilog=_AGREEMENT_EXAMPLES)
def agreement_show(
    agreement: AgreementArgument, data: DataOption = None, as_json: JsonOption = False
) -> None:
    """Show where an agreement stands."""
    from icn_client import marketplace

    wanted = identifier(agreement, "AGREEMENT", "agreements")
    _show_agreement(
        platform_directory(data),
        lambda connection: marketplace.get_agreement(connection, wanted),
        as_json,
    )


@agreement_group.command("pay", epilog=_AGREEMENT_EXAMPLES)
def agreement_pay(
    agreement: AgreementArgument,
    *,
    acting: AsOption,
    source: Annotated[
        str, typer.Option("--from", metavar="ACCOUNT", help="Account that pays; by default your only one.")
    ] = "",
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hold the price of an agreement, where `icn offer accept` was interrupted before it did."""
    from icn_client import marketplace

    wanted = identifier(agreement, "AGREEMENT", "agreements")
    payer = identifier(source, "--from", "accounts") if source else b""
    directory = platform_directory(data)
    identity = open_identity(acting, keystore, directory)

    async def work(connection: Connection) -> Any:
        found = await marketplace.get_agreement(connection, wanted)
        _check_open(found)
        paying = payer or await _own_account(connection, identity, marketplace.bare_id(found.unit))
        return await _pay(connection, identity, found, paying)

    _show_agreement(directory, work, as_json)


@agreement_group.command("deliver", epilog=_AGREEMENT_EXAMPLES)
def agreement_deliver(
    agreement: AgreementArgument,
    acting: AsOption,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say that you have delivered."""
    from icn.marketplace.v1 import service_pb2 as pb

    request = pb.ReportDelivery(agreement=identifier(agreement, "AGREEMENT", "agreements"))
    _say(request, acting, keystore, data, as_json)


@agreement_group.command("confirm", epilog=_AGREEMENT_EXAMPLES)
def agreement_confirm(
    agreement: AgreementArgument,
    acting: AsOption,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say that you have received."""
    from icn.marketplace.v1 import service_pb2 as pb

    request = pb.ConfirmDelivery(agreement=identifier(agreement, "AGREEMENT", "agreements"))
    _say(request, acting, keystore, data, as_json)


@agreement_group.command("settle", epilog=_AGREEMENT_EXAMPLES)
def agreement_settle(
    agreement: AgreementArgument,
    acting: AsOption,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take the credit that is held for you."""
    from icn.marketplace.v1 import service_pb2 as pb

    from icn_client import marketplace
    from icn_client.acting import TransactionRefused

    wanted = identifier(agreement, "AGREEMENT", "agreements")
    directory = platform_directory(data)
    identity = open_identity(acting, keystore, directory)

    async def work(connection: Connection) -> Any:
        found = await _until(connection, wanted, _is_paid_or_over, HOLD_SEEN_SECONDS)
        _check_open(found)
        _check_held(found)
        try:
            await perform_as(connection, identity, [marketplace.capture_payment(found)])
        except TransactionRefused as refusal:
            if refusal.reason != "HOLD_UNKNOWN":
                raise
            raise Refused(
                f"HOLD_UNKNOWN: the hold has ended on the ledger, at the latest when the agreement's time "
                f"was up, {_local(found.expire_time_ms)}",
                refusal.reason,
            ) from None
        return await _until(connection, wanted, lambda shown: shown.hold == pb.HOLD_STATE_CAPTURED)

    _show_agreement(directory, work, as_json)


@agreement_group.command("withdraw", epilog=_AGREEMENT_EXAMPLES)
def agreement_withdraw(
    agreement: AgreementArgument,
    acting: AsOption,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """End an agreement that no credit is held for."""
    from icn.marketplace.v1 import service_pb2 as pb

    request = pb.WithdrawAgreement(agreement=identifier(agreement, "AGREEMENT", "agreements"))
    _say(request, acting, keystore, data, as_json)


@agreement_group.command("release", epilog=_AGREEMENT_EXAMPLES)
def agreement_release(
    agreement: AgreementArgument,
    acting: AsOption,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give the credit that is held for you back, because you do not deliver or ask for nothing."""
    from icn.marketplace.v1 import service_pb2 as pb

    from icn_client import marketplace

    wanted = identifier(agreement, "AGREEMENT", "agreements")
    directory = platform_directory(data)
    identity = open_identity(acting, keystore, directory)

    async def work(connection: Connection) -> Any:
        found = await _until(connection, wanted, _is_paid_or_over, HOLD_SEEN_SECONDS)
        _check_held(found)
        await perform_as(connection, identity, [marketplace.release_payment(found)])
        return await _until(
            connection,
            wanted,
            lambda shown: shown.state != pb.AGREEMENT_STATE_OPEN and shown.hold == pb.HOLD_STATE_RELEASED,
        )

    _show_agreement(directory, work, as_json)


@agreement_group.command("return", epilog=_AGREEMENT_EXAMPLES)
def agreement_return(
    agreement: AgreementArgument,
    acting: AsOption,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Transfer back what you owe because a payment came late or nothing was delivered."""
    from icn.marketplace.v1 import service_pb2 as pb

    from icn_client import marketplace, transactions

    wanted = identifier(agreement, "AGREEMENT", "agreements")
    directory = platform_directory(data)
    identity = open_identity(acting, keystore, directory)

    async def work(connection: Connection) -> Any:
        found = await marketplace.get_agreement(connection, wanted)
        if not found.return_owed_minor:
            raise Refused("NOTHING_OWED: no return is owed in this agreement", "NOTHING_OWED")
        message = transactions.transfer(
            marketplace.bare_id(found.account),
            marketplace.bare_id(found.payer_account),
            found.return_owed_minor,
        )
        outcome, _ = await perform_as(connection, identity, [message])
        reported = pb.ReportReturn(agreement=wanted, transaction_id=outcome.signed.transaction_id)
        return (await marketplace.write(connection, identity, reported)).agreement

    _show_agreement(directory, work, as_json)


def _say(request: Any, acting: str, keystore: Path | None, data: Path | None, as_json: bool) -> None:
    from icn_client import marketplace

    directory = platform_directory(data)
    identity = open_identity(acting, keystore, directory)

    async def work(connection: Connection) -> Any:
        return (await marketplace.write(connection, identity, request)).agreement

    _show_agreement(directory, work, as_json)


def _is_paid_or_over(agreement: Any) -> bool:
    from icn.marketplace.v1 import service_pb2 as pb

    return bool(agreement.state != pb.AGREEMENT_STATE_OPEN or agreement.hold != pb.HOLD_STATE_ABSENT)


def _check_open(agreement: Any) -> None:
    """Refuse to move credit for an agreement that has ended. Raises Refused."""
    from icn.marketplace.v1 import service_pb2 as pb

    if agreement.state != pb.AGREEMENT_STATE_OPEN:
        state, ended = _agreement(agreement)["state"], _local(agreement.end_time_ms)
        raise Refused(f"AGREEMENT_ENDED: the agreement is {state} since {ended}", "AGREEMENT_ENDED")


def _check_held(agreement: Any) -> None:
    """Refuse to take or give back what is not held. Raises Refused."""
    from icn.marketplace.v1 import service_pb2 as pb

    if agreement.hold == pb.HOLD_STATE_HELD:
        return
    said = {
        pb.HOLD_STATE_ABSENT: "no credit is held yet; the receiver may hold it until "
        f"{_local(agreement.hold_due_time_ms)}",
        pb.HOLD_STATE_CAPTURED: "the credit has been taken",
        pb.HOLD_STATE_RELEASED: "the credit was given back, or never held",
    }[agreement.hold]
    reason = f"HOLD_{_agreement(agreement)['hold'].upper()}"
    raise Refused(f"{reason}: {said}", reason)


async def _pay(connection: Connection, identity: Identity, agreement: Any, source: bytes) -> Any:
    """Place the hold and give the agreement once the marketplace has seen it."""
    from icn.marketplace.v1 import service_pb2 as pb

    from icn_client import marketplace

    await perform_as(connection, identity, [marketplace.place_payment(agreement, source)])
    seen = (pb.HOLD_STATE_HELD, pb.HOLD_STATE_CAPTURED)
    return await _until(connection, marketplace.bare_id(agreement.name), lambda shown: shown.hold in seen)


async def _until(
    connection: Connection,
    agreement: bytes,
    is_so: Callable[[Any], bool],
    seconds: float = SEEN_SECONDS,
) -> Any:
    """The agreement once it is so, or as it is after that time."""
    import asyncio

    from icn_client import marketplace

    deadline = time.monotonic() + seconds
    while True:
        found = await marketplace.get_agreement(connection, agreement)
        if is_so(found) or time.monotonic() > deadline:
            return found
        await asyncio.sleep(SEEN_POLL_SECONDS)


async def _own_account(connection: Connection, identity: Identity, unit: bytes) -> bytes:
    found = [
        account.leaf.account
        async for account in connection.accounts(identity.principal)
        if account.leaf.unit == unit
    ]
    if len(found) != 1:
        raise UsageError(f"--from: the identity has {len(found)} accounts in the unit, name one")
    return bytes(found[0])


# -- what is shown


def _connected(directory: Path, work: Callable[[Connection], Awaitable[T]]) -> T:
    """As `with_connection`, with the times in what was refused by this machine's clock."""
    try:
        return with_connection(directory, work)
    except CommandError as error:
        text = _UTC_TIME.sub(lambda found: _local(_time_ms(found[0], "")), str(error))
        raise type(error)(text, error.reason) from None


def _listed(data: Path | None, request: Any, field: str) -> list[Any]:
    from icn_client import marketplace

    async def work(connection: Connection) -> list[Any]:
        return [item async for item in marketplace.read_all(connection, request, field)]

    return _connected(platform_directory(data), work)


def _listed_with_units(data: Path | None, request: Any, field: str) -> tuple[list[Any], dict[str, Any]]:
    from icn_client import marketplace

    async def work(connection: Connection) -> tuple[list[Any], dict[str, Any]]:
        found = [item async for item in marketplace.read_all(connection, request, field)]
        return found, await _units(connection, found)

    return _connected(platform_directory(data), work)


async def _units(connection: Connection, priced: Iterable[Any]) -> dict[str, Any]:
    """The units that offers or agreements are priced in, by their names."""
    from icn_client import marketplace

    names = {item.unit for item in priced}
    return {name: await connection.unit(marketplace.bare_id(name)) for name in sorted(names)}


def _print_one(as_json: bool, shown: dict[str, Any], text: str) -> None:
    if as_json:
        print_json(shown)
    else:
        print_text(text)


def _print_bookings(bookings: list[Any]) -> None:
    rows = []
    for booking in bookings:
        shown = _booking(booking)
        span = (_local(booking.start_time_ms), _local(booking.end_time_ms))
        rows.append((*span, shown["state"], booking.name, booking.booker))
    table(("start", "end", "state", "booking", "booker"), rows)


def _show_agreement(directory: Path, work: Callable[[Connection], Any], as_json: bool) -> None:
    """Do the work and show the agreement that it gives."""
    from icn.marketplace.v1 import service_pb2 as pb

    async def with_unit(connection: Connection) -> tuple[Any, Any]:
        found = await work(connection)
        return found, (await _units(connection, [found]))[found.unit]

    agreement, unit = _connected(directory, with_unit)
    shown = _agreement(agreement)
    if as_json:
        print_json(shown)
        return
    print_text(f"{agreement.name}: {agreement.quantity} of {agreement.title}, {shown['state']}")
    for commitment in shown["commitments"]:
        print_text(f"  {commitment['action']} by {commitment['provider']}: {commitment['state']}")
    amount = _amount(agreement.amount_minor, unit)
    print_text(f"  hold of {amount} until {_local(agreement.expire_time_ms)}: {shown['hold']}")
    if _is_paid_or_over(agreement):
        if agreement.return_owed_minor:
            owed = _amount(agreement.return_owed_minor, unit)
            print_text(f"  the provider owes {owed} back: icn agreement return")
    elif agreement.commitments[0].state != pb.COMMITMENT_STATE_FULFILLED:
        print_text(f"  lapses unless it is held by {_local(agreement.hold_due_time_ms)}: icn agreement pay")


def _resource(resource: Any) -> dict[str, Any]:
    rules = resource.rules
    return {
        "name": resource.name,
        "owner": resource.owner,
        "added_by": resource.added_by,
        "title": resource.title,
        "note": resource.note,
        "kind": resource.specification,
        "audience": f"principals/{rules.audience.hex()}" if rules.audience else None,
        "open_minute": rules.open_minute,
        "close_minute": rules.close_minute,
        "utc_offset_minutes": rules.utc_offset_minutes,
        "minutes_min": rules.minutes_min,
        "minutes_max": rules.minutes_max,
        "ahead_days_max": rules.ahead_days_max,
        "photos": [f"photos/{photo}" for photo in resource.photos],
        "added": _show_time(resource.add_time_ms),
        "removed": _show_time(resource.remove_time_ms) if resource.remove_time_ms else None,
    }


def _booking(booking: Any) -> dict[str, Any]:
    from icn.marketplace.v1 import service_pb2 as pb

    return {
        "name": booking.name,
        "resource": booking.resource,
        "booker": booking.booker,
        "start": _show_time(booking.start_time_ms),
        "end": _show_time(booking.end_time_ms),
        "state": _word(pb.BookingState, "BOOKING_STATE_", booking.state),
        "queue_place": booking.queue_place,
        "is_promoted": booking.is_promoted,
    }


def _offer(offer: Any) -> dict[str, Any]:
    from icn_client import marketplace

    actions = {number: word for word, number in marketplace.ACTIONS.items()}
    return {
        "name": offer.name,
        "provider": offer.provider,
        "action": actions.get(offer.action),
        "title": offer.title,
        "note": offer.note,
        "kind": offer.specification,
        "quantity": str(offer.quantity),
        "quantity_left": str(offer.quantity_left),
        "measure": offer.measure,
        "price_minor": str(offer.price_minor),
        "unit": offer.unit,
        "account": offer.account,
        "fulfil_within_ms": str(offer.fulfil_within_ms),
        "expires": _show_time(offer.expire_time_ms) if offer.expire_time_ms else None,
        "is_open": offer.is_open,
        "photos": [f"photos/{photo}" for photo in offer.photos],
    }


def _agreement(agreement: Any) -> dict[str, Any]:
    from icn.marketplace.v1 import service_pb2 as pb

    return {
        "name": agreement.name,
        "offer": agreement.offer,
        "title": agreement.title,
        "payer_account": agreement.payer_account or None,
        "provider": agreement.provider,
        "receiver": agreement.receiver,
        "quantity": str(agreement.quantity),
        "amount_minor": str(agreement.amount_minor),
        "unit": agreement.unit,
        "account": agreement.account,
        "state": _word(pb.AgreementState, "AGREEMENT_STATE_", agreement.state),
        "hold": _word(pb.HoldState, "HOLD_STATE_", agreement.hold),
        "commitments": [
            {
                "name": commitment.name,
                "action": commitment.action,
                "provider": commitment.provider,
                "receiver": commitment.receiver,
                "state": _word(pb.CommitmentState, "COMMITMENT_STATE_", commitment.state),
            }
            for commitment in agreement.commitments
        ],
        "return_owed_minor": str(agreement.return_owed_minor),
        "hold_due": _show_time(agreement.hold_due_time_ms),
        "expires": _show_time(agreement.expire_time_ms),
        "ended": _show_time(agreement.end_time_ms) if agreement.end_time_ms else None,
    }


def _word(enumeration: Any, prefix: str, number: int) -> str:
    return str(enumeration.Name(number)).removeprefix(prefix).lower()


def _span(spanned: Any) -> str:
    return f"{_local(spanned.start_time_ms)} to {_local(spanned.end_time_ms)}"


def _amount(minor: int, unit: Any) -> str:
    """An amount with its unit's code."""
    return f"{show_amount(minor, unit.scale)} {unit.code}"


def _local(time_ms: int) -> str:
    """A time by this machine's clock, ISO 8601."""
    shown = datetime.fromtimestamp(time_ms // 1_000, UTC).astimezone()
    return shown.isoformat(timespec="seconds" if time_ms % MINUTE_MS else "minutes")


def _show_time(time_ms: int) -> str:
    shown = _EPOCH + timedelta(milliseconds=time_ms)
    return shown.strftime("%Y-%m-%dT%H:%MZ" if time_ms % MINUTE_MS == 0 else "%Y-%m-%dT%H:%M:%SZ")


# -- what is read


def _name(text: str, what: str, folder: str) -> str:
    """A resource name from an id with or without its folder; empty stays empty."""
    return f"{folder}/{identifier(text, what, folder).hex()}" if text else ""


def _time_ms(text: str, what: str) -> int:
    """Unix milliseconds of an ISO 8601 time; without an offset it is of UTC. Raises UsageError."""
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{what}: {text[:40]!r} is not a time such as YYYY-MM-DDT08:00Z") from None
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=UTC)
    time_ms = (parsed - _EPOCH) // timedelta(milliseconds=1)
    if time_ms < 0:
        raise UsageError(f"{what}: {text!r} is before 1970")
    return time_ms


def _minutes(text: str, what: str) -> int:
    """Whole minutes of a duration such as 4h. Raises UsageError."""
    length_ms = duration_ms(text, what)
    if length_ms % MINUTE_MS:
        raise UsageError(f"{what}: {text!r} is no whole number of minutes")
    return length_ms // MINUTE_MS


def _opening(text: str) -> tuple[int, int]:
    """Minutes of the day of ``HH:MM-HH:MM``. Raises UsageError."""
    matched = _HOURS.fullmatch(text)
    if matched is None:
        raise UsageError(f"--hours: {text[:40]!r} is not of the form 08:00-18:00")
    open_hour, open_minute, close_hour, close_minute = map(int, matched.groups())
    opening, closing = 60 * open_hour + open_minute, 60 * close_hour + close_minute
    if not opening < closing <= 1_440:
        raise UsageError(f"--hours: {text!r} does not end after it begins, at 24:00 at the latest")
    return opening, closing


def _offset_minutes(text: str) -> int:
    """Minutes of ``±HH:MM``. Raises UsageError."""
    matched = _OFFSET.fullmatch(text)
    if matched is None:
        raise UsageError(f"--utc-offset: {text[:40]!r} is not of the form +01:00")
    sign, hours, minutes = matched.groups()
    total = 60 * int(hours) + int(minutes)
    return -total if sign == "-" else total
