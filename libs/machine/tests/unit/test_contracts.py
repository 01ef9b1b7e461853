"""Contract transactions: what they move, write and pay, and each refusal at its border, without a trace."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import pytest
from icn.ledger.v1 import transaction_pb2 as pb
from icn.ledger.v1.events_pb2 import ContractAttribute, ContractCalled, ContractEvent
from icn.ledger.v1.state_pb2 import RECEIPT_STATUS_APPLIED, RECEIPT_STATUS_REFUSED, Receipt
from icn_crypto import tags
from icn_crypto.hashing import domain_hash
from icn_kit.errors import Unavailable
from icn_kit.outbox import events_of_row
from icn_ledger.events.outbox_rows import make_event_rows
from icn_machine import events
from icn_machine.contract_limits import ledger_fuel
from icn_machine.records import Contract

from libs.machine.tests.fake_vm import FUEL_USED, FakeVm
from libs.machine.tests.scene import ANA, BEN, OTHER_UNIT, OUT, UNIT, Scene
from libs.machine.tests.zone import (
    FUEL,
    Member,
    TestKey,
    Zone,
    execute,
    identifier,
    instantiate,
    memory_ledger,
    open_account,
    open_controller,
    place_hold,
    set_floor,
    store_code,
    transfer,
    update_controller,
)

CODE = b"\0asm code"
CODE_HASH = sha256(CODE).digest()
FUND, FUND_ACCOUNT = identifier("fund"), identifier("account of the fund")


def told(**asked: Any) -> bytes:
    return json.dumps(asked).encode()


class Contracts(Scene):
    """The scene with a vm, code in the state and a contract that has an account."""

    def __init__(self, zone: Zone) -> None:
        super().__init__(zone)
        self.vm = FakeVm()
        self.ledger = memory_ledger(zone, self.vm)

    async def set_up(self) -> Contracts:
        await super().set_up()
        await self.applied(self.shop, set_floor(ANA, -100))
        await self.applied_call(self.shop, store_code(CODE))
        made = instantiate(FUND, CODE_HASH, told(write={"unit": "x"}), accounts=[(FUND_ACCOUNT, UNIT)])
        await self.applied_call(self.shop, made)
        return self

    async def applied_call(self, actor: Member, message: pb.Message) -> Receipt:
        receipt = await self.run(actor, message)
        assert receipt.status == RECEIPT_STATUS_APPLIED, receipt
        assert receipt.HasField("contract")
        return receipt

    async def refused_call(
        self, reason: str, actor: Member, message: pb.Message, **changes: Any
    ) -> tuple[dict[str, int], int]:
        """Figures and fuel of a refusal that leaves no trace."""
        before = self.ledger.state.records[-1]
        receipt = await self.run(actor, message, **changes)
        after = self.ledger.state.records[-1]
        assert (receipt.status, receipt.reason) == (RECEIPT_STATUS_REFUSED, reason)
        assert not receipt.postings and not receipt.contract.data and not receipt.contract.events
        for table in ("units", "accounts", "codes", "contracts", "contract_entries"):
            now = {key: value for key, value in getattr(after, table).items() if value is not None}
            assert now == {key: value for key, value in getattr(before, table).items() if value is not None}
        used = [after.allowances[self.shop.principal], before.allowances[self.shop.principal]]
        assert used[0].used_state_leaves == used[1].used_state_leaves
        return {figure.name: figure.value for figure in receipt.figures}, receipt.contract.fuel_used

    def storage(self, contract: bytes = FUND) -> dict[bytes, bytes]:
        return {
            key[16:]: entry.value
            for key, entry in self.ledger.state.records[-1].contract_entries.items()
            if entry is not None and key.startswith(contract)
        }

    def contract(self, contract: bytes = FUND) -> Contract:
        return self.ledger.state.records[-1].contracts[contract]

    def pay_in(self, amount: int, **asked: Any) -> pb.Message:
        return execute(FUND, told(**asked), funds=[(ANA, FUND_ACCOUNT, amount)])


@pytest.fixture
async def scene(zone: Zone) -> Contracts:
    return await Contracts(zone).set_up()


async def test_a_contract_is_made_with_its_accounts_and_its_storage(scene: Contracts) -> None:
    account = scene.account(FUND_ACCOUNT)
    assert (account.owner, account.unit, account.balance_minor, account.floor_minor) == (FUND, UNIT, 0, 0)
    assert scene.storage() == {b"unit": b"x"}
    assert scene.contract() == Contract(FUND, CODE_HASH, scene.shop.principal, 1, 5, len(CODE))
    assert scene.ledger.state.records[-1].codes[CODE_HASH].code == CODE


async def test_funds_come_along_and_payments_go_out(scene: Contracts) -> None:
    receipt = await scene.applied_call(scene.ana, scene.pay_in(60, write={"pool": "60"}))
    assert receipt.contract.fuel_used == FUEL_USED + ledger_fuel(1, 5, len(CODE))
    call = scene.vm.calls[-1]
    assert (call.sender, call.funds) == (scene.ana.principal, [(UNIT, 60)])
    assert call.balances == [(FUND, UNIT, 60)], "funds are there before the call"
    out = execute(
        FUND,
        told(write={"pool": "20", "unit": None}, pay=[[scene.ben.principal.hex(), UNIT.hex(), 40]]),
        declared=[FUND_ACCOUNT, BEN],
    )
    receipt = await scene.applied_call(scene.ana, out)
    assert [posting.amount_minor for posting in receipt.postings] == [-40, 40]
    assert scene.balances() == (-60, 40)
    assert scene.account(FUND_ACCOUNT).balance_minor == 20
    assert scene.storage() == {b"pool": b"20"}
    assert scene.contract()[3:5] == (1, 6)
    assert scene.vm.calls[-1].balances == sorted([(FUND, UNIT, 60), (scene.ben.principal, UNIT, 100)]), (
        "what the owner could spend, the floor of -100 included"
    )


async def test_what_can_be_spent_leaves_out_what_is_held_and_is_never_below_zero(scene: Contracts) -> None:
    await scene.applied(scene.ana, place_hold(identifier("h"), ANA, BEN, 30, scene.now_ms + 10_000))
    await scene.applied_call(scene.ana, execute(FUND, declared=[ANA]))
    assert scene.vm.calls[-1].balances == [(scene.ana.principal, UNIT, 70)]
    await scene.applied(scene.shop, set_floor(ANA, 0))
    await scene.applied_call(scene.ana, execute(FUND, declared=[ANA]))
    assert scene.vm.calls[-1].balances == [(scene.ana.principal, UNIT, 0)]


async def test_events_and_data_are_in_the_receipt_and_told(scene: Contracts) -> None:
    receipt = await scene.applied_call(scene.ana, execute(FUND, told(data="yes", events={"paid": "1"})))
    assert receipt.contract.data == b"yes"
    own = ContractEvent(type="wasm", attributes=[ContractAttribute(key="paid", value="1")])
    expected = ContractCalled(events=[own]).SerializeToString(deterministic=True)
    assert receipt.contract.events == domain_hash(tags.CONTRACT_EVENTS, scene.zone.genesis.hash, expected)
    (event,) = [one for one in scene.ledger.state.commits[-1].events if type(one) is events.ContractCalled]
    assert (event.contract, event.sender, event.fuel_used) == (
        FUND,
        scene.ana.principal,
        receipt.contract.fuel_used,
    )


async def test_code_is_stored_once_and_only_where_the_vm_accepts_it(scene: Contracts) -> None:
    assert await scene.refused_call("CODE_EXISTS", scene.ana, store_code(CODE)) == ({}, 0)
    fuel = {
        (await scene.refused_call("MALFORMED_MODULE", scene.ana, store_code(b"text")))[1] for _ in range(3)
    }
    assert fuel == {10_040_000}, "refused code has used all of its limit"
    other = await scene.applied_call(scene.ana, store_code(CODE + b"2"))
    assert other.contract.fuel_used == FUEL_USED


async def test_what_must_hold_before_a_contract_runs(scene: Contracts) -> None:
    new = identifier("new")
    ana = scene.ana
    for taken in (FUND, scene.ana.principal):
        await scene.refused_call("PRINCIPAL_EXISTS", ana, instantiate(taken, CODE_HASH))
    await scene.refused_call("CODE_UNKNOWN", ana, instantiate(new, bytes(32)))
    await scene.refused_call("CONTRACT_UNKNOWN", ana, execute(new))
    await scene.refused_call("ACCOUNT_EXISTS", ana, instantiate(new, CODE_HASH, accounts=[(ANA, UNIT)]))
    await scene.refused_call("UNIT_UNKNOWN", ana, instantiate(new, CODE_HASH, accounts=[(new, new)]))
    await scene.refused_call("ACCOUNT_UNKNOWN", ana, execute(FUND, declared=[new]))
    await scene.refused_call("ACCOUNT_UNKNOWN", ana, execute(FUND, funds=[(ANA, new, 5)]))
    await scene.refused_call("FUNDS_ELSEWHERE", ana, execute(FUND, funds=[(ANA, BEN, 5)]))
    await scene.refused_call("NOT_ACCOUNT_OWNER", ana, execute(FUND, funds=[(BEN, FUND_ACCOUNT, 5)]))
    figures, fuel = await scene.refused_call("CREDIT_LIMIT_EXCEEDED", ana, scene.pay_in(101))
    assert (figures["amount_minor"], fuel) == (101, 0)
    second = identifier("second of ana")
    await scene.applied(ana, open_account(second, UNIT))
    await scene.refused_call("ACCOUNT_AMBIGUOUS", ana, execute(FUND, declared=[ANA, second]))
    assert len(scene.vm.calls) == 1, "the vm was asked nothing but the making"


async def test_nobody_takes_the_id_of_a_contract(scene: Contracts) -> None:
    member = Member(FUND, [TestKey("thief")], scene.shop.principal)
    await scene.refused("PRINCIPAL_EXISTS", scene.shop, open_controller(member))


async def test_the_ledgers_own_fuel_comes_off_the_limit(scene: Contracts) -> None:
    own = ledger_fuel(1, 5, len(CODE))
    asked = len(scene.vm.calls)
    _, used = await scene.refused_call("OUT_OF_GAS", scene.ana, execute(FUND, fuel_limit=own))
    assert (used, len(scene.vm.calls)) == (own, asked), "the vm is not asked"
    _, used = await scene.refused_call("OUT_OF_GAS", scene.ana, execute(FUND, fuel_limit=own + 1))
    assert (used, len(scene.vm.calls)) == (own + 1, asked + 1)
    assert scene.vm.calls[-1].fuel_limit == 1
    receipt = await scene.applied_call(scene.ana, execute(FUND, fuel_limit=own + FUEL_USED))
    assert receipt.contract.fuel_used == own + FUEL_USED


async def test_a_stopped_call_gives_its_funds_back_and_keeps_its_fuel(scene: Contracts) -> None:
    balances = scene.balances()
    figures, fuel = await scene.refused_call("TRAP", scene.ana, scene.pay_in(60, stop="TRAP"))
    assert (figures, fuel) == ({}, FUEL_USED + ledger_fuel(1, 5, len(CODE)))
    assert scene.balances() == balances
    shop = scene.ledger.state.records[-1].allowances[scene.shop.principal]
    assert shop.used_fuel >= FUEL, "what is charged is the limit"


async def test_a_refused_payment_takes_all_of_the_call_back(scene: Contracts) -> None:
    await scene.applied_call(scene.ana, scene.pay_in(60))
    ben, unit = scene.ben.principal.hex(), UNIT.hex()

    def paying(*payments: Any, declared: list[bytes]) -> pb.Message:
        return execute(FUND, told(write={"pool": "0"}, pay=list(payments)), declared=declared)

    both = [FUND_ACCOUNT, BEN]
    figures, _ = await scene.refused_call(
        "CREDIT_LIMIT_EXCEEDED", scene.ana, paying([ben, unit, 30], [ben, unit, 31], declared=both)
    )
    assert (figures["balance_minor"], figures["amount_minor"]) == (30, 31)
    await scene.refused_call("ACCOUNT_UNDECLARED", scene.ana, paying([ben, unit, 5], declared=[BEN]))
    await scene.refused_call("ACCOUNT_UNDECLARED", scene.ana, paying([ben, unit, 5], declared=[FUND_ACCOUNT]))
    other = paying([ben, OTHER_UNIT.hex(), 5], declared=sorted([*both, OUT]))
    await scene.refused_call("ACCOUNT_UNDECLARED", scene.ana, other)
    nobody = paying([identifier("nobody").hex(), unit, 5], declared=both)
    await scene.refused_call("ACCOUNT_UNDECLARED", scene.ana, nobody)
    assert scene.account(FUND_ACCOUNT).balance_minor == 60
    await scene.applied_call(scene.ana, paying([FUND.hex(), unit, 5], [ben, unit, 60], declared=both))
    assert scene.account(FUND_ACCOUNT).balance_minor == 0


async def test_only_so_many_entries_are_added_by_one_call(scene: Contracts) -> None:
    many = {f"k{number}": "v" for number in range(65)}
    figures, _ = await scene.refused_call(
        "ENTRIES_ADDED_EXCEEDED", scene.ana, execute(FUND, told(write=many))
    )
    assert figures == {"entries_added": 65, "entries_added_max": 64}
    # What is removed does not make room: those leaves may be another payer's.
    await scene.refused_call(
        "ENTRIES_ADDED_EXCEEDED", scene.ana, execute(FUND, told(write={**many, "unit": None}))
    )
    before = scene.leaves_used()
    del many["k64"]
    await scene.applied_call(scene.ana, execute(FUND, told(write=many)))
    assert scene.leaves_used() == before + 64


async def test_an_entry_is_given_back_to_who_pays_for_it(scene: Contracts) -> None:
    other = scene.zone.organizations[1]
    records = scene.ledger.state.records
    await scene.applied_call(other, execute(FUND, told(write={"theirs": "1"})))
    assert records[-1].allowances[other.principal].used_state_leaves == 1
    before = scene.leaves_used()
    await scene.applied_call(scene.ana, execute(FUND, told(write={"theirs": "22"})))
    assert records[-1].contract_entries[FUND + b"theirs"] == (b"22", other.principal)
    await scene.applied_call(scene.ana, execute(FUND, told(write={"theirs": None, "never": None})))
    assert records[-1].allowances[other.principal].used_state_leaves == 0
    assert scene.leaves_used() == before


@pytest.mark.parametrize("size", [4_096, 4_097])
async def test_data_fits_exactly_or_is_refused(scene: Contracts, size: int) -> None:
    message = execute(FUND, told(data="x" * size))
    if size == 4_096:
        assert len((await scene.applied_call(scene.ana, message)).contract.data) == size
    else:
        figures, _ = await scene.refused_call("DATA_TOO_LARGE", scene.ana, message)
        assert figures == {"bytes": 4_097, "bytes_max": 4_096}


def event_overhead(size: int) -> int:
    """Bytes of a called contract's event besides the ``size`` of its value."""
    event = ContractEvent(type="wasm", attributes=[ContractAttribute(key="key", value="x" * size)])
    return len(ContractCalled(events=[event]).SerializeToString()) - size


