"""A naive ledger of mutual credit in plain dictionaries, written from the specification alone.

It decides every reason, figure, posting and number of docs/spec/ledger.md and shares no code with the
machine: an oracle for `test_credit_model`. A message is its kind and its fields by name, ids as bytes.
"""

from __future__ import annotations

import pickle
from calendar import monthrange
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

DAY_MS = 86_400_000
TOP = 2**62
NO_ID = b""
DEFAULT_POLICY = {
    "growth_ppm": 0,
    "growth_max_minor": 0,
    "counterparty_max_minor": 0,
    "soft_ppm": 0,
    "fee_fixed_minor": 0,
    "fee_ppm": 0,
    "fee_max_minor": 0,
    "demurrage_ppm": 0,
    "demurrage_days": 0,
    "demurrage_free_minor": 0,
    "fund": NO_ID,
    "freezer": NO_ID,
}
LEAVES_OF = {
    "open_account": 2,
    "place_hold": 1,
    "offer_exchange": 1,
    "order_transfers": 1,
    "set_unit_policy": 1,
    "close_period": 1,
}
"""How many leaves a message may make."""
MESSAGE_KINDS = (
    "open_account",
    "set_floor",
    "transfer",
    "place_hold",
    "capture_hold",
    "void_hold",
    "transfer_legs",
    "offer_exchange",
    "take_exchange",
    "void_exchange",
    "order_transfers",
    "cancel_order",
    "release_order",
    "set_unit_policy",
    "freeze_account",
    "pledge_account",
    "write_off",
    "close_account",
    "confirm_openings",
    "close_period",
    "charge_demurrage",
)
TRANSFER, CAPTURE, STANDING, EXCHANGE, FEE, DEMURRAGE, WRITE_OFF, OPENING = range(1, 9)


