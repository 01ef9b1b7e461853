"""What a contract may ask of its host: storage, addresses, signatures, and to be stopped.

Source: docs/spec/vm.md, "Imports"; cosmwasm-vm 2, imports.rs.
"""

import base64
from collections.abc import Callable, Iterator
from typing import Final

from icn_crypto import ed25519, secp256k1

from icn_wasm import limits
from icn_wasm.addresses import address_fault
from icn_wasm.guest import Guest
from icn_wasm.json_text import NotContractJson, encode, parse
from icn_wasm.refusals import Stopped, StopReason
from icn_wasm.storage import Balances, Overlay, Pair

_HOLDS: Final = 0
_DOES_NOT_HOLD: Final = 1
_HASH_FORMAT: Final = 3
_SIGNATURE_FORMAT: Final = 4
_KEY_FORMAT: Final = 5
_RECOVERY_PARAMETER: Final = 6
_BATCH_FORMAT: Final = 7
_OTHER: Final = 10
"""Numbers of cosmwasm-crypto's errors."""

_ASCENDING: Final = 1
_DESCENDING: Final = 2


class Host:
    """Answers the host calls of one call."""

    def __init__(self, guest: Guest, storage: Overlay, balances: Balances | None, *, is_query: bool) -> None:
        self.stopped: Stopped | None = None
        self._guest = guest
        self._storage = storage
        self._balances = balances
        self._is_query = is_query
        self._calls = 0
        self._iterators: list[Iterator[Pair]] = []
        self._answers: dict[str, Callable[..., int | None]] = {
            name: getattr(self, f"_{name}") for name in limits.BASE_GAS
        }

    def answer(self, name: str, arguments: tuple[int, ...]) -> int | None:
        """Answer one host call. Raises Stopped, which stays in ``stopped``."""
        guest = self._guest
        try:
            if guest.is_allocating:
                raise Stopped(StopReason.HOST_CALL_REFUSED, f"{name} inside allocate")
            self._calls += 1
            if self._calls > limits.HOST_CALLS_MAX:
                raise Stopped(StopReason.HOST_CALLS_EXCEEDED, f"at most {limits.HOST_CALLS_MAX}")
            guest.charge(limits.BASE_GAS[name])
            return self._answers[name](*[argument & 0xFFFFFFFF for argument in arguments])
        except Stopped as stopped:
            self.stopped = stopped
            raise

    def _key(self, region: int) -> bytes:
        key = self._guest.read(region, limits.KEY_BYTES_MAX)
        if not key:
            raise Stopped(StopReason.STORAGE_BOUNDS, "a key is empty")
        return key

    def _db_read(self, key: int) -> int:
        value = self._storage.get(self._key(key))
        return 0 if value is None else self._guest.put(value)

    def _db_write(self, key: int, value: int) -> None:
        self._refuse_in_query("db_write")
        name = self._key(key)
        content = self._guest.read(value, limits.VALUE_BYTES_MAX, limits.WRITE_GAS_PER_BYTE)
        if not content:
            raise Stopped(StopReason.STORAGE_BOUNDS, "a value is empty; use db_remove")
        self._guest.charge(len(name) * limits.WRITE_GAS_PER_BYTE)
        self._storage.put(name, content)

    def _db_remove(self, key: int) -> None:
        self._refuse_in_query("db_remove")
        name = self._key(key)
        self._guest.charge(len(name) * limits.WRITE_GAS_PER_BYTE)
        self._storage.put(name, None)

    def _refuse_in_query(self, name: str) -> None:
        if self._is_query:
            raise Stopped(StopReason.WRITE_IN_QUERY, name)

    def _db_scan(self, start: int, end: int, order: int) -> int:
        first = self._guest.read(start, limits.KEY_BYTES_MAX) if start else None
        last = self._guest.read(end, limits.KEY_BYTES_MAX) if end else None
        if order not in (_ASCENDING, _DESCENDING):
            raise Stopped(StopReason.HOST_CALL_REFUSED, f"db_scan in order {order}")
        if len(self._iterators) == limits.ITERATORS_MAX:
            raise Stopped(StopReason.HOST_CALL_REFUSED, f"more than {limits.ITERATORS_MAX} iterators")
        self._guest.charge(self._storage.pending_count * limits.SCAN_GAS_PER_PENDING_WRITE)
        self._iterators.append(self._storage.scan(first, last, order == _DESCENDING))
        return len(self._iterators)

    def _next(self, iterator: int) -> Pair | None:
        if not 1 <= iterator <= len(self._iterators):
            raise Stopped(StopReason.HOST_CALL_REFUSED, f"iterator {iterator} does not exist")
        return next(self._iterators[iterator - 1], None)

    def _db_next(self, iterator: int) -> int:
        key, value = self._next(iterator) or (b"", b"")
        return self._guest.put(_sections(key, value))

    def _db_next_key(self, iterator: int) -> int:
        pair = self._next(iterator)
        return 0 if pair is None else self._guest.put(pair[0])

    def _db_next_value(self, iterator: int) -> int:
        pair = self._next(iterator)
        return 0 if pair is None else self._guest.put(pair[1])

    def _addr_validate(self, source: int) -> int:
        return self._fault(address_fault(self._guest.read(source, limits.NAME_BYTES_MAX)))

    def _addr_canonicalize(self, source: int, destination: int) -> int:
        return self._translate(source, destination, limits.NAME_BYTES_MAX)

    def _addr_humanize(self, source: int, destination: int) -> int:
        return self._translate(source, destination, limits.ADDRESS_BYTES_MAX)

    def _translate(self, source: int, destination: int, most: int) -> int:
        content = self._guest.read(source, most)
        fault = address_fault(content)
        if fault is None:
            self._guest.fill(destination, content)
        return self._fault(fault)

    def _fault(self, fault: str | None) -> int:
        return 0 if fault is None else self._guest.put(fault.encode())

    def _secp256k1_verify(self, digest: int, signature: int, public_key: int) -> int:
        message, signed = self._digest_and_signature(digest, signature)
        key = self._guest.read(public_key, 65)
        if isinstance(signed, int):
            return signed
        if (len(key), key[:1]) not in ((65, b"\x04"), (33, b"\x02"), (33, b"\x03")):
            return _KEY_FORMAT
        try:
            return _HOLDS if secp256k1.verify(message, signed, key) else _DOES_NOT_HOLD
        except secp256k1.NotAKey:
            return _OTHER

    def _secp256k1_recover_pubkey(self, digest: int, signature: int, parameter: int) -> int:
        message, signed = self._digest_and_signature(digest, signature)
        if isinstance(signed, int):
            return signed << 32
        if parameter not in (0, 1):
            return _RECOVERY_PARAMETER << 32
        key = secp256k1.recover(message, signed, parameter == 1)
        return _OTHER << 32 if key is None else self._guest.put(key)

    def _digest_and_signature(self, digest: int, signature: int) -> tuple[bytes, tuple[int, int] | int]:
        """The digest, and the signature or the number of what is wrong with either."""
        message = self._guest.read(digest, secp256k1.HASH_BYTES)
        content = self._guest.read(signature, secp256k1.SIGNATURE_BYTES)
        if len(message) != secp256k1.HASH_BYTES:
            return message, _HASH_FORMAT
        if len(content) != secp256k1.SIGNATURE_BYTES:
            return message, _SIGNATURE_FORMAT
        return message, secp256k1.read_signature(content) or _SIGNATURE_FORMAT

    def _ed25519_verify(self, message: int, signature: int, public_key: int) -> int:
        content = self._guest.read(message, limits.SIGNED_MESSAGE_BYTES_MAX)
        signed = self._guest.read(signature, ed25519.SIGNATURE_BYTES)
        key = self._guest.read(public_key, ed25519.PUBLIC_KEY_BYTES)
        return _ed25519_fault([signed], [key]) or self._verdict([(key, content, signed)])

    def _ed25519_batch_verify(self, messages: int, signatures: int, public_keys: int) -> int:
        most, count = limits.SIGNED_MESSAGE_BYTES_MAX, limits.BATCH_SIGNATURES_MAX
        contents = _parts(self._guest.read(messages, most + 4 * count), count)
        signed = _parts(self._guest.read(signatures, (ed25519.SIGNATURE_BYTES + 4) * count), count)
        keys = _parts(self._guest.read(public_keys, (ed25519.PUBLIC_KEY_BYTES + 4) * count), count)
        if contents is None or signed is None or keys is None:
            return _BATCH_FORMAT
        if len(contents) == 1:
            contents *= len(signed)
        if len(keys) == 1:
            keys *= len(signed)
        if not len(contents) == len(signed) == len(keys):
            return _BATCH_FORMAT
        self._guest.charge(
            len(signed) * limits.SIGNATURE_GAS + sum(map(len, contents)) * limits.COPY_GAS_PER_BYTE
        )
        return _ed25519_fault(signed, keys) or self._verdict(list(zip(keys, contents, signed, strict=True)))

    def _verdict(self, items: list[ed25519.Item]) -> int:
        return _HOLDS if all(ed25519.verify_batch(items)) else _DOES_NOT_HOLD

    def _debug(self, source: int) -> None:
        self._guest.read(source, limits.TEXT_BYTES_MAX)

    def _abort(self, source: int) -> None:
        text = self._guest.read(source, limits.TEXT_BYTES_MAX).decode("utf-8", "replace")
        raise Stopped(StopReason.CONTRACT_ABORTED, text)

    def _query_chain(self, request: int) -> int:
        content = self._guest.read(request, limits.QUERY_BYTES_MAX, limits.JSON_GAS_PER_BYTE)
        try:
            wanted = parse(content)
        except NotContractJson as error:
            answer = {"invalid_request": {"error": str(error), "request": base64.b64encode(content).decode()}}
        else:
            match wanted:
                case {"bank": {"balance": {"address": str(owner), "denom": str(unit), **more}}} if (
                    not more and self._balances is not None
                ):
                    return self._guest.put(_balance(self._balances, owner, unit))
            kind = next(iter(wanted), "") if isinstance(wanted, dict) else ""
            answer = {"unsupported_request": {"kind": kind[: limits.NAME_BYTES_MAX]}}
        return self._guest.put(encode({"error": answer}))


