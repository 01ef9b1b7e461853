"""Credit moves, is refused at the floor, is held, pays an order and a mutual-aid fund; through REST, through
gRPC and through kills."""

from __future__ import annotations

import json
from typing import Any

from icn.ledger.v1 import service_pb2 as ledger
from icn.ledger.v1.transaction_pb2 import Transfer
from icn.marketplace.v1 import service_pb2 as market
from icn.reputation.v1 import service_pb2 as reputation
from icn_client import contract_calls, transactions
from icn_client.acting import now_ms
from icn_client.marketplace import bare_id, capture_payment, place_payment
from icn_client.transactions import new_identifier
from icn_wasm.assembly import contract as assembled

from e2e.stories import Play, tell

LANE = 7
DAY_MS = 86_400_000
FLOOR_MINOR = -500_00


async def credit(play: Play) -> dict[str, Any]:
    bakery = play.founders["bakery"]
    unit = new_identifier()
    await play.apply(bakery, transactions.create_unit(unit, "HOURS", 2, FLOOR_MINOR))
    (anna, opens_anna), (bruno, opens_bruno) = play.person(bakery), play.person(bakery)
    await play.apply(bakery, opens_anna, opens_bruno)
    annas, brunos = new_identifier(), new_identifier()
    await play.apply(anna, transactions.open_account(annas, unit))
    await play.apply(bruno, transactions.open_account(brunos, unit))

    paid = await play.apply(bruno, transactions.transfer(brunos, annas, 120_00))
    refused = await play.act(bruno, transactions.transfer(brunos, annas, 400_00))
    hold = new_identifier()
    await play.apply(bruno, transactions.place_hold(hold, brunos, annas, 100_00, now_ms() + DAY_MS))
    held = await play.until(lambda: play.door.account(brunos), lambda found: found["held_minor"] > 0)
    await play.apply(anna, transactions.capture_hold(hold, 30_00))
    await play.apply(anna, transactions.void_hold(hold))

    published = await play.say(
        anna,
        market.PublishOffer(
            action=market.OFFER_ACTION_TRANSFER,
            title="Rye bread",
            specification="bread",
            quantity=40,
            measure="loaf",
            price_minor=50,
            account=annas,
            fulfil_within_ms=DAY_MS,
            expire_time_ms=now_ms() + DAY_MS,
        ),
    )
    offer = bare_id(published["offer"]["name"])
    accepted = await play.say(
        bruno,
        market.AcceptOffer(offer=offer, quantity=10, price_minor=50, expire_time_ms=now_ms() + 2 * DAY_MS),
    )
    agreement = bare_id(accepted["agreement"]["name"])
    signed_for = market.Agreement(
        amount_minor=int(accepted["agreement"]["amount_minor"]),
        account=accepted["agreement"]["account"],
        expire_time_ms=accepted["agreement"]["expire_time_ms"],
        commitments=[market.Commitment(name=one["name"]) for one in accepted["agreement"]["commitments"]],
    )
    await play.apply(bruno, place_payment(signed_for, brunos))
    path = f"/v1/agreements/{agreement.hex()}"
    request = market.GetAgreementRequest(name=f"agreements/{agreement.hex()}")
    await play.seen(path, request, "agreement", lambda found: found["hold"] == "held")
    await play.say(anna, market.ReportDelivery(agreement=agreement))
    await play.say(bruno, market.ConfirmDelivery(agreement=agreement))
    await play.apply(anna, capture_payment(signed_for))
    settled = await play.seen(path, request, "agreement", lambda found: found["state"] == "settled")
    left = await play.seen(
        f"/v1/offers/{offer.hex()}", market.GetOfferRequest(name=f"offers/{offer.hex()}"), "offer"
    )
    evidence = await play.seen(
        f"/v1/evidence?dimension=delivery&about={anna.principal.hex()}",
        reputation.ListEvidenceRequest(dimension="delivery", about=f"principals/{anna.principal.hex()}"),
        "evidence",
        bool,
    )

    code = assembled("mutual_aid_fund")
    stored = await play.act(bakery, transactions.store_code(code))
    assert stored.status == "applied" or stored.reason == "CODE_EXISTS", stored
    people = (anna.principal, bruno.principal)
    terms = {"unit": unit.hex(), "approvals": "1", "members": ",".join(one.hex() for one in people)}
    made = contract_calls.new_contract(
        contract_calls.code_id(code), json.dumps(terms, separators=(",", ":")).encode(), units=[unit]
    )
    await play.apply(bakery, made.message)
    pool = made.accounts[unit]

    def call(message: str, funds: tuple[Transfer, ...] = (), *declared: bytes) -> Any:
        return transactions.execute_contract(
            made.contract,
            contract_calls.declared_call(
                message.encode(), contract_calls.FUEL_DEFAULT, funds, {pool, *declared}
            ),
        )

    pay_in = Transfer(source=annas, destination=pool, amount_minor=20_00)
    await play.apply(anna, call('{"pay_in":{}}', (pay_in,)))
    await play.apply(bruno, call('{"ask":{"amount":"1500"}}'))
    await play.apply(anna, call('{"approve":{"ask":"1"}}', (), brunos))
    contract = await play.seen(
        f"/v1/contracts/{made.contract.hex()}",
        ledger.GetContractRequest(name=f"contracts/{made.contract.hex()}"),
        "contract",
    )
    assert contract["contract"] == made.contract.hex()
    return {
        "paid": [posting[2:] for posting in paid.postings],
        "refused": (refused.status, refused.reason, dict(refused.figures)),
        "held": held,
        "agreement": {name: settled[name] for name in ("quantity", "amount_minor", "return_owed_minor")},
        "commitments": [one["state"] for one in settled["commitments"]],
        "left": left["quantity_left"],
        "evidence": [(one["kind"], one["weight"]) for one in evidence],
        "anna": await play.money(annas, 135_00),
        "bruno": await play.money(brunos, -140_00),
        "fund": await play.money(pool, 5_00),
    }


def test_credit_moves_and_every_number_is_the_same_at_every_door(federation: Any) -> None:
    told = tell(federation, LANE, credit)
    assert told["paid"] == [(-120_00, -120_00), (120_00, 120_00)]
    status, reason, figures = told["refused"]
    assert (status, reason) == ("refused", "CREDIT_LIMIT_EXCEEDED")
    assert (figures["balance_minor"], figures["floor_minor"]) == (-120_00, FLOOR_MINOR)
    assert told["held"] == {"balance_minor": -120_00, "held_minor": 100_00, "floor_minor": FLOOR_MINOR}
    assert told["agreement"] == {"quantity": "10", "amount_minor": "500", "return_owed_minor": "0"}
    assert told["commitments"] == ["fulfilled", "fulfilled"]
    assert told["left"] == "30"
    assert [kind for kind, _ in told["evidence"]] == ["fulfilled"]
    (anna, annas), (_, brunos), (_, pool) = (told[name] for name in ("anna", "bruno", "fund"))
    assert anna["floor_minor"] == FLOOR_MINOR
    assert annas == [(-20_00, 135_00), (5_00, 155_00), (30_00, 150_00), (120_00, 120_00)]
    assert brunos == [(15_00, -140_00), (-5_00, -155_00), (-30_00, -150_00), (-120_00, -120_00)]
    assert pool == [(-15_00, 5_00), (20_00, 20_00)]
