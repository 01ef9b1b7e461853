"""A zone made up for the tests: its genesis, everybody's keys, and blocks over a running ledger."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from icn.consensus.v1.block_pb2 import VOTE_KIND_NOTARIZE, BlockHeader, Certificate, SeatSignature
from icn.ledger.v1 import transaction_pb2 as pb
from icn_chain.validator_set import parse_validator_set
from icn_crypto import tags
from icn_crypto.hashing import domain_hash, preimage
from icn_crypto.merkle_log import leaf_hash, tree_root
from icn_crypto.suites import SigningKey, Suite, key_id
from icn_kit.genesis import Genesis, parse_genesis, public_keys_document
from icn_machine.blocks.block_commit import initial_commit
from icn_machine.blocks.branches import BranchCache
from icn_machine.blocks.contract_engine import ContractEngine, NoVm
from icn_machine.blocks.execute_block import Execution, Executor
from icn_machine.blocks.final_block import FinalBlock
from icn_machine.blocks.ports import BlockCommit, ExecutedBlock, State
from icn_machine.blocks.transaction_cache import TransactionCache
from icn_machine.genesis_state import first_header, genesis_records
from icn_sim.memory_state import MemoryState

GENESIS_TIME_MS = 1_700_000_000_000
EPOCH_MS = 86_400_000
HOUR_MS = 3_600_000
SUITES = (Suite.ED25519, Suite.ML_DSA_65)
PLENTY = {
    "bytes_per_epoch": 2**40,
    "signatures_per_epoch": 2**40,
    "state_leaves": 2**40,
    "fuel_per_epoch": 2**50,
}


def identifier(name: str) -> bytes:
    """16 bytes that look random and are always the same."""
    return sha256(name.encode()).digest()[:16]


class TestKey:
    """A key with its secrets, made from a name."""

    __test__ = False

    def __init__(self, name: str, suites: Sequence[Suite] = (Suite.ED25519,)) -> None:
        self.signing = {
            suite: SigningKey.from_seed(suite, sha256(f"{name} {suite}".encode()).digest())
            for suite in suites
        }
        self.public = {suite: key.public_key for suite, key in self.signing.items()}
        self.key_id = key_id(self.public)

    def message(self, scope: pb.KeyScope | None = None) -> pb.ControllerKey:
        """The key as a controller registers it."""
        public_keys = [
            pb.PublicKey(suite=int(suite), public_key=public_key) for suite, public_key in self.public.items()
        ]
        return pb.ControllerKey(public_keys=public_keys, scope=scope)


def sorted_keys(*keys: tuple[TestKey, pb.KeyScope | None] | TestKey) -> list[pb.ControllerKey]:
    """Keys as a controller registers them, ascending by key id."""
    pairs = [key if isinstance(key, tuple) else (key, None) for key in keys]
    return [key.message(scope) for key, scope in sorted(pairs, key=lambda pair: pair[0].key_id)]


@dataclass
class Member:
    """A principal with its keys and the next number of its lanes."""

    principal: bytes
    keys: list[TestKey]
    payer: bytes
    next_sequence: dict[int, int] = field(default_factory=dict)


@dataclass
class Zone:
    """Four organizations, their keys and the zone's authority (one of two keys)."""

    genesis: Genesis
    document: dict[str, Any]
    organizations: list[Member]
    authority: Member

    def member(self, name: str, sponsor: Member, keys: int = 1) -> Member:
        """Somebody who is not in the state yet."""
        return Member(
            identifier(name), [TestKey(f"{name} {index}") for index in range(keys)], sponsor.principal
        )

    def body(
        self,
        actor: Member,
        *messages: pb.Message,
        time_ms: int = GENESIS_TIME_MS,
        lane: int = 0,
        **changes: Any,
    ) -> pb.TransactionBody:
        """The next transaction of a lane, unsigned."""
        sequence = changes.pop("sequence", None)
        if sequence is None:
            sequence = actor.next_sequence.get(lane, 1)
            actor.next_sequence[lane] = sequence + 1
        fields: dict[str, Any] = {
            "principal": actor.principal,
            "payer": actor.payer,
            "lane": lane,
            "sequence": sequence,
            "expire_time_ms": time_ms + HOUR_MS,
            "messages": messages,
        }
        return pb.TransactionBody(**{**fields, **changes})

    def sign(
        self, body: bytes, keys: Sequence[TestKey], suite: Suite = Suite.ED25519, tag: str = tags.TRANSACTION
    ) -> bytes:
        """Signed bytes of a body."""
        message = preimage(tag, self.genesis.hash, body)
        signatures = [
            pb.Signature(suite=int(suite), key_id=key.key_id, signature=key.signing[suite].sign(message))
            for key in sorted(keys, key=lambda key: key.key_id)
        ]
        return pb.Transaction(body=body, signatures=signatures).SerializeToString(deterministic=True)

    def transaction(
        self, actor: Member, *messages: pb.Message, keys: Sequence[TestKey] | None = None, **changes: Any
    ) -> bytes:
        """Signed bytes of the next transaction of a lane."""
        body = self.body(actor, *messages, **changes).SerializeToString(deterministic=True)
        return self.sign(body, actor.keys if keys is None else keys)