class Refusal(Exception):
    """Reason and figures, by name, in order."""

    def __init__(self, reason: str, **figures: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.figures = list(figures.items())


def ceil_div(numerator: int, denominator: int) -> int:
    return -(-numerator // denominator)


def time_of(order: dict[str, Any], k: int) -> int:
    """The k-th time of an order, from 0."""
    if order["every_days"]:
        return order["first_time_ms"] + k * order["every_days"] * DAY_MS
    first = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=order["first_time_ms"])
    years, month = divmod(first.month - 1 + k * order["every_months"], 12)
    year, month = first.year + years, month + 1
    moved = first.replace(day=1).replace(year=year, month=month)
    moved = moved.replace(day=min(first.day, monthrange(year, month)[1]))
    return order["first_time_ms"] + (moved - first) // timedelta(milliseconds=1)


@dataclass
class Block:
    """What a block is expected to do beside the state it leaves."""

    height: int
    time_ms: int
    epoch: int
    postings: list[tuple[Any, ...]] = field(default_factory=list)
    """Transaction index (−1: none), kind, source, destination, amount, balances, memo, reference, hold."""
    soft: list[tuple[Any, ...]] = field(default_factory=list)
    """Account, balance, held, limit, soft limit."""
    floors: list[tuple[Any, ...]] = field(default_factory=list)
    """Account, before, after."""
    missed: list[tuple[Any, ...]] = field(default_factory=list)
    """Order, reason, figures."""
    ended: list[bytes] = field(default_factory=list)
    """Orders."""
    released: list[bytes] = field(default_factory=list)
    """Holds."""
    policies: list[tuple[Any, ...]] = field(default_factory=list)
    """Unit, policy before or None, policy."""


class Model:
    """The ledger after some blocks."""

    def __init__(self, genesis_hash: bytes, authorities: dict[bytes, bytes], floor: int) -> None:
        """``authorities``: of each unit, principals; all units have the same default floor."""
        self.genesis_hash = genesis_hash
        self.authorities = authorities
        self.default_floor = floor
        self.principals: set[bytes] = set()
        self.allowances: dict[bytes, dict[str, int]] = {}
        """By payer: limit of leaves; leaves; epoch; bytes and signatures used in it."""
        self.accounts: dict[bytes, dict[str, Any]] = {}
        self.lines: dict[tuple[bytes, bytes], dict[str, Any]] = {}
        self.trades: dict[tuple[bytes, bytes, bytes], dict[str, Any]] = {}
        self.holds: dict[bytes, dict[str, Any]] = {}
        self.orders: dict[bytes, dict[str, Any]] = {}
        self.policies: dict[bytes, dict[str, Any]] = {}
        """By unit, with set_time_ms."""
        self.periods: dict[bytes, tuple[Any, ...]] = {}
        self.in_force: dict[bytes, dict[str, Any]] = {}
        """Policies that the state before the block has."""
        self.block = Block(0, 0, 0)

    def copy(self) -> Model:
        copied: Model = pickle.loads(pickle.dumps(self))  # our own, and much faster than deepcopy
        return copied

    def restore(self, before: Model) -> None:
        self.__dict__.update(before.__dict__)

    # Words

    def held(self, account: bytes) -> int:
        return sum(hold["remaining"] for hold in self.holds.values() if hold["source"] == account)

    def is_main(self, account: bytes) -> bool:
        one = self.accounts[account]
        return self.lines[one["unit"], one["owner"]]["main"] == account

    def rules(self, account: bytes) -> dict[str, Any]:
        return self.in_force.get(
            self.accounts[account]["unit"], {**DEFAULT_POLICY, "set_time_ms": 0, "demurrage_set_time_ms": 0}
        )

    def limit(self, account: bytes) -> int:
        one, rules = self.accounts[account], self.rules(account)
        if one["has_own_floor"] or not self.is_main(account):
            return one["floor"]
        line = self.lines[one["unit"], one["owner"]]
        growth = 0
        if rules["growth_ppm"]:
            cleared = min(line["earned"], line["spent"])
            growth = min(rules["growth_max_minor"], rules["growth_ppm"] * cleared // 1_000_000)
        return max(-TOP, one["floor"] - growth)

    def free(self, account: bytes) -> int:
        """balance − held."""
        return self.accounts[account]["balance"] - self.held(account)

    def bonds(self, account: bytes) -> int:
        return (
            sum(order["source"] == account for order in self.orders.values())
            + sum(one["parent"] == account and not one["is_closed"] for one in self.accounts.values())
            + sum(policy["fund"] == account for policy in self.policies.values())
        )

    def occupy(self, payer: bytes, leaves: int) -> None:
        if payer:
            self.allowances[payer]["leaves"] += leaves

    def charge(self, payer: bytes, **used: int) -> None:
        allowance = self.allowances[payer]
        if allowance["epoch"] != self.block.epoch:
            allowance.update(epoch=self.block.epoch, bytes=0, signatures=0)
        for name, more in used.items():
            allowance[name] += more

    def bytes_used(self, payer: bytes) -> int:
        allowance = self.allowances[payer]
        return allowance["bytes"] if allowance["epoch"] == self.block.epoch else 0

    # Postings

    def post(
        self,
        kind: int,
        source: bytes,
        destination: bytes,
        amount: int,
        *,
        index: int,
        memo: bytes = b"",
        reference: bytes = b"",
        hold: bytes = b"",
    ) -> None:
        debited, credited = self.accounts[source], self.accounts[destination]
        for balance, asked in ((debited["balance"], -amount), (credited["balance"], amount)):
            if abs(balance + asked) > TOP:
                raise Refusal("BALANCE_OUT_OF_RANGE", balance_minor=balance, amount_minor=amount)
        assert debited["unit"] == credited["unit"] and source != destination and amount > 0
        debited["balance"] -= amount
        credited["balance"] += amount
        debited["given"] = min(TOP, debited["given"] + amount)
        debited["entries"] += 1
        credited["entries"] += 1
        self.block.postings.append(
            (
                index,
                kind,
                source,
                destination,
                amount,
                debited["balance"],
                credited["balance"],
                memo,
                reference,
                hold,
            )
        )

    def pay(
        self,
        kind: int,
        source: bytes,
        destination: bytes,
        amount: int,
        *,
        payer: bytes,
        index: int,
        **told: bytes,
    ) -> None:
        """A posting of kinds 1 to 4; its trade; its fee."""
        self.post(kind, source, destination, amount, index=index, **told)
        self.count_trade(source, destination, amount, payer)
        rules = self.rules(destination)
        fund = rules["fund"]
        if not fund or fund in (source, destination) or self.accounts[fund]["is_closed"]:
            return
        fee = min(amount // 2, rules["fee_fixed_minor"] + ceil_div(amount * rules["fee_ppm"], 1_000_000))
        if rules["fee_max_minor"]:
            fee = min(fee, rules["fee_max_minor"])
        fee = min(fee, TOP - self.accounts[fund]["balance"])
        if fee:
            self.post(FEE, destination, fund, fee, index=index)

    def count_trade(self, source: bytes, destination: bytes, amount: int, payer: bytes) -> None:
        rules = self.rules(source)
        unit, payer_owner = self.accounts[source]["unit"], self.accounts[source]["owner"]
        other = self.accounts[destination]["owner"]
        if not rules["growth_ppm"] or payer_owner == other:
            return
        key = (unit, *sorted((payer_owner, other)))
        if key not in self.trades:
            allowance = self.allowances[payer]
            if allowance["leaves"] >= allowance["leaves_max"]:
                return
            self.trades[key] = {payer_owner: 0, other: 0, "payer": payer}
            self.occupy(payer, 1)
        so_far = self.trades[key]
        counted = max(0, min(amount, rules["counterparty_max_minor"] - so_far[payer_owner]))
        so_far[payer_owner] += counted
        for owner, way in ((payer_owner, "spent"), (other, "earned")):
            line = self.lines[unit, owner]
            line[way] = min(TOP, line[way] + counted)

    def take_demurrage(self, account: bytes, index: int) -> None:
        one, rules, now = self.accounts[account], self.rules(account), self.block.time_ms
        fund = rules["fund"]
        if not rules["demurrage_ppm"] or account == fund or self.accounts[fund]["is_closed"]:
            return
        if one["is_closed"] or one["is_opening"]:
            return
        between = rules["demurrage_days"] * DAY_MS
        edges_passed = (now - rules["demurrage_set_time_ms"]) // between
        edges_taken = max(0, (one["demurrage_until"] - rules["demurrage_set_time_ms"]) // between)
        n = edges_passed - edges_taken
        if n <= 0:
            return
        free = rules["demurrage_free_minor"] if self.is_main(account) else 0
        base = max(0, one["balance"] - free)
        taken = min(base, base * rules["demurrage_ppm"] * min(n, 2**20) // 1_000_000)
        taken = min(taken, TOP - self.accounts[fund]["balance"])
        if taken:
            self.post(DEMURRAGE, account, fund, taken, index=index)
        one["demurrage_until"] = now

    # Debit rules

    def known(self, *accounts: bytes) -> None:
        if any(account not in self.accounts for account in accounts):
            raise Refusal("ACCOUNT_UNKNOWN")

    def owned(self, actor: bytes, *accounts: bytes) -> None:
        if any(self.accounts[account]["owner"] != actor for account in accounts):
            raise Refusal("NOT_ACCOUNT_OWNER")

    def open(self, *accounts: bytes) -> None:
        if any(self.accounts[account]["is_closed"] for account in accounts):
            raise Refusal("ACCOUNT_CLOSED")
        if any(self.accounts[account]["is_opening"] for account in accounts):
            raise Refusal("OPENING_PENDING")

    def sides(self, actor: bytes, source: bytes, destination: bytes) -> None:
        self.known(source, destination)
        self.owned(actor, source)
        if self.accounts[source]["unit"] != self.accounts[destination]["unit"]:
            raise Refusal("UNIT_MISMATCH")
        self.open(source, destination)

    def not_frozen(self, account: bytes) -> None:
        until, now = self.accounts[account]["frozen_until"], self.block.time_ms
        if now < until:
            raise Refusal("ACCOUNT_FROZEN", frozen_until_ms=until, block_time_ms=now)

    def within_limit(self, account: bytes, amount: int) -> None:
        limit = self.limit(account)
        if self.free(account) - amount < limit:
            raise Refusal(
                "CREDIT_LIMIT_EXCEEDED",
                balance_minor=self.accounts[account]["balance"],
                held_minor=self.held(account),
                amount_minor=amount,
                floor_minor=limit,
            )

    def room(self, account: bytes, amount: int) -> None:
        balance = self.accounts[account]["balance"]
        if balance + amount > TOP:
            raise Refusal("BALANCE_OUT_OF_RANGE", balance_minor=balance, amount_minor=amount)

    def tell_soft(self, account: bytes, limit: int, free_before: int) -> None:
        """After a debit or the placing of a hold."""
        soft_ppm = self.rules(account)["soft_ppm"]
        soft = ceil_div(limit * soft_ppm, 1_000_000)
        if soft_ppm and free_before >= soft > self.free(account):
            self.block.soft.append(
                (account, self.accounts[account]["balance"], self.held(account), limit, soft)
            )

    def voluntary(
        self,
        kind: int,
        actor: bytes,
        source: bytes,
        destination: bytes,
        amount: int,
        *,
        payer: bytes,
        **told: Any,
    ) -> None:
        """All debit rules, then the posting with what follows it."""
        self.sides(actor, source, destination)
        self.not_frozen(source)
        self.take_demurrage(source, told["index"])
        self.take_demurrage(destination, told["index"])
        self.within_limit(source, amount)
        self.room(destination, amount)
        limit, before = self.limit(source), self.free(source)
        self.pay(kind, source, destination, amount, payer=payer, **told)
        self.tell_soft(source, limit, before)

    def reserve(self, name: bytes, hold: dict[str, Any]) -> None:
        """A hold that all rules allow."""
        source = hold["source"]
        limit, before = self.limit(source), self.free(source)
        self.holds[name] = hold
        self.occupy(hold["payer"], 1)
        self.tell_soft(source, limit, before)

    def holdable(self, source: bytes, amount: int) -> None:
        self.within_limit(source, amount)
        if self.held(source) + amount > TOP:
            raise Refusal("BALANCE_OUT_OF_RANGE", held_minor=self.held(source), amount_minor=amount)

    def expiry_in_range(self, name: bytes, expire_time_ms: int) -> None:
        if name in self.holds:
            raise Refusal("HOLD_EXISTS")
        now = self.block.time_ms
        if not now < expire_time_ms <= now + 366 * DAY_MS:
            raise Refusal("HOLD_EXPIRY_OUT_OF_RANGE", expire_time_ms=expire_time_ms, block_time_ms=now)

    def take_from_hold(self, name: bytes, amount: int) -> None:
        hold = self.holds[name]
        hold["remaining"] -= amount
        if not hold["remaining"]:
            self.end_hold(name)

    def end_hold(self, name: bytes) -> None:
        self.occupy(self.holds.pop(name)["payer"], -1)

    def end_order(self, name: bytes) -> None:
        self.occupy(self.orders.pop(name)["payer"], -1)
        self.block.ended.append(name)

    def of_authority(self, unit: bytes, actor: bytes) -> None:
        if self.authorities[unit] != actor:
            raise Refusal("NOT_UNIT_AUTHORITY")

    # Messages

    def apply(self, actor: Any, index: int, kind: str, said: dict[str, Any]) -> None:
        getattr(self, f"do_{kind}")(actor, index, **said)

    def do_open_account(
        self,
        actor: Any,
        _index: int,
        account: bytes,
        unit: bytes,
        parent: bytes = b"",
        opening_minor: int = 0,
        is_opening: bool = False,
    ) -> None:
        if account in self.accounts:
            raise Refusal("ACCOUNT_EXISTS")
        if unit not in self.authorities:
            raise Refusal("UNIT_UNKNOWN")
        if parent:
            above = self.accounts.get(parent)
            if (
                above is None
                or (above["owner"], above["unit"]) != (actor.principal, unit)
                or above["is_closed"]
                or above["is_opening"]
                or above["parent"]
            ):
                raise Refusal("PARENT_UNKNOWN")
            above["sub_accounts"] += 1
            above["sub_accounts_hash"] = self.hash_of(
                b"icn/sub-accounts/v1", (above["sub_accounts_hash"] or bytes(32)) + account
            )
        has_line = (unit, actor.principal) in self.lines
        line = self.lines.setdefault((unit, actor.principal), {"main": b"", "earned": 0, "spent": 0})
        is_first = not line["main"]
        if is_first:
            line["main"] = account
        has_demurrage = self.in_force.get(unit, DEFAULT_POLICY)["demurrage_ppm"] > 0
        self.accounts[account] = {
            "owner": actor.principal,
            "unit": unit,
            "balance": 0,
            "floor": self.default_floor if is_first else 0,
            "given": 0,
            "entries": 0,
            "payer": actor.payer,
            "parent": parent,
            "sub_accounts": 0,
            "sub_accounts_hash": b"",
            "sub_account_number": above["sub_accounts"] if parent else 0,
            "is_opening": is_opening,
            "opening": opening_minor,
            "pledged": 0,
            "frozen_until": 0,
            "has_own_floor": False,
            "demurrage_until": self.block.time_ms if has_demurrage else 0,
            "is_closed": False,
        }
        self.occupy(actor.payer, 1 if has_line else 2)

    def hash_of(self, tag: bytes, body: bytes) -> bytes:
        head = len(tag).to_bytes(4, "big") + tag + self.genesis_hash + len(body).to_bytes(4, "big")
        return sha256(head + body).digest()

    def do_set_floor(self, actor: Any, _index: int, account: bytes, floor_minor: int) -> None:
        self.known(account)
        one = self.accounts[account]
        self.of_authority(one["unit"], actor.principal)
        if one["is_closed"]:
            raise Refusal("ACCOUNT_CLOSED")
        self.change_floor(account, floor_minor)

    def change_floor(self, account: bytes, floor_minor: int) -> None:
        one = self.accounts[account]
        self.block.floors.append((account, one["floor"], floor_minor))
        one.update(floor=floor_minor, has_own_floor=True)

    def do_transfer(
        self,
        actor: Any,
        index: int,
        source: bytes,
        destination: bytes,
        amount_minor: int,
        memo_hash: bytes = b"",
        reference: bytes = b"",
    ) -> None:
        self.voluntary(
            TRANSFER,
            actor.principal,
            source,
            destination,
            amount_minor,
            payer=actor.payer,
            index=index,
            memo=memo_hash,
            reference=reference,
        )

    def do_transfer_legs(self, actor: Any, index: int, legs: list[tuple[bytes, bytes, int]]) -> None:
        first_debit: dict[bytes, int] = {}
        before: dict[bytes, tuple[int, int]] = {}
        """Of each account: its balance when demurrage was taken, and its limit, before its first leg."""
        for leg, (source, destination, amount) in enumerate(legs):
            self.sides(actor.principal, source, destination)
            self.not_frozen(source)
            self.take_demurrage(source, index)
            self.take_demurrage(destination, index)
            first_debit.setdefault(source, leg)
            for account in (source, destination):
                before.setdefault(account, (self.accounts[account]["balance"], self.limit(account)))
            balance = self.accounts[source]["balance"]
            if balance - amount < -TOP:
                raise Refusal("BALANCE_OUT_OF_RANGE", balance_minor=balance, amount_minor=amount)
            self.room(destination, amount)
            self.pay(TRANSFER, source, destination, amount, payer=actor.payer, index=index)
        for account, leg in first_debit.items():
            balance, limit = before[account]
            loss = balance - self.accounts[account]["balance"]
            if loss <= 0:
                continue
            if self.free(account) < limit:
                raise Refusal(
                    "CREDIT_LIMIT_EXCEEDED",
                    balance_minor=balance,
                    held_minor=self.held(account),
                    amount_minor=loss,
                    floor_minor=limit,
                    leg=leg,
                )
            self.tell_soft(account, limit, self.free(account) + loss)

    def do_place_hold(
        self,
        actor: Any,
        index: int,
        hold: bytes,
        source: bytes,
        destination: bytes,
        amount_minor: int,
        expire_time_ms: int,
    ) -> None:
        self.sides(actor.principal, source, destination)
        self.not_frozen(source)
        self.take_demurrage(source, index)
        self.take_demurrage(destination, index)
        self.holdable(source, amount_minor)
        self.expiry_in_range(hold, expire_time_ms)
        self.reserve(
            hold,
            {
                "source": source,
                "destination": destination,
                "remaining": amount_minor,
                "expire": expire_time_ms,
                "payer": actor.payer,
                "price": None,
            },
        )

    def hold_of(self, name: bytes, is_exchange: bool) -> dict[str, Any]:
        if name not in self.holds:
            raise Refusal("HOLD_UNKNOWN")
        hold = self.holds[name]
        if (hold["price"] is not None) != is_exchange:
            raise Refusal("EXCHANGE_MISMATCH")
        return hold

    def do_capture_hold(self, actor: Any, index: int, hold: bytes, amount_minor: int) -> None:
        found = self.hold_of(hold, False)
        source, destination = found["source"], found["destination"]
        self.owned(actor.principal, destination)
        if self.accounts[destination]["is_closed"]:
            raise Refusal("ACCOUNT_CLOSED")
        if amount_minor > found["remaining"]:
            raise Refusal(
                "HOLD_AMOUNT_EXCEEDED", remaining_minor=found["remaining"], amount_minor=amount_minor
            )
        self.take_demurrage(source, index)
        self.take_demurrage(destination, index)
        self.room(destination, amount_minor)
        self.take_from_hold(hold, amount_minor)
        self.pay(CAPTURE, source, destination, amount_minor, payer=actor.payer, index=index, hold=hold)

    def do_void_hold(self, actor: Any, _index: int, hold: bytes) -> None:
        self.owned(actor.principal, self.hold_of(hold, False)["destination"])
        self.end_hold(hold)
        self.block.released.append(hold)

    def do_offer_exchange(
        self,
        actor: Any,
        index: int,
        hold: bytes,
        give_account: bytes,
        take_account: bytes,
        give_minor: int,
        take_minor: int,
        taker: bytes,
        expire_time_ms: int,
    ) -> None:
        self.known(give_account, take_account)
        self.owned(actor.principal, give_account, take_account)
        if self.accounts[give_account]["unit"] == self.accounts[take_account]["unit"]:
            raise Refusal("SAME_UNIT")
        self.expiry_in_range(hold, expire_time_ms)
        self.open(give_account, take_account)
        self.not_frozen(give_account)
        self.take_demurrage(give_account, index)
        self.holdable(give_account, give_minor)
        self.reserve(
            hold,
            {
                "source": give_account,
                "destination": b"",
                "remaining": give_minor,
                "expire": expire_time_ms,
                "payer": actor.payer,
                "price": (take_account, give_minor, take_minor, taker),
            },
        )

    def do_take_exchange(
        self,
        actor: Any,
        index: int,
        hold: bytes,
        source: bytes,
        take_account: bytes,
        destination: bytes,
        give_account: bytes,
        give_minor: int,
        pay_minor: int,
    ) -> None:
        found = self.hold_of(hold, True)
        paid_to, offered_give, offered_take, taker = found["price"]
        if (give_account, take_account) != (found["source"], paid_to):
            raise Refusal("EXCHANGE_MISMATCH")
        if taker and taker != actor.principal:
            raise Refusal("NOT_TAKER")
        self.known(source, destination)
        self.owned(actor.principal, source, destination)
        for mine, theirs in ((source, take_account), (destination, give_account)):
            if self.accounts[mine]["unit"] != self.accounts[theirs]["unit"]:
                raise Refusal("UNIT_MISMATCH")
        self.open(destination)
        if give_minor > found["remaining"]:
            raise Refusal("HOLD_AMOUNT_EXCEEDED", remaining_minor=found["remaining"], amount_minor=give_minor)
        price = ceil_div(give_minor * offered_take, offered_give)
        if price > pay_minor:
            raise Refusal("PRICE_EXCEEDED", price_minor=price, pay_minor=pay_minor)
        if not taker:
            self.not_frozen(give_account)
        self.voluntary(
            EXCHANGE,
            actor.principal,
            source,
            take_account,
            price,
            payer=actor.payer,
            index=index,
            hold=hold,
        )
        self.take_demurrage(give_account, index)
        self.take_demurrage(destination, index)
        self.room(destination, give_minor)
        self.take_from_hold(hold, give_minor)
        self.pay(EXCHANGE, give_account, destination, give_minor, payer=actor.payer, index=index, hold=hold)

    def do_void_exchange(self, actor: Any, _index: int, hold: bytes) -> None:
        self.owned(actor.principal, self.hold_of(hold, True)["source"])
        self.end_hold(hold)
        self.block.released.append(hold)

    def do_order_transfers(self, actor: Any, _index: int, **said: Any) -> None:
        self.sides(actor.principal, said["source"], said["destination"])
        if said["order"] in self.orders:
            raise Refusal("ORDER_EXISTS")
        first, now = said["first_time_ms"], self.block.time_ms
        if not now < first <= now + 366 * DAY_MS:
            raise Refusal("ORDER_TIME_OUT_OF_RANGE", first_time_ms=first, block_time_ms=now)
        self.orders[said["order"]] = {
            **said,
            "passed": 0,
            "next": first,
            "missed": 0,
            "key_ids": sorted(actor.key_ids) if said["needs_release"] else [],
            "payer": actor.payer,
        }
        self.occupy(actor.payer, 1)

    def do_cancel_order(self, actor: Any, _index: int, order: bytes) -> None:
        if order not in self.orders:
            raise Refusal("ORDER_UNKNOWN")
        sides = [self.orders[order][side] for side in ("source", "destination")]
        if actor.principal not in [self.accounts[side]["owner"] for side in sides]:
            raise Refusal("NOT_ACCOUNT_OWNER")
        self.end_order(order)

    def do_release_order(
        self, actor: Any, index: int, order: bytes, source: bytes, destination: bytes, amount_minor: int
    ) -> None:
        if order not in self.orders:
            raise Refusal("ORDER_UNKNOWN")
        found = self.orders[order]
        named = (found["source"], found["destination"], found["amount_minor"])
        if not found["needs_release"] or named != (source, destination, amount_minor):
            raise Refusal("ORDER_MISMATCH")
        if set(actor.key_ids) & set(found["key_ids"]):
            raise Refusal("SAME_KEY")
        self.voluntary(
            TRANSFER,
            actor.principal,
            source,
            destination,
            amount_minor,
            payer=actor.payer,
            index=index,
            memo=found["memo_hash"],
            reference=found["reference"],
            hold=order,
        )
        self.end_order(order)

    def do_set_unit_policy(self, actor: Any, _index: int, unit: bytes, policy: dict[str, Any]) -> None:
        if unit not in self.authorities:
            raise Refusal("UNIT_UNKNOWN")
        self.of_authority(unit, actor.principal)
        policy = {**DEFAULT_POLICY, **policy}
        if fund := policy["fund"]:
            if fund not in self.accounts or self.accounts[fund]["unit"] != unit:
                raise Refusal("FUND_UNKNOWN")
            self.open(fund)
            if self.accounts[fund]["owner"] != actor.principal and not self.accounts[fund]["pledged"]:
                raise Refusal("FUND_UNPLEDGED")
        if policy["freezer"] and policy["freezer"] not in self.principals:
            raise Refusal("AUTHORITY_UNKNOWN")
        self.occupy(actor.payer, unit not in self.policies)
        before = dict(self.policies.get(unit, {}))
        before.pop("set_time_ms", None)
        since = before.pop("demurrage_set_time_ms", self.block.time_ms)
        if any(before.get(name) != policy[name] for name in policy if name.startswith("demurrage_")):
            since = self.block.time_ms
        self.block.policies.append((unit, before or None, policy))
        self.policies[unit] = {
            **policy,
            "set_time_ms": self.block.time_ms,
            "demurrage_set_time_ms": since,
        }

    def do_freeze_account(self, actor: Any, _index: int, account: bytes, until_time_ms: int) -> None:
        self.known(account)
        one = self.accounts[account]
        if actor.principal != (self.rules(account)["freezer"] or self.authorities[one["unit"]]):
            raise Refusal("NOT_FREEZER")
        if one["is_closed"]:
            raise Refusal("ACCOUNT_CLOSED")
        now = self.block.time_ms
        if until_time_ms > now + 30 * DAY_MS:
            raise Refusal("FREEZE_TOO_LONG", until_time_ms=until_time_ms, block_time_ms=now)
        one["frozen_until"] = until_time_ms

    def do_pledge_account(self, actor: Any, _index: int, account: bytes, amount_minor: int) -> None:
        self.known(account)
        self.owned(actor.principal, account)
        self.open(account)
        self.accounts[account]["pledged"] = amount_minor

    def do_write_off(
        self, actor: Any, index: int, account: bytes, amount_minor: int, memo_hash: bytes = b""
    ) -> None:
        self.known(account)
        one = self.accounts[account]
        self.of_authority(one["unit"], actor.principal)
        self.open(account)
        fund = self.rules(account)["fund"]
        if not fund:
            raise Refusal("FUND_UNKNOWN")
        if fund == account:
            raise Refusal("FUND_ITSELF")
        self.open(fund)
        self.take_demurrage(account, index)
        if one["balance"] + amount_minor > 0:
            raise Refusal("WRITE_OFF_ABOVE_DEBT", balance_minor=one["balance"], amount_minor=amount_minor)
        pledged = self.accounts[fund]["pledged"]
        if amount_minor > pledged:
            raise Refusal("PLEDGE_EXCEEDED", pledged_minor=pledged, amount_minor=amount_minor)
        self.within_limit(fund, amount_minor)
        self.post(WRITE_OFF, fund, account, amount_minor, index=index, memo=memo_hash)
        self.accounts[fund]["pledged"] -= amount_minor
        self.change_floor(account, 0)

    def do_close_account(self, actor: Any, index: int, account: bytes, remainder_to: bytes = b"") -> None:
        self.known(account)
        one = self.accounts[account]
        may = [one["owner"]] + [self.authorities[one["unit"]]] * (not remainder_to)
        if actor.principal not in may:
            raise Refusal("NOT_ACCOUNT_OWNER")
        if one["is_closed"]:
            raise Refusal("ACCOUNT_CLOSED")
        self.take_demurrage(account, index)
        in_use = one["balance"] < 0 or (one["balance"] > 0 and not remainder_to)
        dismissed = (
            self.in_force.get(one["unit"], DEFAULT_POLICY)["fund"]
            == account
            != self.policies.get(one["unit"], DEFAULT_POLICY)["fund"]
        )
        bonds = self.bonds(account) + dismissed
        if in_use or self.held(account) or bonds:
            raise Refusal(
                "ACCOUNT_IN_USE",
                balance_minor=one["balance"],
                held_minor=self.held(account),
                bonds=bonds,
            )
        if one["balance"]:
            self.known(remainder_to)
            if self.accounts[remainder_to]["unit"] != one["unit"]:
                raise Refusal("UNIT_MISMATCH")
            self.open(remainder_to)
            self.not_frozen(account)
            self.take_demurrage(remainder_to, index)
            self.room(remainder_to, one["balance"])
            self.pay(TRANSFER, account, remainder_to, one["balance"], payer=actor.payer, index=index)
        self.occupy(one["payer"], -1)
        untouched = (
            not one["entries"] and not one["has_own_floor"] and one["frozen_until"] <= self.block.time_ms
        )
        line = self.lines.get((one["unit"], one["owner"]))
        if line and line["main"] == account and untouched:
            line["main"] = b""
        one.update(payer=b"", is_closed=True, is_opening=False, opening=0)
        one.update(pledged=0, frozen_until=0, demurrage_until=0)

    def do_confirm_openings(self, actor: Any, index: int, unit: bytes, accounts: list[bytes]) -> None:
        if unit not in self.authorities:
            raise Refusal("UNIT_UNKNOWN")
        self.of_authority(unit, actor.principal)
        for account in accounts:
            self.known(account)
            if self.accounts[account]["unit"] != unit:
                raise Refusal("UNIT_MISMATCH")
            if not self.accounts[account]["is_opening"]:
                raise Refusal("OPENING_UNKNOWN")
        claims = {account: self.accounts[account]["opening"] for account in accounts}
        debts = -sum(claim for claim in claims.values() if claim < 0)
        claimed = sum(claim for claim in claims.values() if claim > 0)
        if debts != claimed:
            raise Refusal("OPENINGS_UNBALANCED", debts_minor=debts, credits_minor=claimed)
        for account in accounts:
            self.accounts[account].update(is_opening=False, opening=0)
            if self.in_force.get(unit, DEFAULT_POLICY)["demurrage_ppm"]:
                self.accounts[account]["demurrage_until"] = self.block.time_ms
        for debtor in accounts:
            for creditor in accounts:
                amount = min(-claims[debtor], claims[creditor])
                if amount > 0:
                    self.post(OPENING, debtor, creditor, amount, index=index)
                    claims[debtor] += amount
                    claims[creditor] -= amount

    def do_close_period(self, actor: Any, _index: int, unit: bytes, end_time_ms: int, digest: bytes) -> None:
        if unit not in self.authorities:
            raise Refusal("UNIT_UNKNOWN")
        self.of_authority(unit, actor.principal)
        now = self.block.time_ms
        if end_time_ms > now:
            raise Refusal("PERIOD_NOT_OVER", end_time_ms=end_time_ms, block_time_ms=now)
        if unit not in self.periods:
            self.occupy(actor.payer, 1)
        elif end_time_ms < self.periods[unit][0]:
            raise Refusal("PERIOD_CLOSED", end_time_ms=end_time_ms, closed_until_ms=self.periods[unit][0])
        self.periods[unit] = (end_time_ms, digest, self.block.height, now, actor.principal)

    def do_charge_demurrage(self, _actor: Any, index: int, accounts: list[bytes]) -> None:
        self.known(*accounts)
        self.open(*accounts)
        unit = self.accounts[accounts[0]]["unit"]
        if any(self.accounts[account]["unit"] != unit for account in accounts):
            raise Refusal("UNIT_MISMATCH")
        if not self.in_force.get(unit, DEFAULT_POLICY)["demurrage_ppm"]:
            raise Refusal("POLICY_UNKNOWN")
        for account in accounts:
            self.take_demurrage(account, index)

    # Blocks

    def begin_block(self, height: int, time_ms: int, epoch: int) -> None:
        """What falls due."""
        self.in_force = {unit: dict(policy) for unit, policy in self.policies.items()}
        self.block = Block(height, time_ms, epoch)
        due = sorted((hold["expire"], name) for name, hold in self.holds.items() if hold["expire"] <= time_ms)
        for _, name in due:
            self.end_hold(name)
            self.block.released.append(name)
        due = sorted((order["next"], name) for name, order in self.orders.items() if order["next"] <= time_ms)
        for _, name in due:
            self.carry_out(name)

    def carry_out(self, name: bytes) -> None:
        order = self.orders[name]
        source, destination = order["source"], order["destination"]
        if order["needs_release"] or any(self.accounts[side]["is_closed"] for side in (source, destination)):
            self.end_order(name)
            return
        before = self.copy()
        try:
            used, most = self.bytes_used(order["payer"]), self.allowances[order["payer"]]["bytes_max"]
            if used + 256 > most:
                raise Refusal("ALLOWANCE_EXCEEDED", used_bytes=used, bytes_per_epoch=most)
            self.voluntary(
                STANDING,
                self.accounts[source]["owner"],
                source,
                destination,
                order["amount_minor"],
                payer=order["payer"],
                index=-1,
                memo=order["memo_hash"],
                reference=order["reference"],
                hold=name,
            )
            self.charge(order["payer"], bytes=256)
            order["missed"] = 0
        except Refusal as refusal:
            self.restore(before)
            order = self.orders[name]
            order["missed"] += 1
            self.block.missed.append((name, refusal.reason, refusal.figures))
        order["passed"] += 1
        is_passed_over = False
        while order["passed"] < order["times"] and time_of(order, order["passed"]) <= self.block.time_ms:
            order["passed"] += 1
            is_passed_over = True
        if is_passed_over:
            order["missed"] += 1
            self.block.missed.append((name, "PASSED_OVER", []))
        if order["passed"] == order["times"] or order["missed"] >= 3:
            self.end_order(name)
        else:
            order["next"] = time_of(order, order["passed"])

    def execute(
        self, actor: Any, index: int, size: int, said: list[tuple[str, dict[str, Any]]]
    ) -> tuple[str, int, list[tuple[str, int]]]:
        """Reason, message index and figures, as in the receipt."""
        self.charge(actor.payer, bytes=size, signatures=len(actor.key_ids))
        before = self.copy()
        for position, (kind, fields) in enumerate(said):
            try:
                self.apply(actor, index, kind, fields)
            except Refusal as refusal:
                self.restore(before)
                return refusal.reason, position, refusal.figures
        return "", 0, []
