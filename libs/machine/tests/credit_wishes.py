"""What people of a small economy may wish next: messages that mostly make sense, and borders that do not.

A wish is worked out from where the model stands and from a seed, so that each kind of message is really
applied often; `test_credit_model` plays them.
"""

from __future__ import annotations

from calendar import monthrange
from collections import Counter
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from libs.machine.tests.credit_model import DAY_MS, TOP, Model
from libs.machine.tests.zone import identifier

UNITS = [identifier("unit 0"), identifier("unit 1")]
ACCOUNTS = [identifier(f"account {number}") for number in range(20)]
HOLDS = [identifier(f"hold {number}") for number in range(8)]
ORDERS = [identifier(f"order {number}") for number in range(6)]
NOBODY = identifier("nobody")
BY_AUTHORITY = (
    "set_floor",
    "set_unit_policy",
    "write_off",
    "confirm_openings",
    "close_period",
    "freeze_account",
)


class Wishes:
    """Messages that a seed makes of the state."""

    def __init__(self, model: Model, seed: int, time_ms: int, principals: list[bytes]) -> None:
        self.model, self.random, self.now = model, Random(seed), time_ms
        self.principals = principals
        self.members = principals[2:]

    def odd(self, share: float = 0.06) -> bool:
        return self.random.random() < share

    def one_of(self, choices: Any) -> Any:
        choices = list(choices)
        return self.random.choice(choices) if choices else None

    # Who

    def possible(self, kind: str) -> str:
        """This kind, or the one that has to come before it."""
        model = self.model
        prices = [hold["price"] is not None for hold in model.holds.values()]
        waiting = Counter(one["unit"] for one in model.accounts.values() if one["is_opening"])
        needs = {
            "capture_hold": (False in prices, "place_hold"),
            "void_hold": (False in prices, "place_hold"),
            "take_exchange": (True in prices, "offer_exchange"),
            "void_exchange": (True in prices, "offer_exchange"),
            "cancel_order": (bool(model.orders), "order_transfers"),
            "release_order": (any(one["needs_release"] for one in model.orders.values()), "order_transfers"),
            "confirm_openings": (max(waiting.values(), default=0) > 1, "open_account"),
            "write_off": (any(one["balance"] < 0 for one in model.accounts.values()), "transfer"),
        }
        is_possible, instead = needs.get(kind, (True, kind))
        return kind if is_possible or self.odd(0.06) else instead

    def actor(self, kind: str) -> bytes:
        """Who would sign this."""
        model = self.model
        if self.odd():
            return self.one_of(self.principals)
        if kind == "freeze_account":
            rules = self.one_of(list(model.policies.values()) or [{"freezer": b""}])
            freezer = rules["freezer"]
            return freezer if freezer in self.principals else self.one_of(model.authorities.values())
        if kind in BY_AUTHORITY:
            waiting = [one["unit"] for one in model.accounts.values() if one["is_opening"]]
            if kind == "confirm_openings" and waiting:
                return model.authorities[max(waiting, key=waiting.count)]
            return self.one_of(model.authorities.values())
        found = None
        if kind in ("capture_hold", "void_hold"):
            found = self.one_of(hold["destination"] for hold in model.holds.values() if not hold["price"])
        elif kind == "void_exchange":
            found = self.one_of(hold["source"] for hold in model.holds.values() if hold["price"])
        elif kind == "cancel_order":
            found = self.one_of(
                order[side] for order in model.orders.values() for side in ("source", "destination")
            )
        elif kind == "release_order":
            found = self.one_of(order["source"] for order in model.orders.values() if order["needs_release"])
        elif kind == "close_account":
            found = self.one_of(account for account in self.closable())
        elif kind == "offer_exchange":
            return self.one_of(self.members)
        elif kind == "take_exchange":
            taker = self.one_of(hold["price"][3] for hold in model.holds.values() if hold["price"])
            return taker or self.one_of(self.members)
        if found in model.accounts:
            owner: bytes = model.accounts[found]["owner"]
            return owner
        return self.one_of(self.members if self.random.random() < 0.8 else self.principals)

    # What

    def usable(self, unit: bytes | None = None, owner: bytes | None = None) -> list[bytes]:
        return [
            account
            for account, one in self.model.accounts.items()
            if (unit is None or one["unit"] == unit)
            and (owner is None or one["owner"] == owner)
            and not one["is_closed"]
            and not one["is_opening"]
        ]

    def closable(self) -> list[bytes]:
        return [
            account
            for account, one in self.model.accounts.items()
            if one["balance"] >= 0
            and not one["is_closed"]
            and not self.model.held(account)
            and not self.model.bonds(account)
        ]

    def own(self, actor: bytes, unit: bytes | None = None) -> bytes:
        if self.odd(0.03):
            return self.one_of([*ACCOUNTS, NOBODY])
        return self.one_of(self.usable(unit, actor)) or self.one_of(ACCOUNTS)

    def other(self, source: bytes) -> bytes:
        """Of the same unit, mostly."""
        one = self.model.accounts.get(source)
        unit = one["unit"] if one and not self.odd(0.03) else None
        choices = [account for account in self.usable(unit) if account != source]
        if self.odd(0.03):
            choices = [account for account in [*ACCOUNTS, NOBODY] if account != source]
        return self.one_of(choices) or NOBODY

    def amount(self, source: bytes | None = None) -> int:
        way = self.random.random()
        if source in self.model.accounts and way < 0.35:
            spare = self.model.free(source) - self.model.limit(source)
            if way < 0.12 or spare <= 1_000:
                return max(1, min(TOP, spare + self.random.choice([-1, 0, 0, 1])))
        if way > 0.99 or (way > 0.6 and self.model.default_floor == -TOP):
            return self.random.choice([TOP, TOP, TOP - 1, 2**61, 2**60])
        return self.random.choice([1, 2, 3, 5, 10, 17, 20, 30])

    def near(self, number: int, least: int = 1) -> int:
        return max(least, number + self.random.choice([-2, -1, 0, 0, 0, 0, 0, 1]))

    def fields(self, kind: str, actor: bytes) -> dict[str, Any]:
        """Of a message of this kind that ``actor`` would sign; times are told by the block's."""
        return getattr(self, f"wish_{kind}")(actor)

    def new_name(self, names: list[bytes], taken: Any) -> bytes:
        free = [name for name in names if name not in taken]
        return self.one_of(names) if self.odd(0.05) or not free else free[0]

    def wish_open_account(self, actor: bytes) -> dict[str, Any]:
        waiting_units = [one["unit"] for one in self.model.accounts.values() if one["is_opening"]]
        unit = NOBODY if self.odd(0.03) else self.one_of(waiting_units or UNITS)
        said: dict[str, Any] = {"account": self.new_name(ACCOUNTS, self.model.accounts), "unit": unit}
        if self.random.random() < 0.4:
            parent = self.one_of(account for account in self.usable(unit, actor)) or NOBODY
            parent = self.one_of(ACCOUNTS) if self.odd(0.15) else parent
            if parent != said["account"]:
                said["parent"] = parent
        if waiting_units or self.random.random() < 0.45:
            waiting = [
                one["opening"]
                for one in self.model.accounts.values()
                if one["is_opening"] and one["unit"] == unit
            ]
            said["is_opening"] = True
            said["opening_minor"] = (
                -sum(waiting)
                if waiting and self.random.random() < 0.8
                else self.random.choice([0, -40, -7, 7, 25, 2**53, -(2**53)])
            )
            said["opening_minor"] = max(-(2**53), min(2**53, said["opening_minor"]))
        return said

    def wish_set_floor(self, actor: bytes) -> dict[str, Any]:
        units = [unit for unit, authority in self.model.authorities.items() if authority == actor]
        account = self.one_of(
            account for account, one in self.model.accounts.items() if one["unit"] in units or self.odd()
        )
        floor = self.random.choice([0, -1, -20, -50, -50, -90, -200])
        return {"account": account or NOBODY, "floor_minor": -TOP if self.odd(0.04) else floor}

    def wish_transfer(self, actor: bytes) -> dict[str, Any]:
        source = self.own(actor)
        said = {"source": source, "destination": self.other(source), "amount_minor": self.amount(source)}
        if self.odd(0.3):
            said["memo_hash"], said["reference"] = b"m" * 32, b"invoice"
        return said

    def wish_transfer_legs(self, actor: bytes) -> dict[str, Any]:
        legs: dict[tuple[bytes, bytes], int] = {}
        totals: dict[bytes, int] = {}
        unit = self.one_of(one["unit"] for one in self.model.accounts.values() if one["owner"] == actor)
        chain = self.own(actor, unit)
        for _ in range(self.random.randint(2, 5)):
            source = chain if self.random.random() < 0.6 else self.own(actor, unit)
            destination, amount = self.other(source), self.amount(source)
            if self.random.random() < 0.3:  # money that goes around
                chain = destination if destination in self.usable(unit, actor) else chain
            if (source, destination) not in legs and totals.get(source, 0) + amount <= TOP:
                legs[source, destination] = amount
                totals[source] = totals.get(source, 0) + amount
        if len(legs) < 2:
            source = self.own(actor)
            unit = self.model.accounts.get(source, {"unit": None})["unit"]
            others = dict.fromkeys([*self.usable(unit), *ACCOUNTS, NOBODY])
            extra = [account for account in others if account != source]
            legs = {(source, destination): 1 for destination in extra[:2]}
        return {"legs": [(*pair, amount) for pair, amount in legs.items()]}

    def expiry(self) -> int:
        return self.now + self.random.choice(
            [1, 60_000, 3_600_000, DAY_MS, 3 * DAY_MS, 30 * DAY_MS, 300 * DAY_MS, 366 * DAY_MS]
            if not self.odd(0.04)
            else [0, -1, 366 * DAY_MS + 1]
        )

    def wish_place_hold(self, actor: bytes) -> dict[str, Any]:
        source = self.own(actor)
        return {
            "hold": self.new_name(HOLDS, self.model.holds),
            "source": source,
            "destination": self.other(source),
            "amount_minor": self.amount(source),
            "expire_time_ms": self.expiry(),
        }

    def hold(self, side: str, actor: bytes, is_exchange: bool) -> bytes:
        if self.odd(0.05):
            return self.one_of(HOLDS)
        accounts = self.model.accounts
        fitting = [
            name
            for name, hold in self.model.holds.items()
            if (hold["price"] is not None) == is_exchange
            and (not side or accounts[hold[side]]["owner"] == actor)
        ]
        return self.one_of(fitting) or self.one_of(HOLDS)

    def wish_capture_hold(self, actor: bytes) -> dict[str, Any]:
        name = self.hold("destination", actor, False)
        remaining = self.model.holds.get(name, {"remaining": 5})["remaining"]
        part = self.near(remaining) if self.random.random() < 0.5 else self.random.randint(1, 9)
        return {"hold": name, "amount_minor": min(TOP, part)}

    def wish_void_hold(self, actor: bytes) -> dict[str, Any]:
        return {"hold": self.hold("destination", actor, False)}

    def wish_offer_exchange(self, actor: bytes) -> dict[str, Any]:
        unit, other_unit = self.random.sample(UNITS, 2)
        give = self.own(actor, unit)
        take = self.own(actor, unit if self.odd(0.05) else other_unit)
        return {
            "hold": self.new_name(HOLDS, self.model.holds),
            "give_account": give,
            "take_account": take if take != give else NOBODY,
            "give_minor": self.amount(give),
            "take_minor": self.amount(),
            "taker": self.one_of([b"", b"", b"", *self.members]),
            "expire_time_ms": self.expiry(),
        }

    def wish_take_exchange(self, actor: bytes) -> dict[str, Any]:
        accounts = self.model.accounts
        fitting = [
            name
            for name, hold in self.model.holds.items()
            if hold["price"]
            and hold["price"][3] in (b"", actor)
            and accounts[hold["source"]]["owner"] != actor
        ]
        name = self.one_of(fitting)
        if name is None or self.odd(0.05):
            name = self.one_of(HOLDS)
        hold = self.model.holds.get(name)
        if hold is None or hold["price"] is None:
            a, b, c, d = self.random.sample(ACCOUNTS, 4)
            said = {"source": a, "take_account": b, "destination": c, "give_account": d}
            return {"hold": name, **said, "give_minor": 1, "pay_minor": 1}
        take_account, offered_give, offered_take, _ = hold["price"]
        give = self.near(hold["remaining"]) if self.random.random() < 0.5 else self.random.randint(1, 9)
        price = -(-give * offered_take // offered_give)
        take_unit, give_unit = accounts[take_account]["unit"], accounts[hold["source"]]["unit"]
        said = {
            "source": self.own(actor, take_unit),
            "take_account": take_account if not self.odd(0.03) else self.one_of(ACCOUNTS),
            "destination": self.own(actor, give_unit),
            "give_account": hold["source"],
        }
        if said["source"] == said["take_account"]:
            said["source"] = NOBODY
        if said["destination"] == said["give_account"]:
            said["destination"] = NOBODY
        pay = min(TOP, price if self.random.random() < 0.5 else price + 7)
        pay = max(1, min(TOP, price - 1)) if self.odd() else pay
        return {"hold": name, **said, "give_minor": min(TOP, give), "pay_minor": pay}

    def wish_void_exchange(self, actor: bytes) -> dict[str, Any]:
        return {"hold": self.hold("source", actor, True)}

    def wish_order_transfers(self, actor: bytes) -> dict[str, Any]:
        source = self.own(actor)
        way = self.random.random()
        said: dict[str, Any] = {"every_days": 0, "every_months": 0, "times": 1, "needs_release": False}
        if way < 0.35:
            said["every_days"], said["times"] = self.random.choice([1, 7, 31]), self.random.randint(1, 6)
        elif way < 0.7:
            said["every_months"], said["times"] = self.random.choice([1, 3, 12]), self.random.randint(1, 6)
        elif way < 0.95:
            said["needs_release"] = True
        ahead = self.random.choice([1, DAY_MS, 5 * DAY_MS, 31 * DAY_MS, 100 * DAY_MS, 366 * DAY_MS])
        ahead = self.random.choice([0, -1, 366 * DAY_MS + 1]) if self.odd(0.04) else ahead
        first = self.now + ahead
        if said["every_months"] and self.random.random() < 0.5:  # on the last day of a month
            at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=first)
            first += (monthrange(at.year, at.month)[1] - at.day) * DAY_MS
        is_told = self.odd(0.3)
        return {
            "order": self.new_name(ORDERS, self.model.orders),
            "source": source,
            "destination": self.other(source),
            "amount_minor": self.amount(source if self.odd(0.2) else None),
            "memo_hash": b"o" * 32 if is_told else b"",
            "reference": b"rent" if is_told else b"",
            "first_time_ms": first if first <= self.now + 366 * DAY_MS else self.now + ahead,
            **said,
        }

    def wish_cancel_order(self, actor: bytes) -> dict[str, Any]:
        accounts = self.model.accounts
        fitting = [
            name
            for name, order in self.model.orders.items()
            if actor in (accounts[order["source"]]["owner"], accounts[order["destination"]]["owner"])
        ]
        return {"order": self.one_of(fitting) or self.one_of(ORDERS)}

    def wish_release_order(self, actor: bytes) -> dict[str, Any]:
        accounts = self.model.accounts
        fitting = [
            name
            for name, order in self.model.orders.items()
            if accounts[order["source"]]["owner"] == actor and (order["needs_release"] or self.odd(0.1))
        ]
        name = self.one_of(fitting) or self.one_of(ORDERS)
        order = self.model.orders.get(name)
        if order is None:
            a, b = self.random.sample(ACCOUNTS, 2)
            return {"order": name, "source": a, "destination": b, "amount_minor": 1}
        amount = order["amount_minor"] if not self.odd(0.05) else 4
        return {
            "order": name,
            "source": order["source"],
            "destination": order["destination"],
            "amount_minor": amount,
        }

    def wish_set_unit_policy(self, actor: bytes) -> dict[str, Any]:
        units = [unit for unit, authority in self.model.authorities.items() if authority == actor]
        unit = NOBODY if self.odd(0.03) else self.one_of(units or UNITS)
        policy: dict[str, Any] = {}
        chance, pick = self.random.random, self.random.choice
        if chance() < 0.7:
            policy["growth_ppm"] = pick([1, 333_333, 500_000, 1_000_000])
            policy["growth_max_minor"] = pick([1, 20, 60, TOP])
        if policy or chance() < 0.3:
            policy["counterparty_max_minor"] = pick([1, 15, 40, TOP])
        if chance() < 0.6:
            policy["soft_ppm"] = pick([1, 333_333, 800_000, 999_999])
        if chance() < 0.5:
            policy["fee_fixed_minor"] = pick([0, 1, 4, TOP])
            policy["fee_ppm"] = pick([0, 1, 30_000, 100_000])
        policy["fee_max_minor"] = pick([0, 1, 3, TOP])
        if chance() < 0.5:
            policy["demurrage_ppm"] = pick([1, 10_000, 70_000, 100_000])
            policy["demurrage_days"] = pick([1, 7, 30, 366])
            policy["demurrage_free_minor"] = pick([0, 5, 30, TOP])
        needs_fund = any(policy.get(name) for name in ("fee_fixed_minor", "fee_ppm", "demurrage_ppm"))
        if needs_fund or chance() < 0.5:
            fit = [
                account
                for account in self.usable(unit)
                if self.model.accounts[account]["owner"] == actor or self.model.accounts[account]["pledged"]
            ]
            policy["fund"] = self.one_of(ACCOUNTS) if self.odd(0.08) or not fit else self.one_of(fit)
        if chance() < 0.4:
            policy["freezer"] = NOBODY if self.odd(0.1) else self.one_of(self.principals)
        return {"unit": unit, "policy": policy}

    def wish_freeze_account(self, actor: bytes) -> dict[str, Any]:
        model = self.model
        fitting = [
            account
            for account, one in model.accounts.items()
            if actor == (model.policies.get(one["unit"], {}).get("freezer") or model.authorities[one["unit"]])
        ]
        account = self.one_of(ACCOUNTS) if self.odd() or not fitting else self.one_of(fitting)
        ahead = self.random.choice([1, 1_000, 3_600_000, DAY_MS, 30 * DAY_MS])
        until = self.now + (30 * DAY_MS + 1 if self.odd(0.04) else ahead)
        return {"account": account, "until_time_ms": 0 if self.random.random() < 0.35 else until}

    def wish_pledge_account(self, actor: bytes) -> dict[str, Any]:
        return {"account": self.own(actor), "amount_minor": self.random.choice([0, 5, 30, 100, 1_000, TOP])}

    def wish_write_off(self, actor: bytes) -> dict[str, Any]:
        model = self.model
        in_debt = [
            account
            for account, one in model.accounts.items()
            if one["balance"] < 0
            and model.authorities[one["unit"]] == actor
            and one["unit"] in model.policies
        ]
        account = self.one_of(ACCOUNTS) if self.odd(0.05) or not in_debt else self.one_of(in_debt)
        debt = -model.accounts.get(account, {"balance": -9})["balance"]
        return {
            "account": account,
            "amount_minor": max(1, min(TOP, self.near(debt) if self.odd(0.4) else self.random.randint(1, 9))),
            "memo_hash": b"w" * 32 if self.odd(0.5) else b"",
        }

    def wish_close_account(self, actor: bytes) -> dict[str, Any]:
        fitting = [account for account in self.closable() if self.model.accounts[account]["owner"] == actor]
        account = self.own(actor) if self.odd(0.2) or not fitting else self.one_of(fitting)
        said = {"account": account}
        if self.model.accounts.get(account, {"balance": 0})["balance"] > 0 or self.odd(0.2):
            said["remainder_to"] = self.other(account)
        return said

    def wish_confirm_openings(self, actor: bytes) -> dict[str, Any]:
        units = [unit for unit, authority in self.model.authorities.items() if authority == actor]
        unit = self.one_of(units or UNITS)
        waiting = [
            account
            for account, one in self.model.accounts.items()
            if one["is_opening"] and (one["unit"] == unit or self.odd(0.05))
        ]
        if self.odd(0.05) or len(waiting) < 2:
            waiting = waiting[:1] + self.random.sample([*ACCOUNTS, NOBODY], 2)
        return {"unit": unit, "accounts": sorted(set(waiting))[:512]}

    def wish_close_period(self, actor: bytes) -> dict[str, Any]:
        units = [unit for unit, authority in self.model.authorities.items() if authority == actor]
        unit = NOBODY if self.odd(0.03) else self.one_of(units or UNITS)
        newest = self.model.periods.get(unit, (self.now - DAY_MS,))[0]
        end = self.random.choice([self.now, self.now - 1, self.now - 3_600_000, newest, newest + 1, newest])
        end = self.one_of([self.now + 1, newest - 1]) if self.odd(0.1) else end
        return {"unit": unit, "end_time_ms": max(0, end), "digest": bytes([self.random.randrange(256)]) * 32}

    def wish_charge_demurrage(self, _actor: bytes) -> dict[str, Any]:
        unit = self.one_of(list(self.model.in_force) or UNITS)
        accounts = [
            account for account, one in self.model.accounts.items() if one["unit"] == unit and self.odd(0.5)
        ]
        if self.odd(0.08) or not accounts:
            accounts = self.random.sample([*ACCOUNTS, NOBODY], 2)
        return {"accounts": sorted(accounts)}