def make_zone(allowance: dict[str, int] | None = None, seats: int = 4) -> Zone:
    """The same zone every time."""
    allowance = {**PLENTY, **(allowance or {})}
    organizations, entries, validators = [], [], []
    for seat in range(seats):
        name = f"co-op {seat}"
        key = TestKey(name, SUITES)
        principal = identifier(name)
        organizations.append(Member(principal, [key], principal))
        entries.append(
            {
                "principal": principal.hex(),
                "name": name,
                "controller": {
                    "threshold": 1,
                    "keys": [{"key_id": key.key_id.hex(), "public_keys": public_keys_document(key.public)}],
                },
                "allowance": allowance,
            }
        )
        validators.append(
            {
                "seat": seat,
                "organization": principal.hex(),
                "name": f"seat {seat}",
                "consensus_public_keys": public_keys_document(TestKey(f"seat {seat}", SUITES).public),
            }
        )
    authority_keys = sorted((organizations[0].keys[0], organizations[1].keys[0]), key=lambda key: key.key_id)
    authority = Member(identifier("authority"), authority_keys[:1], identifier("authority"))
    document = {
        "zone": "test",
        "trust_profile": "hosted",
        "protocol_version": 1,
        "genesis_time_ms": GENESIS_TIME_MS,
        "epoch_ms": EPOCH_MS,
        "heartbeat_ms": 30_000,
        "recovery_delay_ms_min": 1_000,
        "block_time_distance_ms_max": 3_000,
        "limits": {"block_bytes_max": 1_048_576, "block_transactions_max": 4_000},
        "validators": validators,
        "organizations": entries,
        "zone_authority": {
            "principal": authority.principal.hex(),
            "threshold": 1,
            "key_ids": [key.key_id.hex() for key in authority_keys],
            "allowance": allowance,
        },
    }
    return Zone(parse_genesis(json.dumps(document).encode()), document, organizations, authority)


def first_commit(genesis: Genesis) -> BlockCommit:
    """What height 0 writes."""
    return initial_commit(
        genesis, genesis_records(genesis), lambda state_root: first_header(genesis, state_root)
    )


class FixedClock:
    """A clock that stands still until told."""

    def __init__(self, now_ms: int = GENESIS_TIME_MS) -> None:
        self.now = now_ms

    def now_ms(self) -> int:
        return self.now


def parent_certificate(signers: Sequence[int], protocol_version: int = 1) -> bytes:
    """A certificate with the signatures of these seats."""
    return Certificate(
        kind=VOTE_KIND_NOTARIZE,
        protocol_version=protocol_version,
        scheme=1,
        signatures=[SeatSignature(seat=seat, signature=bytes([1]) * 64) for seat in signers],
    ).SerializeToString(deterministic=True)