def _balance(balances: Balances, owner: str, unit: str) -> bytes:
    """The answer about an account. An account that was not declared ends the call: with an error instead,
    whoever calls could make a contract take a balance for nothing by leaving a declaration out."""
    amount_minor = balances.get((owner, unit))
    if amount_minor is None:
        raise Stopped(
            StopReason.KEY_UNDECLARED, f"the balance of {owner[:64]} in {unit[:64]} is not declared"
        )
    content = encode({"amount": {"denom": unit, "amount": str(amount_minor)}})
    return encode({"ok": {"ok": base64.b64encode(content).decode()}})


def _ed25519_fault(signatures: list[bytes], keys: list[bytes]) -> int:
    if any(len(signature) != ed25519.SIGNATURE_BYTES for signature in signatures):
        return _SIGNATURE_FORMAT
    return _KEY_FORMAT if any(len(key) != ed25519.PUBLIC_KEY_BYTES for key in keys) else 0


def _sections(*parts: bytes) -> bytes:
    """Parts, each before its length: 32 bits big-endian."""
    return b"".join(part + len(part).to_bytes(4, "big") for part in parts)


def _parts(content: bytes, most: int) -> list[bytes] | None:
    """Takes `_sections` apart; None where they are none, or more than ``most``."""
    parts: list[bytes] = []
    end = len(content)
    while end > 0:
        if end < 4 or len(parts) == most:
            return None
        length = int.from_bytes(content[end - 4 : end], "big")
        if length > end - 4:
            return None
        parts.append(content[end - 4 - length : end - 4])
        end -= 4 + length
    parts.reverse()
    return parts
