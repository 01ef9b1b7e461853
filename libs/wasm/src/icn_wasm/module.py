"""Reads the structure of a module, refusing whatever this engine does not run.

What is accepted is integer WebAssembly 1.0 with sign extension and bulk memory. Types of operands are left to
wasmtime's validation, which every module passes as well.

Source: WebAssembly core specification 2.0, section 5.5; docs/spec/vm.md, "Code".
"""

from dataclasses import dataclass, field
from typing import Final

from icn_wasm import limits
from icn_wasm.refusals import CodeReason, CodeRefused
from icn_wasm.wire import Reader, malformed

MAGIC: Final = b"\0asm\1\0\0\0"

CUSTOM, TYPE, IMPORT, FUNCTION, TABLE, MEMORY, GLOBAL, EXPORT, START, ELEMENT, CODE, DATA, DATA_COUNT = range(
    13
)
ORDER: Final = (TYPE, IMPORT, FUNCTION, TABLE, MEMORY, GLOBAL, EXPORT, START, ELEMENT, DATA_COUNT, CODE, DATA)

I32: Final = 0x7F
I64: Final = 0x7E
_FLOATS: Final = (0x7D, 0x7C)
_FUNCREF: Final = 0x70

KIND_FUNCTION, KIND_TABLE, KIND_MEMORY, KIND_GLOBAL = range(4)


@dataclass(frozen=True, slots=True)
class FunctionType:
    """Parameters and results, as the binary format numbers value types."""

    parameters: bytes
    results: bytes


@dataclass(frozen=True, slots=True)
class Import:
    """A function that the module wants from outside."""

    module: str
    name: str
    type_index: int


@dataclass(frozen=True, slots=True)
class Body:
    """One function: where its locals and instructions lie."""

    locals_count: int
    locals_bytes: bytes
    """The declaration as it stands, with its number of groups."""
    start: int
    end: int
    """Of the instructions, the last ``end`` included."""