@pytest.mark.parametrize("size", [65_536, 65_537])
async def test_events_fit_an_envelope_that_consumers_read_or_are_refused(
    scene: Contracts, zone: Zone, size: int
) -> None:
    """An answer of 256 KiB once became an event of 265,705 bytes, applied and unreadable for ever."""
    parts = [30_000, size - 30_000 - 2 * event_overhead(30_000)]
    message = execute(FUND, told(write={"a": "1"}, long_events=parts))
    if size == 65_537:
        figures, _ = await scene.refused_call("EVENTS_TOO_LARGE", scene.ana, message)
        assert figures == {"bytes": 65_537, "bytes_max": 65_536}
        return
    receipt = await scene.applied_call(scene.ana, message)
    rows = make_event_rows(zone.genesis.hash)(scene.ledger.state.commits[-1])
    [envelope] = [
        parsed
        for row in rows
        for parsed in events_of_row("", row.run)
        if parsed.subject == "icn.ledger.v1.contract_called"
    ]
    called = ContractCalled.FromString(envelope.payload)
    assert [len(event.attributes[0].value) for event in called.events] == parts
    content = ContractCalled(events=called.events).SerializeToString(deterministic=True)
    assert len(content) == size
    assert receipt.contract.events == domain_hash(tags.CONTRACT_EVENTS, zone.genesis.hash, content)


