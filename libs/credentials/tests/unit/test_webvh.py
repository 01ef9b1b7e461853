"""did:webvh logs: made, verified, resolved, tampered with; and judged by `did-webvh` as an oracle."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from did_webvh.history import load_local_history
from icn_credentials import did_key, documents, proofs, webvh_author, webvh_did, webvh_log
from icn_credentials.faults import CredentialFault, InvalidDid, NotFound, NotResolvable
from icn_credentials.proofs import EDDSA_JCS
from icn_credentials.resolver import Resolver, Version, resolve, split_url
from icn_credentials.webvh_keys import key_hash
from icn_credentials.webvh_log import Log, find, read_log

Signer = Any
"""A key of each suite; from conftest."""
NOW_MS = 1_790_000_000_000
DAY_MS = 86_400_000
DID_KEY = "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp"
START_MS = NOW_MS - 10 * DAY_MS

Change = Callable[[dict[str, Any]], None]


def document(did: str, signer: Signer, **more: Any) -> dict[str, Any]:
    method = documents.multikey_method(did, "key-1", signer.key)
    return {
        "@context": ["https://www.w3.org/ns/did/v1", "https://w3id.org/security/multikey/v1"],
        "id": did,
        "verificationMethod": [method],
        "assertionMethod": [method["id"]],
        **more,
    }


class Author:
    """Writes a log entry by entry; each change is made before the entry is hashed and signed again."""

    def __init__(self, signer: Signer, *, template: str | None = None, **parameters: Any) -> None:
        self.signer = signer
        self.template = template or webvh_author.template("coop.example", ["orgs", "bakery"])
        line = webvh_author.first_entry(
            document(self.template, signer),
            [signer.key],
            signer.key,
            signer.ed25519.sign,
            time_ms=START_MS,
            parameters=parameters,
        )
        self.lines = [line]

    @property
    def log(self) -> Log:
        return read_log(self.content, NOW_MS)

    @property
    def content(self) -> bytes:
        return b"".join(line + b"\n" for line in self.lines)

    @property
    def did(self) -> str:
        return str(json.loads(self.lines[-1])["state"]["id"])

    def add(
        self, signer: Signer | None = None, *, by: Signer | None = None, day: int = 1, **parameters: Any
    ) -> None:
        last = self.log.last
        holder = signer or self.signer
        signing = by or self.signer
        line = webvh_author.next_entry(
            last,
            document(last.did, holder),
            parameters,
            signing.key,
            signing.ed25519.sign,
            time_ms=START_MS + day * DAY_MS,
        )
        self.lines.append(line)
        self.signer = holder

    def forge(self, number: int, change: Change, by: Signer | None = None) -> bytes:
        """The log with one entry changed, its hash and proof made again by one who knows a key."""
        lines = self.lines.copy()
        form = json.loads(lines[number - 1])
        del form["proof"]
        before = json.loads(lines[number - 2])["versionId"] if number > 1 else form["parameters"]["scid"]
        change(form)
        form["versionId"] = webvh_log.entry_version_id(form, number, before)
        signer = by or self.signer
        signed = proofs.add_proof(
            form,
            EDDSA_JCS,
            signer.ed25519.sign,
            verification_method=did_key.method_id(signer.key),
            created_ms=START_MS,
        )
        lines[number - 1] = json.dumps(signed | {"proof": [signed["proof"]]}).encode()
        return b"\n".join(lines[:number])


@pytest.fixture
def bakery(anna: Signer) -> Author:
    return Author(anna)


@pytest.fixture
def rotated(anna: Signer, bert: Signer) -> Author:
    """Three versions: made, keys rotated, changed by the new key."""
    author = Author(anna)
    author.add(bert, by=anna, day=1, updateKeys=[bert.key.did_key_part()])
    author.add(day=2)
    return author


def fault_of(content: bytes, witnesses: bytes | None = None) -> str:
    """Why the newest version is not to be had."""
    try:
        return read_log(content, NOW_MS, witnesses).fault
    except CredentialFault as fault:
        return str(fault)


# Making and resolving


def test_a_log_is_made_and_resolved(bakery: Author) -> None:
    log = bakery.log
    assert log.fault == "" and log.last.number == 1
    assert log.last.did == f"did:webvh:{log.scid}:coop.example:orgs:bakery" == bakery.did
    found = resolve(bakery.did, Version(), {log.scid: log})
    assert found.document == json.loads(bakery.lines[0])["state"]
    assert found.metadata["versionTime"] == "2026-09-11T14:13:20Z" and found.metadata["ttl"] == "3600"


def test_versions_are_found_by_id_number_and_time(rotated: Author, anna: Signer, bert: Signer) -> None:
    log = rotated.log
    assert [entry.number for entry in log.entries] == [1, 2, 3]
    for entry in log.entries:
        assert find(log, version_id=entry.version_id) is entry
        assert find(log, version_number=entry.number) is entry
        assert find(log, version_time_ms=entry.version_time_ms) is entry
    assert find(log, version_time_ms=log.entries[1].version_time_ms - 1) is log.entries[0]
    assert find(log, version_time_ms=NOW_MS) is log.last is find(log)
    for missing in (
        {"version_number": 4},
        {"version_id": "1-QmX"},
        {"version_time_ms": START_MS - 1},
        {"version_id": log.last.version_id, "version_number": 1},
        {"version_number": 3, "version_time_ms": START_MS},
    ):
        with pytest.raises(NotFound):
            find(log, **missing)  # type: ignore[arg-type]
    with pytest.raises(InvalidDid, match="not did:webvh"):
        find(log, did=rotated.did + ":other")


def test_a_did_url_asks_for_a_version(rotated: Author) -> None:
    log = rotated.log
    did, version, _ = split_url(f"{rotated.did}?versionNumber=2")
    assert resolve(did, version, {log.scid: log}).metadata["versionNumber"] == 2
    did, version, _ = split_url(f"{rotated.did}?versionTime=2026-09-12T14:13:19Z")
    assert resolve(did, version, {log.scid: log}).metadata["versionNumber"] == 1
    for query in (
        "versionNumber=0",
        "versionNumber=x",
        "versionTime=noon",
        "relativeRef=x",
        "versionId=a&versionId=b",
    ):
        with pytest.raises(InvalidDid):
            split_url(f"{rotated.did}?{query}")
    with pytest.raises(NotResolvable, match=r"https://coop\.example/orgs/bakery/did\.jsonl"):
        resolve(rotated.did)


def test_a_credential_is_verified_with_the_keys_of_its_time(
    rotated: Author, anna: Signer, bert: Signer
) -> None:
    logs = {rotated.log.scid: rotated.log}
    method = f"{rotated.did}#key-1"
    assert Resolver(logs).verification_method(method, "assertionMethod").key == bert.key
    assert Resolver(logs, START_MS).verification_method(method, "assertionMethod").key == anna.key


def test_keys_committed_to_are_rotated_to(anna: Signer, bert: Signer) -> None:
    author = Author(anna, nextKeyHashes=[key_hash(bert.key.did_key_part())])
    keys = [bert.key.did_key_part()]
    author.add(bert, by=bert, updateKeys=keys, nextKeyHashes=[])
    author.add(bert, day=2)
    assert author.log.fault == "" and author.log.last.number == 3


def test_a_deactivated_did_says_so_and_ends(rotated: Author) -> None:
    rotated.add(day=3, deactivated=True, updateKeys=[])
    log = rotated.log
    found = resolve(rotated.did, Version(), {log.scid: log})
    assert found.metadata["deactivated"] is True
    with pytest.raises(CredentialFault, match="deactivated"):
        Resolver({log.scid: log}).verification_method(f"{rotated.did}#key-1", "assertionMethod")
    with pytest.raises(InvalidDid):
        rotated.add(day=3)
    rotated.add(day=4)
    assert "deactivated" in rotated.log.fault


def test_a_portable_did_moves_and_names_where_it_was(anna: Signer) -> None:
    author = Author(anna, portable=True)
    old = author.did
    new = old.replace("coop.example", "bakery.example")

    def move(form: dict[str, Any]) -> None:
        form["state"] = document(new, anna, alsoKnownAs=[old])

    author.add()
    author.lines = author.forge(2, move).split(b"\n")
    log = author.log
    assert log.fault == "" and log.last.did == new
    assert find(log, did=old).did == new


def test_versions_are_a_second_apart(bakery: Author, anna: Signer) -> None:
    with pytest.raises(InvalidDid, match="second"):
        bakery.add(day=0)


# Tampering


def drop(*path: str) -> Change:
    def change(form: dict[str, Any]) -> None:
        inner = form
        for name in path[:-1]:
            inner = inner[name]
        del inner[path[-1]]

    return change


def put(value: Any, *path: str) -> Change:
    def change(form: dict[str, Any]) -> None:
        inner = form
        for name in path[:-1]:
            inner = inner[name]
        inner[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("number", "change", "said"),
    [
        (1, put("2026-09-11T14:13:21Z", "versionTime"), "scid"),
        (1, put([], "state", "assertionMethod"), "scid"),
        (1, drop("parameters", "method"), "method"),
        (1, drop("parameters", "updateKeys"), "updateKeys"),
        (1, put("did:webvh:0.5", "parameters", "method"), "did:webvh:0.5"),
        (1, put("did:webvh:99.9", "parameters", "method"), "did:webvh:99.9"),
        (2, put("2026-09-11T14:13:20Z", "versionTime"), "not after"),
        (2, put("2026-09-21T14:20:00Z", "versionTime"), "ahead"),
        (2, put("2026-09-12T14:13:20+02:00", "versionTime"), "UTC"),
        (2, put("noon", "versionTime"), "time"),
        (2, put("x", "more"), "members"),
        (2, drop("state"), "members"),
        (2, put([], "state"), "objects"),
        (2, put("did:webvh:QmX", "parameters", "scid"), "first entry only"),
        (2, put(True, "parameters", "portable"), "first entry only"),
        (2, put("yes", "parameters", "portable"), "true or false"),
        (2, put(1, "parameters", "deactivated"), "true or false"),
        (2, put(-1, "parameters", "ttl"), "ttl"),
        (2, put(True, "parameters", "ttl"), "ttl"),
        (2, put(5, "parameters", "unheard"), "unheard"),
        (2, put("z6Mk", "parameters", "updateKeys"), "updateKeys"),
        (2, put(["z6Mk"], "parameters", "updateKeys"), "updateKeys"),
        (2, put(["x", "x"], "parameters", "watchers"), "twice"),
        (2, put({"threshold": 1}, "parameters", "witness"), "witness"),
        (2, put({"threshold": 1, "witnesses": []}, "parameters", "witness"), "witnesses"),
        (2, put({"threshold": 0, "witnesses": [{"id": DID_KEY}]}, "parameters", "witness"), "threshold"),
        (2, put({"threshold": 2, "witnesses": [{"id": DID_KEY}] * 2}, "parameters", "witness"), "twice"),
        (2, put({"threshold": 1, "witnesses": [{"id": "did:web:x"}]}, "parameters", "witness"), "did:key"),
        (2, put("did:webvh:x", "state", "id"), "self-certifying"),
        (2, put(DID_KEY, "state", "id"), "did:webvh"),
    ],
)
def test_an_entry_that_breaks_a_rule_ends_the_log_though_a_key_signed_it(
    rotated: Author, anna: Signer, number: int, change: Change, said: str
) -> None:
    fault = fault_of(rotated.forge(number, change, anna))
    assert fault and said in fault
    if number == 2:
        log = read_log(rotated.forge(number, change, anna), NOW_MS)
        assert [entry.number for entry in log.entries] == [1], "the version before it stays resolvable"
        assert find(log, version_number=1).number == 1
        for asked in ({}, {"version_number": 2}, {"version_time_ms": NOW_MS}):
            with pytest.raises(InvalidDid):
                find(log, **asked)


def test_another_document_id_needs_portability_and_the_old_name(rotated: Author, anna: Signer) -> None:
    moved = rotated.did.replace("coop.example", "evil.example")
    assert "not portable" in fault_of(rotated.forge(2, put(moved, "state", "id"), anna))
    author = Author(anna, portable=True)
    author.add()
    moved = author.did.replace("coop.example", "evil.example")
    assert "alsoKnownAs" in fault_of(author.forge(2, put(moved, "state", "id"), anna))
    swapped = moved.replace(author.log.scid, rotated.log.scid)
    assert "another self-certifying" in fault_of(author.forge(2, put(swapped, "state", "id"), anna))


def test_only_keys_in_force_sign(rotated: Author, anna: Signer, bert: Signer) -> None:
    nothing: Change = lambda form: None  # noqa: E731
    assert "may not update" in fault_of(rotated.forge(1, nothing, bert))
    assert "may not update" in fault_of(rotated.forge(2, nothing, bert)), "a new key signs after its entry"
    assert "may not update" in fault_of(rotated.forge(3, nothing, anna)), "an old key does not come back"


def test_while_keys_are_committed_to_nothing_else_is_accepted(anna: Signer, bert: Signer) -> None:
    author = Author(anna, nextKeyHashes=[key_hash(bert.key.did_key_part())])
    author.add(bert, by=bert, updateKeys=[bert.key.did_key_part()], nextKeyHashes=[])
    for change, signer, said in (
        (drop("parameters", "updateKeys"), anna, "updateKeys"),
        (drop("parameters", "nextKeyHashes"), bert, "nextKeyHashes"),
        (put([anna.key.did_key_part()], "parameters", "updateKeys"), anna, "committed"),
        (put([], "parameters", "updateKeys"), anna, "may not update"),
    ):
        assert said in fault_of(author.forge(2, change, signer))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"cryptosuite": "eddsa-rdfc-2022"}, "eddsa-jcs-2022"),
        ({"proofPurpose": "authentication"}, "assertionMethod"),
        ({"proofValue": "z111"}, "does not hold"),
        ({"verificationMethod": "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp#x"}, "fragment"),
        ({"verificationMethod": "#key-1"}, "did:key"),
    ],
)
def test_a_proof_that_was_changed_ends_the_log(bakery: Author, changes: dict[str, Any], said: str) -> None:
    form = json.loads(bakery.lines[0])
    form["proof"][0] |= changes
    assert said in fault_of(json.dumps(form).encode())
    for proof in ([], None, "x"):
        assert fault_of(json.dumps(form | {"proof": proof}).encode())


def test_one_bad_proof_among_good_ones_is_not_passed_over(bakery: Author) -> None:
    form = json.loads(bakery.lines[0])
    form["proof"].append(form["proof"][0] | {"proofValue": "z111"})
    assert "does not hold" in fault_of(json.dumps(form).encode())


def test_entries_cannot_be_left_out_swapped_or_taken_from_another_log(rotated: Author, anna: Signer) -> None:
    one, two, three = rotated.lines
    assert "versionId" in fault_of(b"\n".join([one, three]))
    assert fault_of(b"\n".join([two, three]))
    assert "versionId" in fault_of(b"\n".join([one, two, two]))
    other = Author(anna, template=webvh_author.template("other.example"))
    other.add()
    assert "versionId" in fault_of(b"\n".join([one, other.lines[1]]))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"x",
        b"[]",
        b"{}",
        b"\xff",
        b'{"versionId":"1","versionId":"1"}',
        b"[" * 10_000,
        b"{}\n" * 10_001,
        b" " * 4_194_305,
    ],
)
def test_what_is_no_log_is_refused(content: bytes) -> None:
    with pytest.raises(CredentialFault):
        read_log(content, NOW_MS)


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_line_ends_of_either_kind_are_read(rotated: Author, newline: bytes) -> None:
    assert read_log(newline.join(rotated.lines) + newline, NOW_MS).fault == ""


@pytest.mark.parametrize(
    "rest",
    [
        "",
        "coop.example",
        "QmX:coop.example",
        "{scid}",
        "{scid}:",
        "{scid}:127.0.0.1",
        "{scid}:127%2E0%2E0%2E1",
        "{scid}:2130706433",
        "{scid}:coop.example%3A",
        "{scid}:coop.example%3A99999",
        "{scid}:coop.example%3a80",
        "{scid}:coop.example:80/..",
        "{scid}:coop.example:..",
        "{scid}:coop.example:%2e%2e",
        "{scid}:coop.example:a%2Fb",
        "{scid}:coop.example::x",
        "{scid}:-coop.example",
        "{scid}:coop..example",
        "{scid}:coop.example" + ":x" * 16,
    ],
)
def test_an_identifier_that_leads_elsewhere_is_refused(bakery: Author, rest: str) -> None:
    with pytest.raises(InvalidDid):
        webvh_did.read("did:webvh:" + rest.format(scid=bakery.log.scid))


@pytest.mark.parametrize(
    ("rest", "url"),
    [
        ("coop.example", "https://coop.example/.well-known/did.jsonl"),
        ("localhost%3A8080:orgs:x", "https://localhost:8080/orgs/x/did.jsonl"),
        ("coop.example:dids:issuer", "https://coop.example/dids/issuer/did.jsonl"),
    ],
)
def test_the_log_is_published_where_the_did_says(bakery: Author, rest: str, url: str) -> None:
    did = f"did:webvh:{bakery.log.scid}:{rest}"
    assert webvh_did.read(did).log_url() == url
    assert str(webvh_did.read(did)) == did


# Witnesses


def witness_file(*approvals: tuple[str, Signer]) -> bytes:
    items = [
        {"versionId": version_id, "proof": [signer.add({"versionId": version_id})["proof"]]}
        for version_id, signer in approvals
    ]
    return json.dumps(items).encode()


def test_witnessed_entries_need_their_threshold(anna: Signer, bert: Signer) -> None:
    witnesses = {"threshold": 1, "witnesses": [{"id": bert.did}]}
    author = Author(anna, witness=witnesses)
    first = json.loads(author.lines[0])["versionId"]
    assert "witnesses" in fault_of(author.content)
    assert "witnesses" in fault_of(author.content, witness_file((first, anna)))
    assert "witnesses" in fault_of(author.content, witness_file(("1-Qm", bert)))
    log = read_log(author.content, NOW_MS, witness_file((first, bert)))
    assert log.fault == ""
    metadata = resolve(author.did, Version(), {log.scid: log}).metadata
    assert metadata["witness"] == {"threshold": "1", "witnesses": [{"id": bert.did}]}
    # An approval of a later entry covers the earlier; one of the earlier not the later.
    line = webvh_author.next_entry(
        log.last,
        document(log.last.did, anna),
        {"witness": {}},
        anna.key,
        anna.ed25519.sign,
        time_ms=START_MS + DAY_MS,
    )
    both = author.content + line
    second = json.loads(line)["versionId"]
    assert fault_of(both, witness_file((second, bert))) == ""
    assert fault_of(both, witness_file((first, bert))).startswith("entry 2")
    for broken in (b"", b"{}", b"[5]", b'[{"versionId":5,"proof":1}]', b"[" * 9_000):
        assert fault_of(both, broken)


# The oracle


def oracle_says(content: bytes, folder: Path, witnesses: bytes | None = None) -> str:
    """What `did-webvh` of its method's authors makes of the log: the versionId, empty where it refuses."""
    (folder / "did.jsonl").write_bytes(content)
    if witnesses is not None:
        (folder / "did-witness.json").write_bytes(witnesses)
    try:
        _, metadata = asyncio.run(
            load_local_history(folder / "did.jsonl", verify_proofs=True, verify_witness=True)
        )
    except Exception:  # noqa: BLE001 - it refuses with several kinds of errors
        return ""
    return str(metadata.version_id)