@dataclass(slots=True)
class Structure:
    """A module taken apart."""

    types: list[FunctionType] = field(default_factory=list)
    imports: list[Import] = field(default_factory=list)
    functions: list[int] = field(default_factory=list)
    """Type of each function that has a body."""
    table_elements: int | None = None
    memory_pages: int | None = None
    globals_count: int = 0
    exports: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Kind and index by name."""
    elements: list[tuple[int, int]] = field(default_factory=list)
    """Offset and count."""
    data: list[tuple[int, int]] = field(default_factory=list)
    """Offset and length of those that are copied when an instance is made."""
    bodies: list[Body] = field(default_factory=list)
    sections: dict[int, bytes] = field(default_factory=dict)
    """Content of each section that is not custom."""

    def type_of(self, function: int) -> FunctionType:
        """The type of a function, imports first. Raises CodeRefused."""
        if function < len(self.imports):
            index = self.imports[function].type_index
        elif function < len(self.imports) + len(self.functions):
            index = self.functions[function - len(self.imports)]
        else:
            raise malformed(f"function {function} does not exist")
        return self.type(index)

    def type(self, index: int) -> FunctionType:
        """A type by its number. Raises CodeRefused."""
        if index >= len(self.types):
            raise malformed(f"type {index} does not exist")
        return self.types[index]


def read_module(code: bytes) -> Structure:
    """Take a module apart. Raises CodeRefused."""
    if len(code) > limits.CODE_BYTES_MAX:
        raise CodeRefused(CodeReason.CODE_TOO_LARGE, f"{len(code)} bytes, at most {limits.CODE_BYTES_MAX}")
    if code[: len(MAGIC)] != MAGIC:
        raise malformed("not a WebAssembly 1.0 module")
    reader = Reader(code, len(MAGIC))
    found = Structure()
    last = -1
    while not reader.is_at_end:
        number = reader.byte()
        inside = reader.part()
        if number == CUSTOM:
            _name(inside)
            continue
        if number not in ORDER:
            raise feature(f"section {number}")
        place = ORDER.index(number)
        if place <= last:
            raise malformed(f"section {number} stands twice or out of order")
        last = place
        found.sections[number] = code[inside.position : inside.end]
        _READERS[number](inside, found)
        if not inside.is_at_end:
            raise malformed(f"section {number} holds more than it says")
    if len(found.functions) != len(found.bodies):
        raise malformed(f"{len(found.functions)} functions, {len(found.bodies)} bodies")
    return found


def feature(what: str) -> CodeRefused:
    """The refusal of something newer than what is accepted."""
    return CodeRefused(CodeReason.FEATURE_UNSUPPORTED, f"{what} is not supported")


def value_type(number: int) -> int:
    """A type of integers. Raises CodeRefused."""
    if number in (I32, I64):
        return number
    if number in _FLOATS:
        raise CodeRefused(CodeReason.FLOAT_USED, "a type is a floating-point number")
    raise feature(f"value type 0x{number:02x}")


def _types(reader: Reader, found: Structure) -> None:
    for _ in range(reader.count("types", limits.TYPES_MAX)):
        if (form := reader.byte()) != 0x60:
            raise feature(f"type form 0x{form:02x}")
        parameters = bytes(
            value_type(reader.byte()) for _ in range(reader.count("parameters", limits.PARAMETERS_MAX))
        )
        count = reader.u32()
        if count > 1:
            raise feature("more than one result")
        results = bytes(value_type(reader.byte()) for _ in range(count))
        found.types.append(FunctionType(parameters, results))


def _imports(reader: Reader, found: Structure) -> None:
    for _ in range(reader.count("imports", limits.IMPORTS_MAX)):
        module, name, kind = _name(reader), _name(reader), reader.byte()
        if kind != KIND_FUNCTION:
            raise CodeRefused(CodeReason.IMPORT_UNKNOWN, f"{module}.{name} is not a function")
        index = reader.u32()
        found.type(index)
        found.imports.append(Import(module, name, index))


def _functions(reader: Reader, found: Structure) -> None:
    for _ in range(reader.count("functions", limits.FUNCTIONS_MAX)):
        index = reader.u32()
        found.type(index)
        found.functions.append(index)


def _tables(reader: Reader, found: Structure) -> None:
    count = reader.u32()
    if count > 1:
        raise feature("more than one table")
    if count:
        if (kind := reader.byte()) != _FUNCREF:
            raise feature(f"a table of type 0x{kind:02x}")
        least, most = _limits(reader, "table")
        if max(least, most or 0) > limits.TABLE_ELEMENTS_MAX:
            raise CodeRefused(
                CodeReason.LIMIT_EXCEEDED,
                f"a table of {max(least, most or 0)} elements, at most {limits.TABLE_ELEMENTS_MAX}",
            )
        found.table_elements = least


def _memories(reader: Reader, found: Structure) -> None:
    count = reader.u32()
    if count != 1:
        raise CodeRefused(CodeReason.MEMORY_INVALID, f"{count} memories, exactly 1 is needed")
    least, most = _limits(reader, "memory")
    if least > limits.MEMORY_PAGES_MAX:
        raise CodeRefused(
            CodeReason.MEMORY_INVALID, f"begins with {least} pages, at most {limits.MEMORY_PAGES_MAX}"
        )
    if most is not None:
        raise CodeRefused(CodeReason.MEMORY_INVALID, "declares a maximum, which is the host's to set")
    found.memory_pages = least


def _limits(reader: Reader, what: str) -> tuple[int, int | None]:
    flags = reader.byte()
    if flags > 1:
        raise feature(f"a {what} that is shared, of 64 bits or with pages of its own")
    least = reader.u32()
    return least, reader.u32() if flags else None


def _globals(reader: Reader, found: Structure) -> None:
    found.globals_count = reader.count("globals", limits.GLOBALS_MAX)
    for _ in range(found.globals_count):
        value_type(reader.byte())
        if reader.byte() > 1:
            raise feature("a shared global")
        _constant(reader)


def _constant(reader: Reader) -> int:
    opcode = reader.byte()
    if opcode in (0x43, 0x44):
        raise CodeRefused(CodeReason.FLOAT_USED, "a constant is a floating-point number")
    if opcode not in (0x41, 0x42):
        raise feature(f"constant instruction 0x{opcode:02x}")
    value = reader.signed(32 if opcode == 0x41 else 64)
    if reader.byte() != 0x0B:
        raise feature("a constant of more than one instruction")
    return value


def _exports(reader: Reader, found: Structure) -> None:
    for _ in range(reader.count("exports", limits.EXPORTS_MAX)):
        name, kind, index = _name(reader), reader.byte(), reader.u32()
        if kind > KIND_GLOBAL:
            raise feature(f"an export of kind {kind}")
        if name in found.exports:
            raise malformed("two exports of one name")
        found.exports[name] = kind, index


def _start(_reader: Reader, _found: Structure) -> None:
    raise CodeRefused(CodeReason.START_FUNCTION, "code may not run before it is called")


def _elements(reader: Reader, found: Structure) -> None:
    for _ in range(reader.count("element segments", limits.ELEMENT_SEGMENTS_MAX)):
        if (flags := reader.u32()) != 0:
            raise feature(f"an element segment of kind {flags}")
        offset = _constant(reader) & 0xFFFFFFFF
        count = reader.count("elements", limits.TABLE_ELEMENTS_MAX)
        for _ in range(count):
            reader.u32()
        found.elements.append((offset, count))


def _data_count(reader: Reader, _found: Structure) -> None:
    reader.count("data segments", limits.DATA_SEGMENTS_MAX)


def _data(reader: Reader, found: Structure) -> None:
    for _ in range(reader.count("data segments", limits.DATA_SEGMENTS_MAX)):
        flags = reader.u32()
        if flags > 2 or (flags == 2 and reader.u32() != 0):
            raise feature(f"a data segment of kind {flags}")
        offset = None if flags == 1 else _constant(reader) & 0xFFFFFFFF
        inside = reader.part()
        if offset is not None:
            found.data.append((offset, inside.end - inside.position))


def _code(reader: Reader, found: Structure) -> None:
    for _ in range(reader.count("bodies", limits.FUNCTIONS_MAX)):
        inside = reader.part()
        if inside.end - inside.position > limits.BODY_BYTES_MAX:
            raise CodeRefused(
                CodeReason.LIMIT_EXCEEDED, f"a function is larger than {limits.BODY_BYTES_MAX} bytes"
            )
        begin, total = inside.position, 0
        for _ in range(inside.count("groups of locals", limits.LOCALS_MAX)):
            total += inside.u32()
            value_type(inside.byte())
        if total > limits.LOCALS_MAX:
            raise CodeRefused(CodeReason.LIMIT_EXCEEDED, f"{total} locals, at most {limits.LOCALS_MAX}")
        declared = inside.content[begin : inside.position]
        found.bodies.append(Body(total, declared, inside.position, inside.end))


def _name(reader: Reader) -> str:
    size = reader.u32()
    if size > limits.NAME_BYTES_MAX:
        raise CodeRefused(
            CodeReason.LIMIT_EXCEEDED, f"a name of {size} bytes, at most {limits.NAME_BYTES_MAX}"
        )
    try:
        return reader.take(size).decode("utf-8")
    except UnicodeDecodeError:
        raise malformed("a name is not UTF-8") from None


_READERS: Final = {
    TYPE: _types,
    IMPORT: _imports,
    FUNCTION: _functions,
    TABLE: _tables,
    MEMORY: _memories,
    GLOBAL: _globals,
    EXPORT: _exports,
    START: _start,
    ELEMENT: _elements,
    DATA_COUNT: _data_count,
    CODE: _code,
    DATA: _data,
}