async def test_storage_is_bounded_in_bytes_and_entries(scene: Contracts, monkeypatch: Any) -> None:
    monkeypatch.setattr("icn_machine.contract_limits.STORAGE_BYTES_MAX", 10)
    await scene.applied_call(scene.ana, execute(FUND, told(write={"a": "1234"})))
    figures, _ = await scene.refused_call(
        "STORAGE_FULL", scene.ana, execute(FUND, told(write={"a": "12345"}))
    )
    assert figures == {"entries": 2, "entries_max": 4_096, "bytes": 11, "bytes_max": 10}
    monkeypatch.setattr("icn_machine.contract_limits.ENTRIES_MAX", 2)
    figures, _ = await scene.refused_call(
        "STORAGE_FULL", scene.ana, execute(FUND, told(write={"a": "1", "b": "1"}))
    )
    assert (figures["entries"], figures["entries_max"]) == (3, 2)


async def test_a_scoped_key_moves_funds_within_its_bounds_only(scene: Contracts) -> None:
    small = TestKey("small")
    scope = pb.KeyScope(message_kinds=[26], amount_minor_max=10)
    await scene.applied(scene.ana, update_controller(1, *scene.ana.keys, (small, scope)))
    data = scene.zone.transaction(scene.ana, scene.pay_in(10), keys=[small], time_ms=scene.now_ms)
    receipt = Receipt.FromString((await scene.ledger.execute(data)).outcomes[0][1])
    assert receipt.status == RECEIPT_STATUS_APPLIED
    await scene.refused_call("KEY_SCOPE_EXCEEDED", scene.ana, scene.pay_in(11), keys=[small])
    await scene.refused_call("KEY_SCOPE_EXCEEDED", scene.ana, store_code(CODE + b"3"), keys=[small])


