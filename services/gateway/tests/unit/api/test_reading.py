from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from icn_client.light.proof_file import ProofMalformed, parse_proof_file
from icn_kit.errors import ErrorKind, RemoteError, Unavailable
from structlog.testing import capture_logs

ACCOUNT = f"{10:032x}"


async def problem(client: httpx.AsyncClient, path: str, status: int, reason: str) -> dict[str, Any]:
    answer = await client.get(path)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert document["reason"] == reason
    assert document["status"] == status
    assert len(document["trace_id"]) == 32
    return document


async def test_an_account_is_read_with_exact_amounts_and_its_unit(
    client: httpx.AsyncClient, zone: Any
) -> None:
    answer = await client.get(f"/v1/accounts/{ACCOUNT}")
    assert answer.status_code == 200
    assert answer.json() == {
        "id": ACCOUNT,
        "owner": zone.genesis.organizations[0].principal.hex(),
        "unit": {"id": f"{100:032x}", "code": "HOURS", "scale": 2},
        "balance_minor": "-8025",
        "held_minor": "700",
        "floor_minor": "-50000",
        "headroom_minor": "41275",
        "height": 3,
        "is_closed": False,
        "frozen_until_ms": 0,
        "credit": {
            "limit_minor": "-50000",
            "growth_minor": "0",
            "soft_limit_minor": "-50000",
            "spendable_minor": "41275",
            "is_main": True,
        },
    }


async def test_pages_of_accounts_follow_each_other_without_hole_or_repeat(client: httpx.AsyncClient) -> None:
    seen, token = [], ""
    while True:
        page = (await client.get("/v1/accounts", params={"page_size": 2, "page_token": token})).json()
        assert len(page["accounts"]) <= 2
        seen += [account["id"] for account in page["accounts"]]
        token = page["next_page_token"]
        if not token:
            break
    assert seen == [f"{number:032x}" for number in (10, 11, 12, 13, 14, 20)]


async def test_accounts_of_one_owner_are_only_its_own(client: httpx.AsyncClient) -> None:
    page = (await client.get("/v1/accounts", params={"owner": f"{77:032x}"})).json()
    assert [account["id"] for account in page["accounts"]] == [f"{20:032x}"]
    assert (await client.get("/v1/accounts", params={"owner": f"{78:032x}"})).json()["accounts"] == []


async def test_entries_come_newest_first_with_the_balance_after_each(client: httpx.AsyncClient) -> None:
    page = (await client.get(f"/v1/accounts/{ACCOUNT}/entries")).json()
    assert page["unit"]["scale"] == 2
    assert [(entry["amount_minor"], entry["balance_minor"]) for entry in page["entries"]] == [
        ("4025", "-8025"),
        ("-12050", "-12050"),
    ]
    assert page["entries"][0]["memo_hash"] is None
    assert [(entry["number"], entry["kind"]) for entry in page["entries"]] == [
        (2, "transfer"),
        (1, "transfer"),
    ]
    assert (page["entries"][0]["reference"], page["entries"][0]["hold"]) == (None, None)


async def test_a_transaction_is_read_with_its_receipt(client: httpx.AsyncClient, zone: Any) -> None:
    name = next(iter(zone.transactions)).hex()
    document = (await client.get(f"/v1/transactions/{name}")).json()
    assert document["transaction_id"] == document["receipt"]["transaction_id"] == name
    assert document["receipt"]["status"] == "applied"
    assert document["receipt"]["reason"] is None
    assert sum(int(posting["amount_minor"]) for posting in document["receipt"]["postings"]) == 0


async def test_a_principal_shows_its_keys_by_id_and_the_name_of_genesis(
    client: httpx.AsyncClient, zone: Any
) -> None:
    organization = zone.genesis.organizations[1]
    document = (await client.get(f"/v1/principals/{organization.principal.hex()}")).json()
    assert document["name"] == organization.name
    assert document["sponsor"] is None
    assert [key["key_id"] for key in document["keys"]] == [key.key_id.hex() for key in organization.keys]
    assert document["keys"][0]["scope"] is None
    assert document["lanes"] == [{"lane": 0, "last_sequence": 3}]