def oracle_cases(anna: Signer, bert: Signer) -> Iterator[tuple[str, bytes, bytes | None]]:
    author = Author(anna)
    yield "one entry", author.content, None
    author.add(bert, by=anna, updateKeys=[bert.key.did_key_part()])
    author.add(day=2)
    yield "rotated", author.content, None
    yield "bad signer", author.forge(3, lambda form: None, anna), None
    yield "time goes back", author.forge(2, put("2026-09-11T14:13:20Z", "versionTime"), anna), None
    yield "unknown parameter", author.forge(2, put(1, "parameters", "x"), anna), None
    yield "left out", b"\n".join([author.lines[0], author.lines[2]]), None
    yield "changed", author.content.replace(b"key-1", b"key-2", 1), None
    author.add(day=3, deactivated=True, updateKeys=[])
    yield "deactivated", author.content, None
    committed = Author(anna, nextKeyHashes=[key_hash(bert.key.did_key_part())])
    committed.add(bert, by=bert, updateKeys=[bert.key.did_key_part()], nextKeyHashes=[])
    yield "committed", committed.content, None
    yield (
        "not committed",
        committed.forge(2, put([anna.key.did_key_part()], "parameters", "updateKeys"), anna),
        None,
    )
    witnessed = Author(anna, witness={"threshold": 1, "witnesses": [{"id": bert.did}]})
    first = json.loads(witnessed.lines[0])["versionId"]
    yield "witnessed", witnessed.content, witness_file((first, bert))
    yield "not witnessed", witnessed.content, witness_file((first, anna))


