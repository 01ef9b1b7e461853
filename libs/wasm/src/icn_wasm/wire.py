"""Reading and writing the numbers of the WebAssembly binary format.

Source: WebAssembly core specification 2.0, section 5.2.
"""

from icn_wasm.refusals import CodeReason, CodeRefused


def malformed(message: str) -> CodeRefused:
    """The refusal of bytes that are no module."""
    return CodeRefused(CodeReason.MALFORMED_MODULE, message)


class Reader:
    """A cursor over bytes that ends at ``end`` and never reads past it."""

    __slots__ = ("content", "end", "position")

    def __init__(self, content: bytes, position: int = 0, end: int | None = None) -> None:
        self.content = content
        self.position = position
        self.end = len(content) if end is None else end

    @property
    def is_at_end(self) -> bool:
        """Whether nothing is left."""
        return self.position >= self.end

    def byte(self) -> int:
        """The next byte. Raises CodeRefused."""
        if self.position >= self.end:
            raise malformed(f"ends too early at byte {self.end}")
        value = self.content[self.position]
        self.position += 1
        return value

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes. Raises CodeRefused."""
        if count > self.end - self.position:
            raise malformed(f"ends too early at byte {self.end}")
        taken = self.content[self.position : self.position + count]
        self.position += count
        return taken

    def u32(self) -> int:
        """An unsigned LEB128 number of at most 32 bits. Raises CodeRefused."""
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift > 28:
                raise malformed(f"number too long at byte {self.position}")
        if value >= 1 << 32:
            raise malformed(f"number too large at byte {self.position}")
        return value

    def signed(self, bits: int) -> int:
        """A signed LEB128 number of at most ``bits`` bits. Raises CodeRefused."""
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
            if shift >= bits:
                raise malformed(f"number too long at byte {self.position}")
        if byte & 0x40:
            value -= 1 << shift
        if not -(1 << (bits - 1)) <= value < 1 << (bits - 1):
            raise malformed(f"number too large at byte {self.position}")
        return value

    def count(self, what: str, most: int) -> int:
        """The length of a vector. Raises CodeRefused."""
        count = self.u32()
        if count > most:
            raise CodeRefused(CodeReason.LIMIT_EXCEEDED, f"{count} {what}, at most {most}")
        return count

    def part(self) -> "Reader":
        """A reader over the next bytes, whose number stands before them. Raises CodeRefused."""
        size = self.u32()
        if size > self.end - self.position:
            raise malformed(f"ends too early at byte {self.end}")
        inside = Reader(self.content, self.position, self.position + size)
        self.position += size
        return inside


def u32(value: int) -> bytes:
    """Unsigned LEB128."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def signed(value: int) -> bytes:
    """Signed LEB128."""
    out = bytearray()
    while not -64 <= value < 64:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value & 0x7F)
    return bytes(out)


def vector(count: int, body: bytes) -> bytes:
    """Elements after their number."""
    return u32(count) + body


def section(number: int, content: bytes) -> bytes:
    """A section with its number and size."""
    return bytes([number]) + u32(len(content)) + content