async def test_a_recovery_shows_its_keys_and_when_they_are_ready(
    client: httpx.AsyncClient, zone: Any
) -> None:
    lost, guardian = (organization.principal.hex() for organization in zone.genesis.organizations[:2])
    policy = (await client.get(f"/v1/principals/{lost}")).json()["recovery"]
    assert policy == {"guardian": guardian, "delay_ms": 1_209_600_000}
    assert (await client.get(f"/v1/principals/{guardian}")).json()["recovery"] is None
    document = (await client.get(f"/v1/recoveries/{lost}")).json()
    assert (document["principal"], document["guardian"], document["threshold"]) == (lost, guardian, 1)
    keys = (await client.get(f"/v1/principals/{guardian}")).json()["keys"]
    assert document["keys"] == keys
    leaf = zone.recoveries[bytes.fromhex(lost)]
    assert (document["ready_time_ms"], document["payer"]) == (leaf.ready_time_ms, guardian)


async def test_units_holds_and_allowances_are_read(client: httpx.AsyncClient, zone: Any) -> None:
    assert [unit["code"] for unit in (await client.get("/v1/units")).json()["units"]] == ["HOURS", "RIVER"]
    unit = (await client.get(f"/v1/units/{101:032x}")).json()
    assert unit["default_floor_minor"] == "-4611686018427387904"
    hold = (await client.get(f"/v1/holds/{40:032x}")).json()
    assert (hold["remaining_minor"], hold["unit"]["code"]) == ("700", "HOURS")
    principal = zone.genesis.organizations[0].principal.hex()
    allowance = (await client.get(f"/v1/allowances/{principal}")).json()
    assert (allowance["used_bytes"], allowance["used_new_leaves"]) == (300, 9)
    leaf = zone.allowances[zone.genesis.organizations[0].principal]
    for name in leaf.limits.DESCRIPTOR.fields_by_name:
        assert allowance[name] == getattr(leaf.limits, name) > 0


async def test_a_block_shows_its_header_and_the_bytes_its_hash_is_of(
    client: httpx.AsyncClient, zone: Any
) -> None:
    document = (await client.get("/v1/blocks/2")).json()
    assert document["header"]["height"] == document["height"] == 2
    assert document["header_bytes"] == zone.blocks[2].header.hex()
    assert document["transaction_ids"] == [identifier.hex() for identifier in zone.blocks[2].transaction_ids]


async def test_blocks_are_listed_newest_first(client: httpx.AsyncClient) -> None:
    page = (await client.get("/v1/blocks", params={"page_size": 3})).json()
    assert [block["height"] for block in page["blocks"]] == [3, 2, 1]
    assert "transaction_ids" not in page["blocks"][0], "a page of full blocks would be megabytes"


async def test_every_seat_is_shown_and_the_unreachable_one_has_no_status(
    client: httpx.AsyncClient, zone: Any
) -> None:
    zone.unreachable = {2}
    document = (await client.get("/v1/validators")).json()
    assert (document["quorum"], document["trust_profile"]) == (3, "hosted")
    assert [seat["is_reachable"] for seat in document["validators"]] == [True, True, False, True]
    assert document["validators"][2]["status"] is None
    assert document["validators"][0]["status"]["final_height"] == zone.height + 1
    assert [seat["name"] for seat in document["validators"]] == [
        seat.name for seat in zone.genesis.validators
    ]


async def test_which_protocol_version_a_validator_goes_by_and_why_it_stopped_is_shown(
    client: httpx.AsyncClient,
) -> None:
    status = (await client.get("/v1/validators")).json()["validators"][0]["status"]
    names = ("protocol_version", "protocol_newest", "protocol_next", "halted")
    assert [status[name] for name in names] == [1, 1, 2, "upgrade icn"]
    assert [peer["protocol_newest"] for peer in status["peers"]] == [2, 2, 2]


