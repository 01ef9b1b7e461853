"""Messages of mutual credit beyond the plain transfer, for tests. The defaults are those of the proto."""

from __future__ import annotations

from typing import Any

from icn.ledger.v1 import transaction_pb2 as pb

DAY_MS = 86_400_000


def legs(*moved: tuple[bytes, bytes, int]) -> pb.Message:
    return pb.Message(
        transfer_legs=pb.TransferLegs(
            legs=[
                pb.Transfer(source=source, destination=destination, amount_minor=amount_minor)
                for source, destination, amount_minor in moved
            ]
        )
    )


def open_with(account: bytes, unit: bytes, **fields: Any) -> pb.Message:
    return pb.Message(open_account=pb.OpenAccount(account=account, unit=unit, **fields))


def open_bringing(account: bytes, unit: bytes, opening_minor: int) -> pb.Message:
    return open_with(account, unit, is_opening=True, opening_minor=opening_minor)


def offer_exchange(
    hold: bytes, give: tuple[bytes, int], take: tuple[bytes, int], expire_time_ms: int, taker: bytes = b""
) -> pb.Message:
    return pb.Message(
        offer_exchange=pb.OfferExchange(
            hold=hold,
            give_account=give[0],
            give_minor=give[1],
            take_account=take[0],
            take_minor=take[1],
            taker=taker,
            expire_time_ms=expire_time_ms,
        )
    )


def take_exchange(hold: bytes, pay: tuple[bytes, bytes, int], get: tuple[bytes, bytes, int]) -> pb.Message:
    """``pay`` and ``get``: source, destination and amount of what is paid at most, and of what is taken."""
    return pb.Message(
        take_exchange=pb.TakeExchange(
            hold=hold,
            source=pay[0],
            take_account=pay[1],
            pay_minor=pay[2],
            give_account=get[0],
            destination=get[1],
            give_minor=get[2],
        )
    )


def void_exchange(hold: bytes) -> pb.Message:
    return pb.Message(void_exchange=pb.VoidExchange(hold=hold))


def order_transfers(
    order: bytes, source: bytes, destination: bytes, amount_minor: int, first_time_ms: int, **fields: Any
) -> pb.Message:
    return pb.Message(
        order_transfers=pb.OrderTransfers(
            order=order,
            source=source,
            destination=destination,
            amount_minor=amount_minor,
            first_time_ms=first_time_ms,
            **{"times": 1, **fields},
        )
    )


def cancel_order(order: bytes) -> pb.Message:
    return pb.Message(cancel_order=pb.CancelOrder(order=order))


def release_order(order: bytes, source: bytes, destination: bytes, amount_minor: int) -> pb.Message:
    return pb.Message(
        release_order=pb.ReleaseOrder(
            order=order, source=source, destination=destination, amount_minor=amount_minor
        )
    )


def policy_of(unit: bytes, **policy: Any) -> pb.SetUnitPolicy:
    return pb.SetUnitPolicy(unit=unit, policy=pb.UnitPolicy(**policy))


def set_unit_policy(unit: bytes, **policy: Any) -> pb.Message:
    return pb.Message(set_unit_policy=policy_of(unit, **policy))


def freeze_account(account: bytes, until_time_ms: int) -> pb.Message:
    return pb.Message(freeze_account=pb.FreezeAccount(account=account, until_time_ms=until_time_ms))


def pledge_account(account: bytes, amount_minor: int) -> pb.Message:
    return pb.Message(pledge_account=pb.PledgeAccount(account=account, amount_minor=amount_minor))


def write_off(account: bytes, amount_minor: int, memo_hash: bytes = b"") -> pb.Message:
    return pb.Message(write_off=pb.WriteOff(account=account, amount_minor=amount_minor, memo_hash=memo_hash))


def close_account(account: bytes, remainder_to: bytes = b"") -> pb.Message:
    return pb.Message(close_account=pb.CloseAccount(account=account, remainder_to=remainder_to))


def confirm_openings(unit: bytes, *accounts: bytes) -> pb.Message:
    return pb.Message(confirm_openings=pb.ConfirmOpenings(unit=unit, accounts=sorted(accounts)))


def close_period(unit: bytes, end_time_ms: int, digest: bytes = bytes(32)) -> pb.Message:
    return pb.Message(close_period=pb.ClosePeriod(unit=unit, end_time_ms=end_time_ms, digest=digest))


def charge_demurrage(*accounts: bytes) -> pb.Message:
    return pb.Message(charge_demurrage=pb.ChargeDemurrage(accounts=sorted(accounts)))
