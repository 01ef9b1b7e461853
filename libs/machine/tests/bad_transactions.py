"""A campaign of bad transactions against CheckTransactions.

Each is refused with a stable reason: what is malformed before anything of the state is read, what is forged
after one look-up (`scripts/bad_input.py`, and a short one in the unit tests).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from icn.ledger.v1 import transaction_pb2 as pb
from icn_chain.envelope import TRANSACTION_BYTES_MAX
from icn_crypto.suites import PUBLIC_KEY_BYTES, Suite, key_id
from icn_machine import limits, refusals
from icn_machine.blocks.check_transactions import TransactionCheck, check_transactions
from icn_machine.blocks.transaction_cache import TransactionCache
from icn_machine.touched import RecordNames
from icn_machine.validity import ValidityView
from icn_sim.mutations import MUTATIONS

from libs.machine.tests.credit_messages import (
    charge_demurrage,
    close_period,
    confirm_openings,
    legs,
    offer_exchange,
    open_bringing,
    order_transfers,
    set_unit_policy,
)
from libs.machine.tests.institutions import apply_for_membership, cast_ballot, open_poll
from libs.machine.tests.zone import (
    FixedClock,
    Member,
    TestKey,
    Zone,
    anchor,
    create_unit,
    identifier,
    make_zone,
    memory_ledger,
    open_account,
    open_controller,
    place_hold,
    set_allowance,
    store_code,
    transfer,
    update_controller,
)

REASONS: Final = frozenset(
    {
        refusals.MALFORMED_TRANSACTION,
        refusals.EXPIRED,
        refusals.EXPIRY_TOO_FAR,
        refusals.CONTROLLER_UNKNOWN,
        refusals.PAYER_NOT_ALLOWED,
        refusals.SEQUENCE_USED,
        refusals.SEQUENCE_GAP,
        refusals.KEY_UNKNOWN,
        refusals.THRESHOLD_NOT_MET,
        refusals.KEY_SCOPE_EXCEEDED,
        refusals.SIGNATURE_INVALID,
        refusals.ALLOWANCE_EXCEEDED,
        refusals.BLOCK_FUEL_EXCEEDED,
    }
)
"""The reasons of docs/spec/transaction.md, "Validity". There is no other."""
FORGED: Final = (refusals.KEY_UNKNOWN, refusals.SIGNATURE_INVALID)
CACHED_MAX: Final = 500
"""Small, so that the cache is full after the first of a thousand cases and memory is that of all of them."""
ORDER: Final = 2**252 + 27742317777372353535851937790883648493
"""Of the group of Ed25519: S and S + ORDER are one number to it."""
HUGE_BYTES: Final = 64 * 1024 * 1024
DAY_MS: Final = 86_400_000


class Wrong(AssertionError):
    """A bad transaction was not treated as it must be."""


class CountingState:
    """The ledger's state, with a count of what is read of it."""

    def __init__(self, state: Any) -> None:
        self._state = state
        self.looked_up: list[tuple[int, int]] = []
        """Controllers and allowances of each look-up."""
        self.heights_asked = 0

    def __getattr__(self, name: str) -> Any:
        if name not in {"newest", "snapshot_height"}:
            raise Wrong(f"a check uses {name}")
        return getattr(self._state, name)

    async def load_validity(self, names: RecordNames, height: int) -> ValidityView:
        """Count, and look up."""
        view: ValidityView = await self._state.load_validity(names, height)
        self.looked_up.append((len(view.controllers), len(view.allowances)))
        return view

    async def heights_of(self, transaction_ids: Sequence[bytes]) -> dict[bytes, int]:
        """Count, and look up."""
        self.heights_asked += 1
        found: dict[bytes, int] = await self._state.heights_of(transaction_ids)
        return found


@dataclass(frozen=True, slots=True)
class Case:
    """Bytes, and what must become of them: one of these reasons, or any where none is named."""

    kind: str
    data: bytes
    reasons: frozenset[str] = frozenset()