# Blocks of several.


async def test_native_transactions_come_first_and_receipts_stay_in_order(scene: Contracts) -> None:
    zone, now = scene.zone, scene.now_ms
    call = zone.transaction(scene.ben, execute(FUND, told(), funds=[(BEN, FUND_ACCOUNT, 150)]), time_ms=now)
    gift = zone.transaction(scene.ana, transfer(ANA, BEN, 50), time_ms=now)
    receipts = [Receipt.FromString(data) for _, data in (await scene.ledger.execute(call, gift)).outcomes]
    assert [receipt.HasField("contract") for receipt in receipts] == [True, False]
    assert all(receipt.status == RECEIPT_STATUS_APPLIED for receipt in receipts)
    assert receipts[0].postings[0].balance_minor == -100, "after the gift, to the floor exactly"


async def test_a_lane_goes_on_past_a_call_that_runs_later(scene: Contracts) -> None:
    zone, now = scene.zone, scene.now_ms
    transactions = [
        zone.transaction(scene.ana, message, time_ms=now)
        for message in (execute(FUND), transfer(ANA, BEN, 1), execute(FUND), transfer(ANA, BEN, 1))
    ]
    await scene.ledger.execute(*transactions)
    controller = scene.ledger.state.records[-1].controllers[scene.ana.principal]
    assert controller.last_sequence(0) == scene.ana.next_sequence[0] - 1