async def test_seats_are_those_in_force_and_a_quorum_is_of_them(client: httpx.AsyncClient, zone: Any) -> None:
    founders = [seat.organization for seat in zone.genesis.validators]
    newcomers = [bytes([number]) * 16 for number in (1, 2, 3, 4)]
    zone.seats = [founders[3], *newcomers, founders[1], founders[0]]
    document = (await client.get("/v1/validators")).json()
    assert (document["quorum"], len(document["validators"])) == (5, 7)
    shown = document["validators"]
    assert [bytes.fromhex(seat["organization"]) for seat in shown] == zone.seats
    assert [seat["is_reachable"] for seat in shown] == [True, *[False] * 4, True, True]
    assert [seat["name"] for seat in shown[:2]] == [zone.genesis.validators[3].name, ""]


async def test_while_the_ledger_cannot_be_read_the_seats_are_those_known_last(
    client: httpx.AsyncClient, zone: Any
) -> None:
    zone.fault = Unavailable("NO_VALIDATOR_REACHABLE", "none")
    document = (await client.get("/v1/validators")).json()
    assert (document["quorum"], len(document["validators"])) == (3, 4)


async def test_the_genesis_file_comes_byte_for_byte(client: httpx.AsyncClient, zone: Any) -> None:
    answer = await client.get("/v1/genesis")
    assert answer.content == zone.genesis_file
    assert answer.headers["etag"] == f'"{zone.genesis.hash.hex()}"'


async def test_a_proof_is_the_file_of_the_specification(client: httpx.AsyncClient, zone: Any) -> None:
    document = (await client.get(f"/v1/proofs/accounts/{ACCOUNT}")).json()
    assert document["format"] == "icn/proof/v1"
    assert document["genesis"] == zone.genesis.hash.hex()
    assert (document["namespace"], document["identifier"]) == (3, ACCOUNT)
    first, recovered, last = document["epochs"]
    assert first["next_validator_set"] == "", "a set that has not changed is left out"
    assert recovered["recovery"] == "04" and "next_validator_set" not in recovered
    assert last["next_validator_set"] == "" and "recovery" not in last


async def test_the_client_finds_nothing_wrong_with_the_members_of_a_proof(client: httpx.AsyncClient) -> None:
    content = (await client.get(f"/v1/proofs/accounts/{ACCOUNT}")).content
    with pytest.raises(ProofMalformed, match=r"^state_proof"):
        parse_proof_file(content)  # the fake's state proof is none; every other member is in order


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        (f"/v1/accounts/{999:032x}", "ACCOUNT_UNKNOWN"),
        (f"/v1/accounts/{999:032x}/entries", "ACCOUNT_UNKNOWN"),
        (f"/v1/units/{999:032x}", "UNIT_UNKNOWN"),
        (f"/v1/principals/{999:032x}", "CONTROLLER_UNKNOWN"),
        (f"/v1/holds/{999:032x}", "HOLD_UNKNOWN"),
        (f"/v1/allowances/{999:032x}", "ALLOWANCE_UNKNOWN"),
        (f"/v1/recoveries/{999:032x}", "RECOVERY_UNKNOWN"),
        (f"/v1/transactions/{999:064x}", "TRANSACTION_UNKNOWN"),
        ("/v1/blocks/999", "BLOCK_UNKNOWN"),
        ("/v1/nothing", "ROUTE_UNKNOWN"),
        ("/v1/accounts/a/b/c", "ROUTE_UNKNOWN"),
        ("/v1/blocks/latest", "ROUTE_UNKNOWN"),
    ],
)
async def test_what_is_not_there_is_a_404_with_a_stable_reason(
    client: httpx.AsyncClient, path: str, reason: str
) -> None:
    document = await problem(client, path, 404, reason)
    assert document["instance"] == path


