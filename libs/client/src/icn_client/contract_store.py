"""Contracts in a folder: what `icn vm` runs offline, on the engine that the chain's nodes run.

    DIR/lock                       held by the command that is at work
    DIR/state.json                 how many calls and contracts there have been
    DIR/code/CHECKSUM.wasm         code, named by its SHA-256
    DIR/contracts/ID.json          one contract: its code and its whole storage

Each file is written beside itself, made durable and renamed, so a crash leaves the old one or the new one.
The numbers are written before what they number: after a crash one is skipped, and none is used twice.

Source: docs/spec/vm.md, "Offline".
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from icn_crypto.hashing import NO_GENESIS
from icn_localnet.files import write_atomically
from icn_wasm.addresses import contract_address
from icn_wasm.engine import Code, Engine, EntryPoint, Outcome
from icn_wasm.messages import Caller, Environment

CHAIN_ID: Final = "icn-local"
FIRST_BLOCK_SECONDS: Final = 1_700_000_000
"""Block time is made up from the height, so that the same calls give the same answers on any day."""
FILE_BYTES_MAX: Final = 256 * 1024 * 1024
_CHECKSUM: Final = re.compile(r"[0-9a-f]{64}")
_ADDRESS: Final = re.compile(r"contracts/([0-9a-f]{32})")


class StoreRefused(ValueError):
    """What was named is not in the folder, or the folder is not a store."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Position:
    """How many calls changed the store, and how many contracts were made."""

    height: int = 0
    contracts: int = 0


@dataclass(frozen=True, slots=True)
class StoredContract:
    """A contract as it lies in its file."""

    address: str
    code: bytes
    """Checksum."""
    creator: str
    storage: dict[bytes, bytes]

    def get(self, key: bytes) -> bytes | None:
        """The value under a key."""
        return self.storage.get(key)

    def scan(
        self, start: bytes | None, end: bytes | None, is_descending: bool
    ) -> Iterator[tuple[bytes, bytes]]:
        """Pairs of a range in the order of their keys."""
        for key in sorted(self.storage, reverse=is_descending):
            if (start is None or key >= start) and (end is None or key < end):
                yield key, self.storage[key]