async def test_keys_changed_in_the_block_sign_no_call_any_more(scene: Contracts) -> None:
    zone, now = scene.zone, scene.now_ms
    call = zone.transaction(scene.ana, execute(FUND), time_ms=now)
    change = zone.transaction(scene.ana, update_controller(1, TestKey("new")), time_ms=now)
    outcomes = (await scene.ledger.execute(call, change)).outcomes
    receipt = Receipt.FromString(outcomes[0][1])
    assert (receipt.reason, receipt.contract.fuel_used) == ("KEY_REVOKED", 0)


async def test_storage_travels_once_and_later_calls_see_what_was_applied(scene: Contracts) -> None:
    zone, now = scene.zone, scene.now_ms
    ben, unit = scene.ben.principal.hex(), UNIT.hex()
    messages = [
        execute(FUND, told(expect={"n": None}, write={"n": "1"})),
        execute(FUND, told(expect={"n": "1"}, write={"n": "2"}, pay=[[ben, unit, 5]])),  # undeclared
        execute(FUND, told(expect={"n": "1"}, write={"n": "3"})),
        execute(FUND, told(expect={"n": "3"}, stop="TRAP")),
        execute(FUND, told(expect={"n": "3"}, write={"n": None})),
        execute(FUND, told(expect={"n": None})),
    ]
    transactions = [zone.transaction(scene.ana, message, time_ms=now) for message in messages]
    opened, asked = scene.vm.opened, len(scene.vm.calls)
    outcomes = (await scene.ledger.execute(*transactions)).outcomes
    reasons = [Receipt.FromString(data).reason for _, data in outcomes]
    assert reasons == ["", "ACCOUNT_UNDECLARED", "", "TRAP", "", ""]
    assert scene.vm.opened == opened + 1, "one stream per block"
    sent = [call.storage is not None for call in scene.vm.calls[asked:]]
    assert sent == [True, False, False, False, False, False]
    assert scene.storage() == {b"unit": b"x"}