@pytest.mark.parametrize(
    "path",
    [
        "/v1/accounts/xyz",
        "/v1/accounts/" + "A" * 32,
        "/v1/accounts/" + "0" * 33,
        "/v1/accounts/" + "0" * 31 + "%0A",
        "/v1/accounts/" + "%00" * 32,
        "/v1/accounts/" + "%D9%A3" * 32,
        "/v1/accounts/%FF",
        "/v1/transactions/" + "0" * 32,
        "/v1/accounts?page_size=0",
        "/v1/accounts?page_size=501",
        "/v1/accounts?page_size=-1",
        "/v1/accounts?page_size=1.5",
        "/v1/accounts?page_size=many",
        "/v1/accounts?page_size=",
        "/v1/accounts?page_size=99999999999999999999999",
        "/v1/accounts?page_token=%00",
        "/v1/accounts?page_token=" + "a" * 513,
        "/v1/accounts?owner=nobody",
        "/v1/blocks?page_size=51",
        "/v1/blocks/-1",
        "/v1/blocks/9007199254740992",
        "/v1/proofs/planets/" + "0" * 32,
        "/v1/events?subject=other",
    ],
)
async def test_input_of_another_form_is_a_400_that_names_the_parameter(
    client: httpx.AsyncClient, path: str
) -> None:
    document = await problem(client, path, 400, "INVALID_ARGUMENT")
    assert document["detail"]


async def test_the_kind_of_a_proof_decides_how_long_its_id_is(client: httpx.AsyncClient) -> None:
    await problem(client, "/v1/proofs/anchors/" + "0" * 32, 400, "MALFORMED_IDENTIFIER")
    await problem(client, "/v1/proofs/accounts/" + "0" * 64, 400, "MALFORMED_IDENTIFIER")


async def test_a_page_token_the_ledger_refuses_is_the_callers_fault(client: httpx.AsyncClient) -> None:
    await problem(client, "/v1/accounts?page_token=nonsense", 400, "MALFORMED_PAGE_TOKEN")


async def test_an_outage_is_a_503_that_says_when_to_come_back(client: httpx.AsyncClient, zone: Any) -> None:
    zone.fault = Unavailable("NO_VALIDATOR_REACHABLE", "no validator is reachable")
    await problem(client, f"/v1/accounts/{ACCOUNT}", 503, "NO_VALIDATOR_REACHABLE")
    assert (await client.get("/v1/accounts")).headers["retry-after"] == "1"


async def test_a_validators_own_fault_is_a_502_without_its_words(
    client: httpx.AsyncClient, zone: Any
) -> None:
    zone.fault = RemoteError(ErrorKind.INTERNAL, "INTERNAL", "relation balances does not exist")
    document = await problem(client, f"/v1/accounts/{ACCOUNT}", 502, "INTERNAL")
    assert "relation" not in json.dumps(document)


async def test_a_fault_of_the_gateway_is_a_500_without_a_traceback_and_logged_once(
    client: httpx.AsyncClient, zone: Any
) -> None:
    zone.fault = RuntimeError("secret detail")
    with capture_logs() as logs:
        document = await problem(client, f"/v1/accounts/{ACCOUNT}", 500, "INTERNAL")
    assert [line["exc_info"] for line in logs] == [zone.fault]
    assert "secret" not in json.dumps(document)
    assert "Traceback" not in json.dumps(document)


async def test_an_answer_that_breaks_the_validators_contract_is_a_502(
    client: httpx.AsyncClient, zone: Any
) -> None:
    zone.blocks[1].header = b"\xff\xff"
    await problem(client, "/v1/blocks/1", 502, "MALFORMED_ANSWER")
    zone.proofs[f"accounts/{ACCOUNT}"].state_proof = "[" * 100_000
    await problem(client, f"/v1/proofs/accounts/{ACCOUNT}", 502, "MALFORMED_ANSWER")


async def test_the_health_of_the_door_is_that_some_validator_answers(
    client: httpx.AsyncClient, zone: Any
) -> None:
    zone.unreachable = {1, 2, 3}
    assert (await client.get("/healthz")).json() == {"status": "ok", "validators_reachable": 1}


async def test_without_any_validator_the_door_is_not_healthy(client: httpx.AsyncClient, zone: Any) -> None:
    zone.unreachable = {0, 1, 2, 3}
    await problem(client, "/healthz", 503, "NO_VALIDATOR_REACHABLE")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_a_method_a_route_does_not_have_is_a_405(client: httpx.AsyncClient, method: str) -> None:
    answer = await client.request(method, f"/v1/accounts/{ACCOUNT}")
    assert answer.status_code == 405
    assert answer.json()["reason"] == "METHOD_NOT_ALLOWED"