@dataclass
class Ledger:
    """A ledger without gRPC around it, over a real database or in memory."""

    zone: Zone
    state: State
    executor: Executor
    branches: BranchCache = field(default_factory=BranchCache)
    executed: list[Execution] = field(default_factory=list)
    halts: list[str] = field(default_factory=list)

    @property
    def cache(self) -> TransactionCache:
        return self.executor.cache

    def header(
        self,
        transactions: Sequence[bytes],
        *,
        after_ms: int = 1_000,
        named: ExecutedBlock | None = None,
        **changes: Any,
    ) -> bytes:
        """A header that extends the newest block; ``named`` is the block whose roots it names."""
        newest = self.state.newest
        named = named or newest
        time_ms = newest.time_ms + after_ms
        epoch = self.zone.genesis.epoch_of(newest.time_ms)
        set_hash = BlockHeader.FromString(newest.header).next_validator_set_hash
        is_edge = self.zone.genesis.epoch_of(time_ms) != epoch
        fields: dict[str, Any] = {
            "protocol_version": BlockHeader.FromString(newest.header).protocol_version,
            "height": newest.height + 1,
            "view": newest.height + 1,
            "parent": newest.hash,
            "time_ms": time_ms,
            "transactions_root": tree_root([leaf_hash(data) for data in transactions]),
            "executed_height": named.height,
            "state_root": named.state_root,
            "receipts_root": named.receipts_root,
            "log_root": named.log_root,
            "parent_certificate_digest": bytes(32),
            "finalization_digest": bytes(32),
            "epoch": epoch,
            "validator_set_hash": set_hash,
            "next_validator_set_hash": named.next_validator_set_hash if is_edge else set_hash,
        }
        return BlockHeader(**{**fields, **changes}).SerializeToString(deterministic=True)

    async def protocol_version(self) -> int:
        """In force for the next block, by the set that the newest one names."""
        set_hash = BlockHeader.FromString(self.state.newest.header).next_validator_set_hash
        data = await self.state.load_validator_sets((set_hash,))
        return parse_validator_set(data[set_hash]).protocol_version

    async def execute(
        self, *transactions: bytes, descendants: tuple[bytes, ...] = (), **changes: Any
    ) -> Execution:
        """Execute a block of these transactions on top of the newest; ``signers`` are the seats in its
        parent's certificate."""
        signers = changes.pop("signers", None)
        parent = BlockHeader.FromString(self.state.newest.header)
        certificate = b"" if signers is None else parent_certificate(signers, parent.protocol_version)
        changes.setdefault("protocol_version", await self.protocol_version())
        if certificate:
            changes["parent_certificate_digest"] = sha256(certificate).digest()
        header = self.header(transactions, **changes)
        final = FinalBlock(header, transactions, b"\x08\x03", descendants, certificate)
        return await self.executor.execute(final)


def memory_ledger(zone: Zone, contracts: ContractEngine | None = None) -> Ledger:
    """A ledger in memory."""
    return ledger_over(MemoryState(first_commit(zone.genesis)), zone, contracts)


def ledger_over(state: State, zone: Zone, contracts: ContractEngine | None) -> Ledger:
    """A ledger that remembers what it executed, and why it halted."""
    executed: list[Execution] = []
    halts: list[str] = []
    executor = Executor(
        zone.genesis,
        state,
        TransactionCache(zone.genesis.hash),
        executed.append,
        halts.append,
        contracts or NoVm(),
    )
    return Ledger(zone, state, executor, executed=executed, halts=halts)


def block_hash(zone: Zone, header: bytes) -> bytes:
    """Hash of a header."""
    return domain_hash(tags.BLOCK, zone.genesis.hash, header)


# Messages, each a line where a test wants one.


def guarded_by(guardian: Member, delay_ms: int = HOUR_MS) -> pb.RecoveryPolicy:
    return pb.RecoveryPolicy(guardian=guardian.principal, delay_ms=delay_ms)


def open_controller(
    member: Member,
    threshold: int = 1,
    keys: Sequence[Any] | None = None,
    recovery: pb.RecoveryPolicy | None = None,
) -> pb.Message:
    registered = sorted_keys(*(member.keys if keys is None else keys))
    return pb.Message(
        open_controller=pb.OpenController(
            principal=member.principal, threshold=threshold, keys=registered, recovery=recovery
        )
    )


def update_controller(threshold: int, *keys: tuple[TestKey, pb.KeyScope | None] | TestKey) -> pb.Message:
    return pb.Message(update_controller=pb.UpdateController(threshold=threshold, keys=sorted_keys(*keys)))


def set_recovery(recovery: pb.RecoveryPolicy | None) -> pb.Message:
    return pb.Message(set_recovery=pb.SetRecovery(recovery=recovery))