class Campaign:
    """One zone with some members, its ledger in memory, and bad transactions one after the other."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.zone: Zone = make_zone()
        self.elsewhere: Zone = make_zone({"bytes_per_epoch": 1_000_000})
        self.ledger = memory_ledger(self.zone)
        self.ledger.executor.cache = TransactionCache(self.zone.genesis.hash, transactions_max=CACHED_MAX)
        self.shop = self.zone.organizations[0]
        self.ana = self.zone.member("ana", self.shop)
        self.pair = self.zone.member("two keys", self.shop, keys=2)
        self.clock = FixedClock()
        self.state = CountingState(self.ledger.state)
        self.good: list[bytes] = []
        self.executed: list[bytes] = []
        self.outcomes: Counter[tuple[str, str]] = Counter()

    async def set_up(self) -> None:
        """Members, something that is executed, and something that could be."""
        first = self.zone.transaction(
            self.shop, open_controller(self.ana), open_controller(self.pair, threshold=2)
        )
        await self.ledger.execute(first)
        self.executed.append(first)
        now_ms = self.ledger.state.newest.time_ms
        self.clock.now = now_ms
        a, b, poll = identifier("a"), identifier("b"), identifier("poll")
        for actor, messages in (
            (self.ana, [transfer(a, b, 7, bytes(32))]),
            (self.ana, [transfer(a, b, 1), transfer(b, a, 2**40)]),
            (self.pair, [place_hold(identifier("hold"), a, b, 5, now_ms + DAY_MS)]),
            (self.pair, [open_account(a, b), anchor(bytes(range(32)))]),
            (self.ana, [update_controller(1, TestKey("new"), TestKey("newer"))]),
            (self.shop, [create_unit(a, -100), open_controller(self.zone.member("ben", self.shop))]),
            (self.shop, [set_allowance(self.shop.principal, bytes_per_epoch=5)]),
            (self.ana, [apply_for_membership(self.shop.principal), cast_ballot(poll, bytes(32))]),
            (self.shop, [open_poll(poll, self.shop.principal, now_ms + DAY_MS)]),
            (self.ana, [store_code(b"\0asm" * 20)]),
            (self.ana, [legs((a, b, 7), (b, a, 5)), order_transfers(poll, a, b, 1, now_ms, every_months=1)]),
            (self.ana, [offer_exchange(poll, (a, 7), (b, 5), now_ms), open_bringing(a, b, -7)]),
            (self.shop, [set_unit_policy(a, fee_ppm=1, fund=b), confirm_openings(a, a, b)]),
            (self.shop, [close_period(a, now_ms, bytes(range(32))), charge_demurrage(a, b)]),
        ):
            # Each alone would be the next of its lane.
            sequence = 2 if actor is self.shop else 1
            body = self.zone.body(actor, *messages, time_ms=now_ms, sequence=sequence)
            self.good.append(self.zone.sign(body.SerializeToString(deterministic=True), actor.keys))
        limit = TRANSACTION_BYTES_MAX
        self._large = [self._of_size(limit), self._of_size(limit + 1)]
        for data in self.good:
            await self.look(Case("good", data, frozenset({""})))

    async def look(self, case: Case) -> TransactionCheck:
        """Check one transaction and hold the ledger to its promises."""
        self.state.looked_up.clear()
        self.state.heights_asked = 0
        (check,) = await check_transactions(
            [case.data],
            self.zone.genesis,
            self.state,  # type: ignore[arg-type]
            self.ledger.cache,
            self.clock,
        )
        reason = check.reason
        self.outcomes[case.kind, reason] += 1
        if reason and reason not in REASONS:
            raise Wrong(f"{case.kind}: {reason} is no reason")
        if case.reasons and reason not in case.reasons:
            raise Wrong(f"{case.kind}: {reason or 'accepted'} ({check.message}): {case.data[:200].hex()}")
        if not reason and not case.reasons and case.data not in self.good:
            raise Wrong(f"{case.kind} is taken for good: {case.data.hex()}")
        look_ups = self.state.looked_up
        if reason == refusals.MALFORMED_TRANSACTION:
            if look_ups or self.state.heights_asked or check.transaction_id:
                raise Wrong(f"{case.kind}: the state is read for malformed bytes")
        elif len(look_ups) != 1 or look_ups[0][0] != 1:
            raise Wrong(f"{case.kind}: {reason} after look-ups of {look_ups}")
        if self.state.heights_asked != (reason == refusals.SEQUENCE_USED):
            raise Wrong(f"{case.kind}: {reason} after {self.state.heights_asked} questions for heights")
        return check

    def next_case(self) -> Case:
        """A bad transaction."""
        draw = self.random
        data = draw.choice(self.good)
        if draw.random() < 0.75:
            mutate = draw.choice(MUTATIONS)
            changed = mutate(draw, data)
            return Case("unchanged" if changed in self.good else mutate.__name__, changed)
        kind = draw.choice(list(SPECIAL))
        return SPECIAL[kind](self, data)

    # --- what only somebody who knows the rules would try

    def forged(self, data: bytes) -> Case:
        """Signed with a key that is not the one it names."""
        envelope = pb.Transaction.FromString(data)
        return self._signed("forged", envelope.body, self._stranger(), envelope, refusals.SIGNATURE_INVALID)

    def of_stranger(self, data: bytes) -> Case:
        """Signed by a key that the controller does not have."""
        body = pb.Transaction.FromString(data).body
        return Case(
            "stranger's key", self.zone.sign(body, [self._stranger()]), frozenset({refusals.KEY_UNKNOWN})
        )

    def elsewhere_signed(self, data: bytes) -> Case:
        """Signed with the right key for another zone."""
        envelope = pb.Transaction.FromString(data)
        keys = self._keys_of(envelope)
        return Case(
            "wrong chain",
            self.elsewhere.sign(envelope.body, keys),
            frozenset({refusals.SIGNATURE_INVALID}),
        )

    def malleated(self, data: bytes) -> Case:
        """S + L in place of S: to a careless verifier the same signature in other bytes."""
        envelope = pb.Transaction.FromString(data)
        value = envelope.signatures[0].signature
        s = int.from_bytes(value[32:], "little") + ORDER
        envelope.signatures[0].signature = value[:32] + s.to_bytes(32, "little")
        return Case("malleated", _bytes(envelope), frozenset({refusals.SIGNATURE_INVALID}))

    def signatures_swapped(self, _data: bytes) -> Case:
        """Each of two keys with the signature of the other."""
        envelope = pb.Transaction.FromString(self.good[2])
        first, second = envelope.signatures
        first.signature, second.signature = second.signature, first.signature
        return Case("signatures swapped", _bytes(envelope), frozenset({refusals.SIGNATURE_INVALID}))

    def signatures_in_other_order(self, _data: bytes) -> Case:
        """Key ids do not ascend."""
        envelope = pb.Transaction.FromString(self.good[2])
        reverse = list(envelope.signatures)[::-1]
        turned = pb.Transaction(body=envelope.body, signatures=reverse)
        return Case("signatures turned", _bytes(turned), frozenset({refusals.MALFORMED_TRANSACTION}))

    def one_of_two(self, _data: bytes) -> Case:
        """A signature is taken away."""
        envelope = pb.Transaction.FromString(self.good[2])
        del envelope.signatures[self.random.randrange(2)]
        return Case("one of two keys", _bytes(envelope), frozenset({refusals.THRESHOLD_NOT_MET}))

    def signature_of_another(self, data: bytes) -> Case:
        """A good signature, of another body."""
        envelope = pb.Transaction.FromString(data)
        others = [other for other in map(pb.Transaction.FromString, self.good) if other.body != envelope.body]
        donor = self.random.choice(others)
        moved = pb.Transaction(body=envelope.body, signatures=donor.signatures)
        return Case("signature of another", _bytes(moved))

    def replayed(self, _data: bytes) -> Case:
        """What a block includes already."""
        return Case("replayed", self.random.choice(self.executed), frozenset({refusals.SEQUENCE_USED}))

    def expired(self, _data: bytes) -> Case:
        """An expiry that no block of the next one's time can meet, or one at the border that can."""
        earliest_ms = self.ledger.state.newest.time_ms + 1
        late = self.random.random() < 0.8
        expire = earliest_ms - (1 + self.random.randrange(DAY_MS) if late else 0)
        return self._fresh(
            "expired" if late else "expiry at border", expire, refusals.EXPIRED if late else ""
        )

    def too_far(self, _data: bytes) -> Case:
        """An expiry more than a day ahead, or one at the border."""
        latest_ms = self.ledger.state.newest.time_ms + 1 + limits.EXPIRY_AHEAD_MS_MAX
        far = self.random.random() < 0.8
        expire = latest_ms + (1 + self.random.randrange(DAY_MS) if far else 0)
        return self._fresh(
            "expiry too far" if far else "expiry at border", expire, refusals.EXPIRY_TOO_FAR if far else ""
        )

    def at_limit(self, _data: bytes) -> Case:
        """A good transaction of exactly the largest size, or one byte more."""
        excess = self.random.randrange(2)
        data = self._large[excess]
        reason = refusals.MALFORMED_TRANSACTION if excess else ""
        return Case("one byte over" if excess else "at the limit", data, frozenset({reason}))

    def too_large(self, data: bytes) -> Case:
        """Far beyond the limit, one in a hundred of them 64 MiB."""
        if self.random.random() < 0.01:
            return Case("64 MiB", bytes(HUGE_BYTES), frozenset({refusals.MALFORMED_TRANSACTION}))
        size = self.random.randrange(2, 40) * 65_536
        return Case(
            "too large",
            (data * (size // len(data) + 1))[:size],
            frozenset({refusals.MALFORMED_TRANSACTION}),
        )

    def _of_size(self, size_bytes: int) -> bytes:
        """A good transaction of exactly this size: controllers with many keys, then what fills the rest."""
        messages = [_controller(self.random, 16, both=True), _controller(self.random, 14, both=True)]
        topics = 1
        while (missing := size_bytes - len(self._transaction(*messages, _anchor(topics)))) > 0:
            if missing > 2_500:
                messages.append(_controller(self.random, 1, both=True))
            elif missing > 150:
                messages.append(_controller(self.random, max(1, min(16, missing // 50 - 2)), both=False))
            elif topics + missing <= 64:
                topics += missing
            else:
                messages.append(_anchor(1))
        data = self._transaction(*messages, _anchor(topics))
        if len(data) != size_bytes:
            raise Wrong(f"{len(data)} bytes where {size_bytes} are wanted")
        return data

    def _transaction(self, *messages: pb.Message, **changes: Any) -> bytes:
        now_ms = self.ledger.state.newest.time_ms
        body = self.zone.body(self.ana, *messages, time_ms=now_ms, sequence=1, **changes)
        return self.zone.sign(_bytes(body), self.ana.keys)

    def _fresh(self, kind: str, expire_time_ms: int, reason: str) -> Case:
        data = self._transaction(anchor(self.random.randbytes(32)), expire_time_ms=expire_time_ms)
        return Case(kind, data, frozenset({reason}))

    def _signed(self, kind: str, body: bytes, key: TestKey, envelope: pb.Transaction, reason: str) -> Case:
        forged = pb.Transaction.FromString(self.zone.sign(body, [key]))
        for signature in envelope.signatures:
            signature.signature = forged.signatures[0].signature
        return Case(kind, _bytes(envelope), frozenset({reason}))

    def _keys_of(self, envelope: pb.Transaction) -> list[TestKey]:
        members: list[Member] = [self.shop, self.ana, self.pair]
        named = {signature.key_id for signature in envelope.signatures}
        return [key for member in members for key in member.keys if key.key_id in named]

    def _stranger(self) -> TestKey:
        return TestKey(f"stranger {self.random.randrange(50)}", (Suite.ED25519,))


SPECIAL: Final[Mapping[str, Callable[[Campaign, bytes], Case]]] = {
    method.__name__: method
    for method in (
        Campaign.forged,
        Campaign.of_stranger,
        Campaign.elsewhere_signed,
        Campaign.malleated,
        Campaign.signatures_swapped,
        Campaign.signatures_in_other_order,
        Campaign.one_of_two,
        Campaign.signature_of_another,
        Campaign.replayed,
        Campaign.expired,
        Campaign.too_far,
        Campaign.at_limit,
        Campaign.too_large,
    )
}


def _anchor(topic_characters: int) -> pb.Message:
    return anchor(bytes(range(32)), "t" * topic_characters)


def _controller(random: Random, keys: int, *, both: bool) -> pb.Message:
    """A controller with so many keys that nobody has."""
    suites = (Suite.ED25519, Suite.ML_DSA_65) if both else (Suite.ED25519,)
    made = [{suite: random.randbytes(PUBLIC_KEY_BYTES[suite]) for suite in suites} for _ in range(keys)]
    registered = [
        pb.ControllerKey(
            public_keys=[
                pb.PublicKey(suite=int(suite), public_key=public_key) for suite, public_key in key.items()
            ]
        )
        for key in sorted(made, key=key_id)
    ]
    return pb.Message(
        open_controller=pb.OpenController(principal=random.randbytes(16), threshold=1, keys=registered)
    )


def _bytes(message: Any) -> bytes:
    data: bytes = message.SerializeToString(deterministic=True)
    return data


def play(seed: int, cases: int) -> Counter[tuple[str, str]]:
    """So many bad transactions; outcomes by kind and reason.

    Raises:
        Wrong: one was not treated as it must be.
    """

    async def run() -> Counter[tuple[str, str]]:
        campaign = Campaign(seed)
        await campaign.set_up()
        for _ in range(cases):
            await campaign.look(campaign.next_case())
        return campaign.outcomes

    return asyncio.run(run())
