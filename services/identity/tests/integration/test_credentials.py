"""Memberships and offices over a real database: signed by the organization, followed by tuples, revoked."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from icn.identity.v1 import events_pb2, service_pb2
from icn_credentials import status_list
from icn_crypto.suites import Suite
from icn_kit.errors import DomainError

Service = Any
"""From conftest."""
START_MS = 1_790_000_000_000
DAY_MS = 86_400_000


async def refusal(call: Any) -> str:
    with pytest.raises(DomainError) as caught:
        await call
    return caught.value.reason


async def checkpoint(service: Service, height: int, time_ms: int = START_MS) -> None:
    service.blocks.stand(height, time_ms)
    uow = service.unit_of_work()
    async with uow:
        await uow.tuples.lock()
        await uow.tuples.settle_offices(time_ms, height)
        await uow.tuples.reach(height)
        await uow.commit()
    await service.permissions.load()


def is_allowed(service: Service, relation: str, height: int) -> bool:
    subject, object_ = f"principals/{service.anna.hex()}", f"organizations/{service.bakery.principal.hex()}"
    return bool(service.permissions.check(subject, relation, object_, height).is_allowed)


async def test_a_membership_is_published_listed_and_verified(service: Service) -> None:
    await service.ready()
    document = service.bakery.sign(service.bakery.claim(service.anna, 7))
    published = (await service.publish(document)).credential
    assert published.kind == service_pb2.CREDENTIAL_KIND_MEMBERSHIP and published.document == document
    assert published.subject == f"principals/{service.anna.hex()}" and not published.revoked_time_ms
    found = await service.servicer.GetCredential(service_pb2.GetCredentialRequest(name=published.name), None)
    assert found.credential == published
    for asked in ({"organization": published.organization}, {"subject": published.subject}):
        page = await service.servicer.ListCredentials(service_pb2.ListCredentialsRequest(**asked), None)
        assert list(page.credentials) == [published] and not page.next_page_token
    verdict = await service.servicer.VerifyCredential(
        service_pb2.VerifyCredentialRequest(document=document), None
    )
    assert verdict.is_valid and verdict.is_issuer_bound and verdict.status == "good"
    assert verdict.organization == published.organization
    assert [proof.cryptosuite for proof in verdict.proofs] == ["eddsa-jcs-2022", "mldsa65-jcs-2024"]
    name, payload = (await service.events())[-1]
    event = events_pb2.CredentialPublished.FromString(payload)
    assert (name, event.credential, event.kind) == ("credential_published", published.name, "membership")


async def test_a_repeat_gets_the_first_answer_and_has_one_effect(service: Service) -> None:
    await service.ready()
    document = service.bakery.sign(service.bakery.claim(service.anna, 7))
    command = service.bakery.command("PublishCredential", service_pb2.PublishCredential(document=document))
    answers = await asyncio.gather(*(service.servicer.PublishCredential(command, None) for _ in range(4)))
    assert len({answer.SerializeToString(deterministic=True) for answer in answers}) == 1
    assert [name for name, _ in await service.events()].count("credential_published") == 1


async def test_an_office_is_a_permission_until_it_is_revoked(service: Service) -> None:
    await service.ready()
    await checkpoint(service, 10)
    assert not is_allowed(service, "office.treasurer", 10)
    form = service.bakery.claim(service.anna, 8, office="treasurer")
    name = (await service.publish(service.bakery.sign(form))).credential.name
    await checkpoint(service, 12)
    assert not is_allowed(service, "office.treasurer", 10), "what was answered stays true"
    for relation in ("office.treasurer", "officer", "member"):
        assert is_allowed(service, relation, 12), relation
    service.blocks.stand(20, START_MS)
    assert list((await service.publish_list(8)).revoked) == [name]
    await checkpoint(service, 21)
    assert is_allowed(service, "officer", 19) and not is_allowed(service, "officer", 20)
    stored = await service.servicer.GetCredential(service_pb2.GetCredentialRequest(name=name), None)
    assert stored.credential.revoked_time_ms == START_MS
    verdict = await service.servicer.VerifyCredential(
        service_pb2.VerifyCredentialRequest(document=stored.credential.document), None
    )
    assert (verdict.is_valid, verdict.status) == (False, "revoked")
    names = [name for name, _ in await service.events()]
    assert names == [
        "did_published",
        "permission_checkpoint",
        "credential_published",
        "permission_tuple_written",
        "permission_checkpoint",
        "credential_revoked",
        "permission_tuple_removed",
        "permission_checkpoint",
    ]


async def test_an_office_begins_and_ends_in_block_time(service: Service) -> None:
    await service.ready()
    form = service.bakery.claim(
        service.anna,
        8,
        office="chair",
        valid_from_ms=START_MS + DAY_MS,
        valid_until_ms=START_MS + 2 * DAY_MS,
    )
    await service.publish(service.bakery.sign(form))
    await checkpoint(service, 11, START_MS + DAY_MS - 1)
    await checkpoint(service, 12, START_MS + DAY_MS)
    await checkpoint(service, 13, START_MS + 2 * DAY_MS - 1)
    await checkpoint(service, 14, START_MS + 2 * DAY_MS)
    found = [is_allowed(service, "office.chair", height) for height in (11, 12, 13, 14)]
    assert found == [False, True, True, False]


async def test_two_credentials_of_one_office_carry_one_tuple(service: Service) -> None:
    await service.ready()
    for index in (1, 2):
        await service.publish(service.bakery.sign(service.bakery.claim(service.anna, index, office="chair")))
    await service.publish_list(1)
    await checkpoint(service, 30)
    assert is_allowed(service, "office.chair", 30)
    await service.publish_list(2)
    await checkpoint(service, 40)
    assert not is_allowed(service, "office.chair", 40)
    names = [name for name, _ in await service.events()]
    assert names.count("permission_tuple_written") == names.count("permission_tuple_removed") == 1


async def test_what_is_learned_late_is_never_below_a_checkpoint(service: Service) -> None:
    await service.ready()
    await checkpoint(service, 50)
    service.blocks.stand(49, START_MS)  # this process is behind
    await service.publish(service.bakery.sign(service.bakery.claim(service.anna, 3, office="chair")))
    await checkpoint(service, 60)
    assert not is_allowed(service, "office.chair", 50) and is_allowed(service, "office.chair", 51)


async def test_only_present_keys_up_to_the_threshold_and_in_every_suite_count(
    service: Service, new_key: Any
) -> None:
    bakery = service.bakery
    first, second = bakery.keys[0], new_key()
    bakery.keys, bakery.threshold = [first, second], 2
    service.ledger.enrol(bakery.principal, bakery.keys, threshold=2)
    await service.ready()
    form = bakery.claim(service.anna, 1)
    for keys, suites in (
        ([first], tuple(Suite)),
        ([first, second], (Suite.ED25519,)),
        ([first], (Suite.ML_DSA_65,)),
    ):
        assert await refusal(service.publish(bakery.sign(form, keys, suites))) == "THRESHOLD_NOT_MET"
    await service.publish(bakery.sign(form))
    # The document still shows both, the ledger has dropped the second.
    service.ledger.enrol(bakery.principal, [first, new_key()], threshold=1)
    bakery.threshold = 1
    assert (
        await refusal(service.publish(bakery.sign(bakery.claim(service.anna, 2), [second])))
        == "THRESHOLD_NOT_MET"
    )
    await service.publish(bakery.sign(bakery.claim(service.anna, 2), [first]))


async def test_credentials_that_break_a_rule_are_refused(service: Service) -> None:
    bakery = service.bakery
    await service.publish_entry()
    document = bakery.sign(bakery.claim(service.anna, 1))
    assert await refusal(service.publish(document)) == "STATUS_LIST_UNKNOWN"
    await service.publish_list(5)

    async def tried(changes: dict[str, Any], **values: Any) -> str:
        base = bakery.claim(**({"subject": service.anna, "index": 1} | values))
        return await refusal(service.publish(bakery.sign(base | changes)))

    assert await tried({"issuer": "did:web:a.example"}) == "CREDENTIAL_INVALID"  # and so is memberOf
    assert await tried({"id": "urn:x"}) == "CREDENTIAL_INVALID"
    assert await tried({"type": ["VerifiableCredential"]}) == "CREDENTIAL_INVALID"
    assert await tried({"type": ["VerifiableCredential", "OfficeCredential"]}) == "CREDENTIAL_INVALID"
    assert await tried({"credentialSubject": []}) == "CREDENTIAL_INVALID"
    assert await tried({"credentialStatus": []}) == "CREDENTIAL_INVALID"
    assert await tried({"validUntil": "2020-01-01T00:00:00Z"}) == "CREDENTIAL_INVALID"
    assert await tried({}, office="Treasurer") == "CREDENTIAL_INVALID"
    assert await tried({}, list_url="https://coop.example/orgs/x/status") == "CREDENTIAL_INVALID"
    assert await tried({}, index=5) == "STATUS_INDEX_TAKEN"
    assert await tried({}, index=131_072) == "STATUS_INDEX_TAKEN"
    assert await tried({}, subject=b"x" * 16) == "NOT_A_MEMBER"
    foreign = bakery.claim(service.anna, 1, issuer="did:webvh:other")
    assert await refusal(service.publish(bakery.sign(foreign))) == "ISSUER_MISMATCH"
    changed = json.loads(document)
    changed["credentialSubject"]["id"] = "urn:icn:principal:" + "61" * 16
    changed["validFrom"] = "2026-01-01T00:00:00Z"
    assert await refusal(service.publish(json.dumps(changed).encode())) == "CREDENTIAL_INVALID"
    for content in (b"", b"{}", b"[]", b"x" * 65_537, b'{"a":1,"a":1}'):
        assert await refusal(service.publish(content)) == "CREDENTIAL_INVALID"
    await service.publish(document)
    assert await tried({}) == "STATUS_INDEX_TAKEN"
    service.ledger.admit(bakery.principal, service.anna, "ended")
    assert await tried({}, index=9) == "NOT_A_MEMBER"


async def test_an_id_is_taken_once(service: Service) -> None:
    await service.ready()
    form = service.bakery.claim(service.anna, 1)
    await service.publish(service.bakery.sign(form))
    assert await refusal(service.publish(service.bakery.sign(form))) == "CREDENTIAL_ID_TAKEN"


async def test_another_principal_cannot_publish_for_the_organization(service: Service, new_key: Any) -> None:
    await service.ready()
    document = service.bakery.sign(service.bakery.claim(service.anna, 1))
    key = new_key()
    service.ledger.enrol(service.anna, [key])
    anna = type(service.bakery)(service.anna, [key])
    command = anna.command("PublishCredential", service_pb2.PublishCredential(document=document))
    assert await refusal(service.servicer.PublishCredential(command, None)) == "DID_UNKNOWN"


async def test_status_lists_only_grow_and_are_the_organizations_own(service: Service) -> None:
    await service.ready()
    await service.publish_list(3)
    assert await refusal(service.publish_list(document=_list(service, 4))) == "REVOCATION_UNDONE"
    await service.publish_list(4)
    answer = await service.servicer.GetStatusList(
        service_pb2.GetStatusListRequest(organization=f"principals/{service.bakery.principal.hex()}"), None
    )
    bits = status_list.read_list(json.loads(answer.document)).bits
    assert [index for index in range(16) if status_list.read_bits(bits, index)] == [3, 4]
    for bad in (
        b"{}",
        b"x" * 262_145,
        service.bakery.status_list(id="https://coop.example/other"),
        service.bakery.status_list(type=["VerifiableCredential"]),
        service.bakery.status_list(validFrom="noon"),
    ):
        assert await refusal(service.publish_list(document=bad)) == "STATUS_LIST_INVALID"


def _list(service: Service, *indices: int) -> bytes:
    from icn_credentials import organization

    bits = status_list.with_bits_set(status_list.empty(), indices)
    bakery = service.bakery
    form = organization.status_list_credential(bakery.did, bakery.list_url, bits, START_MS)
    signed: bytes = bakery.sign(form)
    return signed


async def test_two_lists_at_once_lose_no_revocation(service: Service) -> None:
    await service.ready()
    results = await asyncio.gather(
        service.publish_list(document=_list(service, 1)),
        service.publish_list(document=_list(service, 2)),
        return_exceptions=True,
    )
    refused = [one for one in results if isinstance(one, DomainError)]
    assert [one.reason for one in refused] == ["REVOCATION_UNDONE"]


async def test_pages_go_through_everything_once(service: Service) -> None:
    await service.ready()
    for index in range(5):
        await service.publish(service.bakery.sign(service.bakery.claim(service.anna, index)))
    organization = f"principals/{service.bakery.principal.hex()}"
    seen: list[str] = []
    token = ""
    while True:
        page = await service.servicer.ListCredentials(
            service_pb2.ListCredentialsRequest(organization=organization, page_size=2, page_token=token), None
        )
        seen += [one.name for one in page.credentials]
        token = page.next_page_token
        if not token:
            break
    assert len(seen) == len(set(seen)) == 5


@pytest.mark.parametrize(
    ("method", "request_", "reason"),
    [
        ("GetCredential", service_pb2.GetCredentialRequest(name="credentials/x"), "MALFORMED_NAME"),
        (
            "GetCredential",
            service_pb2.GetCredentialRequest(name="credentials/" + "0" * 32),
            "CREDENTIAL_UNKNOWN",
        ),
        ("ListCredentials", service_pb2.ListCredentialsRequest(), "FILTER_AMBIGUOUS"),
        ("ListCredentials", service_pb2.ListCredentialsRequest(organization="x"), "MALFORMED_NAME"),
        (
            "ListCredentials",
            service_pb2.ListCredentialsRequest(subject="principals/" + "0" * 32, page_size=101),
            "PAGE_SIZE_OUT_OF_RANGE",
        ),
        (
            "ListCredentials",
            service_pb2.ListCredentialsRequest(subject="principals/" + "0" * 32, page_token="x"),
            "INVALID_PAGE_TOKEN",
        ),
        ("GetStatusList", service_pb2.GetStatusListRequest(organization="x"), "MALFORMED_NAME"),
        (
            "GetStatusList",
            service_pb2.GetStatusListRequest(organization="principals/" + "0" * 32),
            "STATUS_LIST_UNKNOWN",
        ),
        (
            "VerifyCredential",
            service_pb2.VerifyCredentialRequest(document=b"x" * 262_145),
            "DOCUMENT_TOO_LARGE",
        ),
        ("CheckPermission", service_pb2.CheckPermissionRequest(), "MALFORMED_TUPLE"),
        (
            "CheckPermission",
            service_pb2.CheckPermissionRequest(
                subject="principals/" + "0" * 32,
                relation="member",
                object="organizations/" + "0" * 32,
                height=1,
            ),
            "HEIGHT_NOT_REACHED",
        ),
        (
            "CheckPermission",
            service_pb2.CheckPermissionRequest(
                subject="principals/" + "0" * 32,
                relation="member",
                object="organizations/" + "0" * 32,
                height=2**63,
            ),
            "HEIGHT_OUT_OF_RANGE",
        ),
        ("ListPermissions", service_pb2.ListPermissionsRequest(), "FILTER_AMBIGUOUS"),
        (
            "ListPermissions",
            service_pb2.ListPermissionsRequest(object="principals/" + "0" * 32),
            "MALFORMED_NAME",
        ),
        (
            "ListPermissions",
            service_pb2.ListPermissionsRequest(subject="principals/" + "0" * 32, page_size=501),
            "PAGE_SIZE_OUT_OF_RANGE",
        ),
    ],
)
async def test_wrong_questions_are_refused(service: Service, method: str, request_: Any, reason: str) -> None:
    assert await refusal(getattr(service.servicer, method)(request_, None)) == reason


async def test_what_does_not_hold_is_answered_and_not_refused(service: Service) -> None:
    for document in (b"", b"{}", b'{"issuer":"did:webvh:x","proof":{}}', b"[" * 1000):
        verdict = await service.servicer.VerifyCredential(
            service_pb2.VerifyCredentialRequest(document=document), None
        )
        assert (not verdict.is_valid and verdict.reason and verdict.status == "not_checked") or document


async def test_permissions_are_explained_and_listed_at_their_height(service: Service) -> None:
    await service.ready()
    await service.publish(service.bakery.sign(service.bakery.claim(service.anna, 1, office="chair")))
    await service.publish(service.bakery.sign(service.bakery.claim(service.anna, 2, office="treasurer")))
    await checkpoint(service, 20)
    subject, object_ = f"principals/{service.anna.hex()}", f"organizations/{service.bakery.principal.hex()}"
    request = service_pb2.CheckPermissionRequest(subject=subject, relation="member", object=object_)
    verdict = await service.servicer.CheckPermission(request, None)
    assert verdict.is_allowed and verdict.height == 20
    assert verdict.because[0].relation.startswith("office.") and verdict.because[0].until_height == 0
    seen = []
    token = ""
    while True:
        page = await service.servicer.ListPermissions(
            service_pb2.ListPermissionsRequest(object=object_, page_size=1, page_token=token), None
        )
        seen += [one.relation for one in page.tuples]
        token = page.next_page_token
        await checkpoint(service, 21 + len(seen))
        assert page.height == 20
        if not token:
            break
    assert seen == ["office.chair", "office.treasurer"]
    mine = await service.servicer.ListPermissions(
        service_pb2.ListPermissionsRequest(subject=subject, height=9), None
    )
    assert list(mine.tuples) == []