def start_sponsorship(principal: bytes) -> pb.Message:
    return pb.Message(start_sponsorship=pb.StartSponsorship(principal=principal))


def end_sponsorship(principal: bytes) -> pb.Message:
    return pb.Message(end_sponsorship=pb.EndSponsorship(principal=principal))


def start_recovery(
    principal: bytes, threshold: int, *keys: tuple[TestKey, pb.KeyScope | None] | TestKey
) -> pb.Message:
    return pb.Message(
        start_recovery=pb.StartRecovery(principal=principal, threshold=threshold, keys=sorted_keys(*keys))
    )


def cancel_recovery(principal: bytes) -> pb.Message:
    return pb.Message(cancel_recovery=pb.CancelRecovery(principal=principal))


def complete_recovery(principal: bytes) -> pb.Message:
    return pb.Message(complete_recovery=pb.CompleteRecovery(principal=principal))


def create_unit(unit: bytes, floor_minor: int = 0, code: str = "HOUR", scale: int = 2) -> pb.Message:
    return pb.Message(
        create_unit=pb.CreateUnit(unit=unit, code=code, scale=scale, default_floor_minor=floor_minor)
    )


def open_account(account: bytes, unit: bytes) -> pb.Message:
    return pb.Message(open_account=pb.OpenAccount(account=account, unit=unit))


def set_floor(account: bytes, floor_minor: int) -> pb.Message:
    return pb.Message(set_floor=pb.SetFloor(account=account, floor_minor=floor_minor))


def transfer(source: bytes, destination: bytes, amount_minor: int, memo_hash: bytes = b"") -> pb.Message:
    return pb.Message(
        transfer=pb.Transfer(
            source=source, destination=destination, amount_minor=amount_minor, memo_hash=memo_hash
        )
    )


def place_hold(
    hold: bytes, source: bytes, destination: bytes, amount_minor: int, expire_time_ms: int
) -> pb.Message:
    return pb.Message(
        place_hold=pb.PlaceHold(
            hold=hold,
            source=source,
            destination=destination,
            amount_minor=amount_minor,
            expire_time_ms=expire_time_ms,
        )
    )


def capture_hold(hold: bytes, amount_minor: int) -> pb.Message:
    return pb.Message(capture_hold=pb.CaptureHold(hold=hold, amount_minor=amount_minor))


def void_hold(hold: bytes) -> pb.Message:
    return pb.Message(void_hold=pb.VoidHold(hold=hold))


def anchor(digest: bytes, topic: str = "minutes") -> pb.Message:
    return pb.Message(anchor=pb.Anchor(digest=digest, topic=topic))


def store_code(code: bytes) -> pb.Message:
    return pb.Message(store_code=pb.StoreCode(code=code))


FUEL = 50_000_000


def contract_call(
    message: bytes,
    funds: Sequence[tuple[bytes, bytes, int]] = (),
    declared: Sequence[bytes] = (),
    fuel_limit: int = FUEL,
) -> pb.ContractCall:
    return pb.ContractCall(
        message=message,
        fuel_limit=fuel_limit,
        funds=[
            pb.Transfer(source=source, destination=destination, amount_minor=amount_minor)
            for source, destination, amount_minor in funds
        ],
        declared=[pb.LeafName(namespace=3, identifier=account) for account in sorted(declared)],
    )


def instantiate(
    contract: bytes,
    code: bytes,
    message: bytes = b"{}",
    *,
    accounts: Sequence[tuple[bytes, bytes]] = (),
    **call: Any,
) -> pb.Message:
    opened = [pb.ContractAccount(account=account, unit=unit) for account, unit in accounts]
    return pb.Message(
        instantiate_contract=pb.InstantiateContract(
            contract=contract, code=code, accounts=opened, call=contract_call(message, **call)
        )
    )


def execute(contract: bytes, message: bytes = b"{}", **call: Any) -> pb.Message:
    return pb.Message(
        execute_contract=pb.ExecuteContract(contract=contract, call=contract_call(message, **call))
    )


def set_allowance(organization: bytes, **limits: int) -> pb.Message:
    return pb.Message(
        set_allowance=pb.SetAllowance(organization=organization, limits=pb.AllowanceLimits(**limits))
    )
