"""A contract's memory and gas, from the host's side.

A Region is 12 bytes in the contract's memory: offset, capacity and length of a piece of it, each 32 bits
little-endian. Both sides name a Region by its address.

Source: docs/spec/vm.md, "Regions"; cosmwasm-vm's ``Region``.
"""

import ctypes
import struct
from typing import Final

import wasmtime

from icn_wasm import limits
from icn_wasm.refusals import Stopped, StopReason

_REGION: Final = struct.Struct("<III")


class Guest:
    """One instance while it runs. Every number that comes from it is checked."""

    def __init__(self, store: wasmtime.Store, memory: wasmtime.Memory, allocate: wasmtime.Func) -> None:
        self._store = store
        self.is_allocating = False
        self._memory = memory
        self._allocate = allocate

    def charge(self, gas: int) -> None:
        """Use up gas. Raises Stopped, with nothing left, where there is not enough."""
        left = self._store.get_fuel()
        if gas > left:
            self._store.set_fuel(0)
            raise Stopped(StopReason.OUT_OF_GAS, "the gas limit is reached")
        self._store.set_fuel(left - gas)

    def read(self, region: int, most: int, gas_per_byte: int = limits.COPY_GAS_PER_BYTE) -> bytes:
        """What a Region holds, paid by the byte. Raises Stopped."""
        offset, _, length = self._region(region)
        if length > most:
            raise Stopped(StopReason.REGION_INVALID, f"{length} bytes, at most {most}")
        self.charge(length * gas_per_byte)
        return ctypes.string_at(self._address(offset, length), length)

    def put(self, content: bytes, gas_per_byte: int = limits.COPY_GAS_PER_BYTE) -> int:
        """Write into a Region that the contract allocates, and return it. Raises Stopped."""
        self.charge(len(content) * gas_per_byte)
        self.is_allocating = True
        region: int = self._allocate(self._store, len(content)) & 0xFFFFFFFF
        self.is_allocating = False
        self._fill(region, content)
        return region

    def fill(self, region: int, content: bytes) -> None:
        """Write into a Region that the contract made before. Raises Stopped."""
        self.charge(len(content) * limits.COPY_GAS_PER_BYTE)
        self._fill(region, content)

    def _fill(self, region: int, content: bytes) -> None:
        offset, capacity, _ = self._region(region)
        if len(content) > capacity:
            raise Stopped(StopReason.REGION_INVALID, f"{len(content)} bytes for a Region of {capacity}")
        ctypes.memmove(self._address(offset, len(content)), content, len(content))
        ctypes.memmove(self._address(region + 8, 4), len(content).to_bytes(4, "little"), 4)

    def _region(self, region: int) -> tuple[int, int, int]:
        if region == 0:
            raise Stopped(StopReason.REGION_INVALID, "the address of a Region is 0")
        offset, capacity, length = _REGION.unpack(
            ctypes.string_at(self._address(region, _REGION.size), _REGION.size)
        )
        if offset == 0 or length > capacity or offset + capacity > 1 << 32:
            raise Stopped(StopReason.REGION_INVALID, f"offset {offset}, capacity {capacity}, length {length}")
        return offset, capacity, length

    def _address(self, offset: int, length: int) -> int:
        """The machine's address of a piece of the contract's memory. Raises Stopped."""
        size_bytes = self._memory.data_len(self._store)
        if offset + length > size_bytes:
            raise Stopped(
                StopReason.REGION_INVALID, f"bytes {offset} to {offset + length} of a memory of {size_bytes}"
            )
        return ctypes.addressof(self._memory.data_ptr(self._store).contents) + offset
