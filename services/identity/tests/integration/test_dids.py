"""DIDs of organizations over a real database: they mirror the ledger's keys, whoever asks otherwise."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from icn.identity.v1 import events_pb2, service_pb2
from icn_credentials import webvh_author
from icn_crypto.suites import Suite
from icn_identity.domain.principals import ControllerKey, Recovery
from icn_kit.errors import DomainError

Service = Any
"""From conftest."""
START_MS = 1_790_000_000_000
SECOND_MS = 1_000


async def refusal(call: Any) -> str:
    with pytest.raises(DomainError) as caught:
        await call
    return caught.value.reason


async def test_an_organization_publishes_its_did_and_everybody_resolves_it(service: Service) -> None:
    answer = await service.publish_entry()
    bakery = service.bakery
    assert answer.did == bakery.did
    found = await service.servicer.GetPrincipal(
        service_pb2.GetPrincipalRequest(name=f"principals/{bakery.principal.hex()}"), None
    )
    assert (found.did, found.is_did_current, found.threshold) == (bakery.did, True, 1)
    assert found.did_template == f"did:webvh:{{SCID}}:coop.example:orgs:{bakery.principal.hex()}"
    assert [list(key.suites) for key in found.keys] == [[1, 2]] and found.keys[0].did.startswith(
        "did:key:z6Mk"
    )
    for name in (f"principals/{bakery.principal.hex()}", bakery.did):
        log = await service.servicer.GetDidLog(service_pb2.GetDidLogRequest(name=name), None)
        assert log.log == bakery.lines[0] + b"\n"
    resolved = await service.servicer.ResolveDid(service_pb2.ResolveDidRequest(did=bakery.did), None)
    document = json.loads(resolved.document)
    assert document["id"] == bakery.did and len(document["assertionMethod"]) == 2
    assert json.loads(resolved.metadata)["versionId"] == answer.version_id
    ((name, payload),) = await service.events()
    event = events_pb2.DidPublished.FromString(payload)
    assert (name, event.did, event.principal) == ("did_published", bakery.did, bakery.principal)


async def test_a_repeated_command_gets_the_first_answer_also_when_sent_at_once(service: Service) -> None:
    entry = service.bakery.entry()
    command = service.bakery.command("PublishDidEntry", service_pb2.PublishDidEntry(entry=entry))
    answers = await asyncio.gather(
        *(service.servicer.PublishDidEntry(command, None) for _ in range(4)), return_exceptions=True
    )
    taken = [answer for answer in answers if not isinstance(answer, BaseException)]
    assert taken and len({answer.version_id for answer in taken}) == 1
    assert await service.servicer.PublishDidEntry(command, None) == taken[0]
    assert [name for name, _ in await service.events()] == ["did_published"]
    again = service.bakery.command("PublishDidEntry", service_pb2.PublishDidEntry(entry=entry))
    assert await refusal(service.servicer.PublishDidEntry(again, None)) == "DID_ENTRY_STALE"


async def test_keys_that_changed_on_the_ledger_are_followed_by_an_entry(
    service: Service, new_key: Any
) -> None:
    await service.publish_entry()
    bakery, old = service.bakery, service.bakery.keys[0]
    bakery.keys = [new_key()]
    service.ledger.enrol(bakery.principal, bakery.keys)
    service.clock.time_ms += 60 * SECOND_MS
    portrait = await service.servicer.GetPrincipal(
        service_pb2.GetPrincipalRequest(name=f"principals/{bakery.principal.hex()}"), None
    )
    assert portrait.did and not portrait.is_did_current
    line = bakery.entry(by=old, time_ms=service.clock.time_ms)
    await service.publish_entry(line)
    for number, count in ((1, old), (2, bakery.keys[0])):
        answer = await service.servicer.ResolveDid(
            service_pb2.ResolveDidRequest(did=bakery.did, version_number=number), None
        )
        assert count.id.hex() in answer.document.decode()
    earlier = await service.servicer.ResolveDid(
        service_pb2.ResolveDidRequest(did=bakery.did, version_time_ms=START_MS + SECOND_MS), None
    )
    assert json.loads(earlier.metadata)["versionNumber"] == 1


async def test_after_a_recovery_the_guardian_signs_the_entry_and_the_new_keys_the_command(
    service: Service, new_key: Any
) -> None:
    bakery, guardian_key, stranger = service.bakery, new_key(), new_key()
    guardian = b"g" * 16
    service.ledger.enrol(guardian, [guardian_key])
    service.ledger.enrol(bakery.principal, bakery.keys, guardian=guardian, recovery_delay_ms=5)
    await service.publish_entry(bakery.entry(also=[guardian_key]))
    bakery.keys = [new_key()]
    service.ledger.enrol(bakery.principal, bakery.keys, guardian=guardian, recovery_delay_ms=5)
    service.clock.time_ms += 60 * SECOND_MS
    line = bakery.entry(by=guardian_key, time_ms=service.clock.time_ms, also=[guardian_key])
    # The guardian alone cannot send it.
    alone = type(bakery)(bakery.principal, [guardian_key])
    command = alone.command(
        "PublishDidEntry", service_pb2.PublishDidEntry(entry=line), time_ms=service.clock.time_ms
    )
    assert await refusal(service.servicer.PublishDidEntry(command, None)) == "KEY_UNKNOWN"
    bad = bakery.entry(by=stranger, time_ms=service.clock.time_ms, also=[guardian_key])
    assert await refusal(service.publish_entry(bad)) == "DID_ENTRY_INVALID"
    await service.publish_entry(line)
    log = await service.servicer.GetDidLog(service_pb2.GetDidLogRequest(name=bakery.did), None)
    assert log.log.count(b"\n") == 2


async def test_entries_that_do_not_mirror_the_ledger_are_refused(service: Service, new_key: Any) -> None:
    bakery, key = service.bakery, service.bakery.keys[0]
    stranger = new_key()
    bakery.keys = [key, stranger]
    assert await refusal(service.publish_entry()) == "KEYS_DIFFER"  # shows a key that is not the ledger's
    bakery.keys = [key]
    assert await refusal(service.publish_entry(bakery.entry(also=[stranger]))) == "KEYS_DIFFER"
    scoped = new_key()
    service.ledger.enrol(
        bakery.principal, [key], scoped={scoped.id: ControllerKey(dict(scoped.public), is_scoped=True)}
    )
    assert await refusal(service.publish_entry(bakery.entry(also=[scoped]))) == "KEYS_DIFFER"
    service.ledger.enrol(bakery.principal, [key, new_key()])
    assert await refusal(service.publish_entry()) == "KEYS_DIFFER"  # lacks one
    assert await service.events() == []


async def test_dids_of_others_and_elsewhere_are_refused(service: Service) -> None:
    bakery = service.bakery
    own = bakery.principal
    bakery.principal = service.anna
    line = bakery.entry()
    bakery.principal = own
    assert await refusal(service.publish_entry(line)) == "DID_ELSEWHERE"
    assert await refusal(service.publish_entry(bakery.entry(portable=True))) == "DID_ELSEWHERE"
    assert (
        await refusal(
            service.publish_entry(
                bakery.entry(
                    witness={
                        "threshold": 1,
                        "witnesses": [{"id": "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp"}],
                    }
                )
            )
        )
        == "DID_ENTRY_INVALID"
    )
    assert webvh_author.template("coop.example")


@pytest.mark.parametrize(
    "entry", [b"", b"{}", b"[1]", b"x" * 131_073, b"{}\n{}", b"\xff", b'{"versionId":"7-Qm"}']
)
async def test_what_is_no_entry_is_refused(service: Service, entry: bytes) -> None:
    assert await refusal(service.publish_entry(entry)) in ("DID_ENTRY_INVALID", "DID_ENTRY_STALE")


async def test_a_deactivated_did_is_shown_no_more(service: Service) -> None:
    await service.publish_entry()
    service.clock.time_ms += 60 * SECOND_MS
    line = service.bakery.entry(time_ms=service.clock.time_ms, deactivated=True, updateKeys=[])
    await service.publish_entry(line)
    name = f"principals/{service.bakery.principal.hex()}"
    found = await service.servicer.GetPrincipal(service_pb2.GetPrincipalRequest(name=name), None)
    assert (found.did, found.is_did_current) == ("", False)
    assert await refusal(service.publish_list()) == "DID_UNKNOWN"


async def test_a_recovery_under_way_and_devices_are_shown(service: Service, new_key: Any) -> None:
    bakery, phone, new = service.bakery, new_key(Suite.ED25519), new_key(Suite.ED25519)
    scoped = {phone.id: ControllerKey(dict(phone.public), is_scoped=True)}
    service.ledger.enrol(bakery.principal, bakery.keys, scoped=scoped, guardian=b"g" * 16)
    service.ledger.recoveries[bakery.principal] = Recovery(
        b"g" * 16, START_MS, {new.id: ControllerKey(dict(new.public))}
    )
    service.ledger.admit(b"f" * 16, bakery.principal)
    found = await service.servicer.GetPrincipal(
        service_pb2.GetPrincipalRequest(name=f"principals/{bakery.principal.hex()}"), None
    )
    assert {key.is_scoped: key.key_id for key in found.keys}[True] == phone.id
    assert found.guardian == "principals/" + "67" * 16
    assert found.recovery.ready_time_ms == START_MS and found.recovery.keys[0].key_id == new.id
    assert [(one.organization, one.status) for one in found.memberships] == [
        ("principals/" + "66" * 16, "active")
    ]


@pytest.mark.parametrize(
    ("method", "request_", "reason"),
    [
        ("GetPrincipal", service_pb2.GetPrincipalRequest(name=""), "MALFORMED_NAME"),
        ("GetPrincipal", service_pb2.GetPrincipalRequest(name="principals/AB"), "MALFORMED_NAME"),
        (
            "GetPrincipal",
            service_pb2.GetPrincipalRequest(name="principals/" + "0" * 32),
            "CONTROLLER_UNKNOWN",
        ),
        ("GetDidLog", service_pb2.GetDidLogRequest(name="did:webvh:x"), "DID_INVALID"),
        ("GetDidLog", service_pb2.GetDidLogRequest(name="x"), "MALFORMED_NAME"),
        ("GetDidLog", service_pb2.GetDidLogRequest(name="did:" + "x" * 20_000), "DID_INVALID"),
        ("GetDidLog", service_pb2.GetDidLogRequest(name="principals/" + "0" * 32), "DID_UNKNOWN"),
        ("ResolveDid", service_pb2.ResolveDidRequest(did=""), "DID_INVALID"),
        ("ResolveDid", service_pb2.ResolveDidRequest(did="did:web:a.example"), "DID_INVALID"),
        ("ResolveDid", service_pb2.ResolveDidRequest(did="did:key:z6Mk", version_number=1), "DID_INVALID"),
        (
            "ResolveDid",
            service_pb2.ResolveDidRequest(did="did:key:z6Mk", version_number=1, version_id="1-x"),
            "VERSION_AMBIGUOUS",
        ),
        (
            "ResolveDid",
            service_pb2.ResolveDidRequest(
                did="did:webvh:QmP1perXqTHLPtd2XAXJbyfXm7VG4dA7ANRXAcfQWBEeUP:coop.example"
            ),
            "DID_UNKNOWN",
        ),
    ],
)
async def test_wrong_questions_are_refused(service: Service, method: str, request_: Any, reason: str) -> None:
    assert await refusal(getattr(service.servicer, method)(request_, None)) == reason


async def test_a_device_is_resolved_by_its_own_key(service: Service) -> None:
    did = "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp"
    found = await service.servicer.ResolveDid(service_pb2.ResolveDidRequest(did=did), None)
    assert json.loads(found.document)["id"] == did


async def test_a_version_that_is_not_there_is_not_found(service: Service) -> None:
    await service.publish_entry()
    for asked in ({"version_number": 2}, {"version_id": "1-x"}, {"version_time_ms": 1}):
        request = service_pb2.ResolveDidRequest(did=service.bakery.did, **asked)
        assert await refusal(service.servicer.ResolveDid(request, None)) == "DID_UNKNOWN"