async def test_a_contract_is_made_and_called_in_one_block(scene: Contracts) -> None:
    zone, now, new = scene.zone, scene.now_ms, identifier("new")
    code = CODE + b"4"
    messages = [
        store_code(code),
        instantiate(new, sha256(code).digest(), told(stop="TRAP")),
        instantiate(new, sha256(code).digest(), told(write={"a": "1"})),
        execute(new, told(expect={"a": "1"}, write={"a": "2"})),
    ]
    transactions = [zone.transaction(scene.ana, message, time_ms=now) for message in messages]
    outcomes = (await scene.ledger.execute(*transactions)).outcomes
    assert [Receipt.FromString(data).reason for _, data in outcomes] == ["", "TRAP", "", ""]
    assert scene.storage(new) == {b"a": b"2"}
    assert scene.contract(new).storage_entries == 1


async def test_a_vm_that_is_away_refuses_nothing_and_the_block_comes_again(scene: Contracts) -> None:
    zone, now = scene.zone, scene.now_ms
    transactions = [
        zone.transaction(scene.ana, message, time_ms=now)
        for message in (
            scene.pay_in(5, write={"n": "1"}),
            execute(FUND, told(expect={"n": "1"}, write={"n": "2"})),
            transfer(ANA, BEN, 1),
        )
    ]
    before = scene.ledger.state.newest.height
    for position in (1, 2):
        scene.vm.fails_at = position
        with pytest.raises(Unavailable) as away:
            await scene.ledger.execute(*transactions)
        assert away.value.reason == "VM_UNAVAILABLE"
        assert scene.ledger.state.newest.height == before
    scene.vm.fails_at = 0
    outcomes = (await scene.ledger.execute(*transactions)).outcomes
    assert all(Receipt.FromString(data).status == RECEIPT_STATUS_APPLIED for _, data in outcomes)
    assert scene.storage()[b"n"] == b"2"
    assert not scene.ledger.halts


async def test_without_a_vm_blocks_with_calls_wait_and_others_do_not(zone: Zone) -> None:
    scene = await Scene(zone).set_up()
    with pytest.raises(Unavailable, match="vm_address"):
        await scene.run(scene.shop, store_code(CODE))
    scene.shop.next_sequence[0] -= 1
    await scene.applied(scene.shop, set_floor(ANA, 0))