class ContractStore:
    """A folder of contracts. Use it inside `opened`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._engine = Engine()

    def store(self, content: bytes) -> tuple[str, int]:
        """Keep code; its checksum in hex and the gas of it. Raises CodeRefused."""
        code = Code.of(content)
        gas = self._engine.check(code)
        path = self._code_path(code.checksum.hex())
        if not path.exists():
            write_atomically(path, content)
        return code.checksum.hex(), gas

    def instantiate(self, code: str, message: bytes, caller: Caller, gas_limit: int) -> tuple[str, Outcome]:
        """Make a contract; its address and how that went. Raises StoreRefused."""
        found = self._code(code)
        position = self._advance(contracts=1)
        address = contract_address(NO_GENESIS, found.checksum, position.contracts)
        made = StoredContract(address, found.checksum, caller.sender, {})
        outcome = self._engine.run(
            EntryPoint.INSTANTIATE,
            found,
            _environment(address, position.height),
            caller,
            message,
            made,
            gas_limit,
        )
        if outcome.stopped is None:
            self._save(made, outcome)
        return address, outcome

    def execute(self, address: str, message: bytes, caller: Caller, gas_limit: int) -> Outcome:
        """Call a contract and keep what it wrote. Raises StoreRefused."""
        contract = self._contract(address)
        code = self._code(contract.code.hex())
        environment = _environment(address, self._advance().height)
        outcome = self._engine.run(
            EntryPoint.EXECUTE, code, environment, caller, message, contract, gas_limit
        )
        if outcome.writes:
            self._save(contract, outcome)
        return outcome

    def query(self, address: str, message: bytes, gas_limit: int) -> Outcome:
        """Ask a contract. Raises StoreRefused."""
        contract = self._contract(address)
        code = self._code(contract.code.hex())
        environment = _environment(address, self._position().height)
        return self._engine.run(EntryPoint.QUERY, code, environment, None, message, contract, gas_limit)

    def _code_path(self, checksum: str) -> Path:
        return self._folder / "code" / f"{checksum}.wasm"

    def _contract_path(self, identifier: str) -> Path:
        return self._folder / "contracts" / f"{identifier}.json"

    def _code(self, checksum: str) -> Code:
        path = self._code_path(checksum)
        if _CHECKSUM.fullmatch(checksum) is None or not path.exists():
            raise StoreRefused("CODE_UNKNOWN", f"{checksum[:80]!r} is not the id of stored code")
        code = Code.of(_read(path))
        if code.checksum.hex() != checksum:
            raise StoreRefused("STORE_DAMAGED", f"{path}: the content is not what its name says")
        return code

    def _contract(self, address: str) -> StoredContract:
        found = _ADDRESS.fullmatch(address)
        if found is None or not self._contract_path(found.group(1)).exists():
            raise StoreRefused("CONTRACT_UNKNOWN", f"{address[:80]!r} is not a contract here")
        path = self._contract_path(found.group(1))
        try:
            value = _read_json(path)
            storage = {bytes.fromhex(key): bytes.fromhex(text) for key, text in value["storage"].items()}
            return StoredContract(address, bytes.fromhex(value["code"]), str(value["creator"]), storage)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            if isinstance(error, StoreRefused):
                raise
            raise StoreRefused("STORE_DAMAGED", f"{path}: not a contract's file") from None

    def _save(self, contract: StoredContract, outcome: Outcome) -> None:
        storage = dict(contract.storage)
        for write in outcome.writes:
            if write.value is None:
                storage.pop(write.key, None)
            else:
                storage[write.key] = write.value
        content = {
            "code": contract.code.hex(),
            "creator": contract.creator,
            "storage": {key.hex(): storage[key].hex() for key in sorted(storage)},
        }
        write_atomically(self._contract_path(contract.address.removeprefix("contracts/")), _encode(content))

    def _position(self) -> Position:
        path = self._folder / "state.json"
        if not path.exists():
            return Position()
        match _read_json(path):
            case {"format": 1, "height": int(height), "contracts": int(contracts)} if (
                min(height, contracts) >= 0
            ):
                return Position(height, contracts)
        raise StoreRefused("STORE_DAMAGED", f"{path}: not a store of this version")

    def _advance(self, contracts: int = 0) -> Position:
        now = self._position()
        after = replace(now, height=now.height + 1, contracts=now.contracts + contracts)
        write_atomically(
            self._folder / "state.json",
            _encode({"format": 1, "height": after.height, "contracts": after.contracts}),
        )
        return after


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[ContractStore]:
    """The store in a folder, which is made where it is missing, for one process at a time. Raises OSError."""
    for part in (folder / "code", folder / "contracts"):
        part.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield ContractStore(folder)


def _environment(address: str, height: int) -> Environment:
    return Environment(
        chain_id=CHAIN_ID,
        height=height,
        time_nanoseconds=(FIRST_BLOCK_SECONDS + height) * 1_000_000_000,
        contract=address,
        transaction_index=0,
    )


def _encode(value: Any) -> bytes:
    return json.dumps(value, indent=1).encode() + b"\n"


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(FILE_BYTES_MAX + 1)
    if len(content) > FILE_BYTES_MAX:
        raise StoreRefused("STORE_DAMAGED", f"{path}: larger than {FILE_BYTES_MAX} bytes")
    return content


def _read_json(path: Path) -> Any:
    try:
        return json.loads(_read(path))
    except (ValueError, RecursionError) as error:
        if isinstance(error, StoreRefused):
            raise
        raise StoreRefused("STORE_DAMAGED", f"{path}: not JSON") from None