def test_the_oracle_judges_every_log_as_we_do(anna: Signer, bert: Signer, tmp_path: Path) -> None:
    verdicts = []
    for number, (name, content, witnesses) in enumerate(oracle_cases(anna, bert)):
        folder = tmp_path / str(number)
        folder.mkdir()
        try:
            log = read_log(content, NOW_MS, witnesses)
            ours = "" if log.fault else log.last.version_id
        except CredentialFault:
            ours = ""
        verdicts.append((name, bool(ours)))
        assert oracle_says(content, folder, witnesses) == ours, name
    assert [name for name, is_valid in verdicts if is_valid] == [
        "one entry",
        "rotated",
        "deactivated",
        "committed",
        "witnessed",
    ]


def test_logs_that_the_oracle_makes_are_verified_by_us(tmp_path: Path) -> None:
    from did_webvh.askar import AskarSigningKey
    from did_webvh.core.state import DocumentState
    from did_webvh.history import update_document_state

    first_key, second_key = (AskarSigningKey.generate("ed25519") for _ in range(2))
    parameters = {"updateKeys": [str(first_key.multikey)], "portable": True}
    for key in (first_key, second_key):
        key.kid = f"did:key:{key.multikey}#{key.multikey}"
    made = DocumentState.initial(
        parameters, {"id": "did:webvh:{SCID}:example.com"}, timestamp="2026-09-11T14:13:20Z"
    )
    made.proofs.append(made.create_proof(first_key, timestamp=made.timestamp))
    changed = update_document_state(
        made,
        first_key,
        params_update={"updateKeys": [str(second_key.multikey)]},
        timestamp="2026-09-12T00:00:00Z",
    )
    content = (made.history_json() + "\n" + changed.history_json() + "\n").encode()
    log = read_log(content, NOW_MS)
    assert log.fault == ""
    assert [entry.version_id for entry in log.entries] == [made.version_id, changed.version_id]
    assert oracle_says(content, tmp_path) == changed.version_id


# The specification's example


def test_the_entry_hash_of_the_specification_is_ours() -> None:
    witness_dids = [
        "did:key:z6Mkkc51mg2vpQzKWAbWQZupeGYhowaBjYkmvcKMTqteqHB4",
        "did:key:z6MkuDdJdKLCgwZuQuEi9xG6LVgJJ9Tebr74CXPYPSumqgJs",
        "did:key:z6MkoSWmQyp4fTk4ZQy4KUsss9dFX51XfEUzKKKj1J1JUsrF",
    ]
    scid = "QmdmPkUdYzbr9txmx8gM2rsHPgr5L6m3gHjJGAf4vUFoGE"
    form: dict[str, Any] = {
        "versionTime": "2025-04-01T17:39:50Z",
        "parameters": {
            "witness": {"threshold": 2, "witnesses": [{"id": did, "weight": 1} for did in witness_dids]},
            "updateKeys": ["z6MkgzBDcBFV3sk4ypPE5YXMZHmS213A3HpYY2LmcVKV15jr"],
            "nextKeyHashes": ["QmZreDcjvWEpyRFznQeExWNCsvMLk5i59AcRJJuQC8UodJ"],
            "method": "did:webvh:0.5",
            "scid": scid,
        },
        "state": {
            "@context": ["https://www.w3.org/ns/did/v1"],
            "id": f"did:webvh:{scid}:domain.example",
        },
    }
    assert webvh_log.entry_version_id(form, 1, scid) == "1-QmQ6FJ4fk2xheSSQoEjVpTgx9AQPKhJgtR9hn1nr4EeCrZ"
