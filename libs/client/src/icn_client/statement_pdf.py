"""A statement on pages, to print and to file. Source: docs/spec/ledger.md, "Statements"; ISO 32000-1.

Each page is put aside on the disk when it is full, so that memory does not grow with the entries, but for two
small objects per page.
"""

from __future__ import annotations

import unicodedata
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from importlib import resources
from io import BytesIO
from tempfile import TemporaryFile
from typing import IO, Any, Final

import pydyf
from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont
from icn_machine.entries import Entry

from icn_client.light.statement import StatementInvalid, Sums, kind_name
from icn_client.light.verify_statement import AccountStatement
from icn_client.statement_texts import Memos, Money, Piece, one_line, read_span

WIDTH, HEIGHT = 595, 842
"""A4 in points."""
MARGIN: Final = 40
BOTTOM: Final = 78
"""Lowest base line of an entry; below it stand the page's sums and its number."""
SIZE: Final = 7.5
SMALL: Final = 6.0
LEADING: Final = 10.5
SECOND_LEADING: Final = 7.5
AMOUNT_WIDTH: Final = 82
"""Between the amounts' right edges; a wider one is set smaller."""
TEXT_END: Final = 520
"""Where texts end at the latest; behind it stands the page's number."""
TEXT_CHARACTERS_MAX: Final = 100
"""Of a name or a memo."""
NUMBER_AT, TIME_AT, KIND_AT, OTHER_AT, DEBIT_AT, CREDIT_AT, BALANCE_AT = 74, 80, 155, 195, 389, 472, 555
_HEADS: Final = (
    (NUMBER_AT, "entry", True),
    (TIME_AT, "time", False),
    (KIND_AT, "kind", False),
    (OTHER_AT, "other account", False),
    (DEBIT_AT, "debit", True),
    (CREDIT_AT, "credit", True),
    (BALANCE_AT, "balance", True),
)
OPENING_AT: Final = 306
_TABLE_HEADS: Final = (
    (MARGIN, "account", False),
    (OPENING_AT, "opening", True),
    (DEBIT_AT, "debit", True),
    (CREDIT_AT, "credit", True),
    (BALANCE_AT, "closing", True),
)
FONT_PACKAGE: Final = "fontpkg_noto_sans"
FONT_FILE: Final = "files/NotoSans[wdth,wght].ttf"
_VARIATIONS: Final = ("fvar", "gvar", "avar", "cvar", "HVAR", "VVAR", "MVAR", "STAT")
"""Without them the font is what it is by default, regular."""
_UNUSED: Final = ("GSUB", "GPOS", "GDEF", "kern", "BASE", "DSIG", "gasp", "meta")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def write_pdf(  # noqa: PLR0917 - what is shown, and who is told
    lines: Iterable[bytes],
    found: AccountStatement,
    names: Mapping[bytes, str],
    out: IO[bytes],
    on_entry: Callable[[int], None] = lambda _count: None,
    memos: Memos | None = None,
) -> None:
    """Write the pages of a statement that holds.

    Args:
        lines: of the statement, from its first.
        found: what `verify_statement` found in it.
        names: what accounts are called by who makes the pages.
        out: where the bytes go; they depend on the other arguments alone.
        on_entry: told how many entries there are so far.
        memos: set below the entries that have them.

    Raises:
        StatementInvalid: STATEMENT_MALFORMED: it is not the file that was verified.
    """
    money = Money(found.unit["code"], found.unit["scale"])
    hashed = sha256()
    with TemporaryFile() as spool:
        pages = _Pages(found, money, names, spool, has_memos=memos is not None)
        for piece in read_span(_hashing(lines, hashed), memos):
            if piece.entry is None:
                pages.open(piece)
            else:
                pages.add(piece.entry, piece.reverses, piece.memo or "")
                on_entry(pages.entries)
        if hashed.digest() != found.digest:
            raise StatementInvalid("STATEMENT_MALFORMED", 0, "the file changed since it was verified")
        pages.close()
        pages.pdf.write(out)


def _hashing(lines: Iterable[bytes], hashed: Any) -> Iterator[bytes]:
    for data in lines:
        hashed.update(data)
        yield data


class _Font:
    """The one typeface: Latin, Greek and Cyrillic letters, figures of one width; only what is used of it goes
    into the file. It joins no letters, so scripts that need it are not set as their readers expect."""

    def __init__(self) -> None:
        path = resources.files(FONT_PACKAGE).joinpath(FONT_FILE)
        self._font = TTFont(BytesIO(path.read_bytes()), lazy=True, recalcTimestamp=False)
        self._glyphs = self._font.getBestCmap()
        self._advances = self._font["hmtx"].metrics
        self._scale = 1000 / self._font["head"].unitsPerEm
        self._used: dict[int, str] = {}
        """Characters by the number of their glyph."""
        self._known: dict[str, tuple[str, float]] = {}

    def code(self, text: str) -> tuple[str, float]:
        """The text as glyph numbers in hex, and its width at one point."""
        codes, width = [], 0.0
        for character in text:
            if character not in self._known:
                self._known[character] = self._look_up(character)
            code, advance = self._known[character]
            codes.append(code)
            width += advance
        return "".join(codes), width / 1000

    def _look_up(self, character: str) -> tuple[str, float]:
        name = self._glyphs.get(ord(character)) or self._glyphs[0xFFFD]
        number = self._font.getGlyphID(name)
        self._used[number] = character if ord(character) in self._glyphs else "\N{REPLACEMENT CHARACTER}"
        return f"{number:04x}", self._advances[name][0] * self._scale

    def add_to(self, pdf: pydyf.PDF) -> bytes:
        """Put the font into a document, once all texts are coded; a reference to it."""
        head, wide = self._font["head"], self._font["hhea"]
        box = [round(value * self._scale) for value in (head.xMin, head.yMin, head.xMax, head.yMax)]
        subset = self._subset()
        descriptor = {
            "Type": "/FontDescriptor",
            "FontName": "/ICNAAA+NotoSans-Regular",
            "Flags": 4,
            "FontBBox": pydyf.Array(box),
            "ItalicAngle": 0,
            "Ascent": round(wide.ascent * self._scale),
            "Descent": round(wide.descent * self._scale),
            "CapHeight": 714,
            "StemV": 80,
            "FontFile2": _add(pdf, _stream(subset, Length1=len(subset))),
        }
        widths = pydyf.Array()
        for number, character in sorted(self._used.items()):
            widths += [number, pydyf.Array([round(self._look_up(character)[1])])]
        descendant = {
            "Type": "/Font",
            "Subtype": "/CIDFontType2",
            "BaseFont": "/ICNAAA+NotoSans-Regular",
            "CIDSystemInfo": pydyf.Dictionary(
                {"Registry": pydyf.String("Adobe"), "Ordering": pydyf.String("Identity"), "Supplement": 0}
            ),
            "FontDescriptor": _add(pdf, pydyf.Dictionary(descriptor)),
            "W": widths,
            "CIDToGIDMap": "/Identity",
        }
        font = {
            "Type": "/Font",
            "Subtype": "/Type0",
            "BaseFont": "/ICNAAA+NotoSans-Regular",
            "Encoding": "/Identity-H",
            "DescendantFonts": pydyf.Array([_add(pdf, pydyf.Dictionary(descendant))]),
            "ToUnicode": _add(pdf, _stream(self._to_unicode())),
        }
        return _add(pdf, pydyf.Dictionary(font))

    def _subset(self) -> bytes:
        options = Options(
            retain_gids=True,
            hinting=False,
            notdef_outline=True,
            layout_features=[],
            name_IDs=[],
            name_languages=[],
        )
        options.drop_tables += [*_VARIATIONS, *_UNUSED]
        subsetter = Subsetter(options)
        subsetter.populate(gids=sorted(self._used))
        subsetter.subset(self._font)
        written = BytesIO()
        self._font.save(written, reorderTables=None)
        return written.getvalue()

    def _to_unicode(self) -> bytes:
        """What characters the glyphs stand for, so that text can be searched, copied and read aloud."""
        lines = [
            "/CIDInit /ProcSet findresource begin 12 dict begin begincmap",
            "/CMapName /Adobe-Identity-UCS def /CMapType 2 def",
            "1 begincodespacerange <0000> <ffff> endcodespacerange",
        ]
        used = sorted(self._used.items())
        for start in range(0, len(used), 100):
            some = used[start : start + 100]
            lines.append(f"{len(some)} beginbfchar")
            lines += [f"<{number:04x}> <{text.encode('utf-16-be').hex()}>" for number, text in some]
            lines.append("endbfchar")
        lines.append("endcmap CMapName currentdict /CMap defineresource pop end end")
        return "\n".join(lines).encode()


class _Spooled(pydyf.Object):  # type: ignore[misc]
    """A stream that waits on the disk."""

    def __init__(self, spool: IO[bytes], data: bytes) -> None:
        super().__init__()
        self._spool, self._start, self._length = spool, spool.seek(0, 2), len(data)
        spool.write(data)

    @property
    def data(self) -> bytes:
        self._spool.seek(self._start)
        return self._spool.read(self._length)


class _Pages:
    """Entries, page after page, each with what it adds and what is carried forward."""

    def __init__(
        self,
        found: AccountStatement,
        money: Money,
        names: Mapping[bytes, str],
        spool: IO[bytes],
        *,
        has_memos: bool,
    ) -> None:
        self.pdf = pydyf.PDF()
        self.entries = 0
        self._found, self._money, self._names, self._spool = found, money, names, spool
        self._has_memos = has_memos
        self._font = _Font()
        self._resources = pydyf.Dictionary()
        self.pdf.add_object(self._resources)
        self._debited_minor = self._credited_minor = 0
        self._page_debited_minor = self._page_credited_minor = 0
        self._balance_minor = 0
        self._account = b""
        """The one whose pages these are; empty for the table of all."""
        self._family = frozenset(one.account for one in found.accounts) if found.is_family else frozenset()
        self._closings = {one.account: one.sums.closing_minor for one in found.accounts}
        self._number = 0

    def open(self, piece: Piece) -> None:
        """Begin an account, on a page of its own."""
        if self._account:
            self._close_account()
        self._account, self._balance_minor = piece.account, piece.balance_minor
        self._debited_minor = self._credited_minor = 0
        self._begin("Opening balance")

    def add(self, entry: Entry, reverses: int, memo: str) -> None:
        """Put the next entry on its line; below it the number of the one that it reverses, if any, and what
        it was for."""
        below = [one for one in (self._second(entry, reverses), _cut(memo)) if one]
        if self._y - SECOND_LEADING * len(below) < BOTTOM:
            self._turn()
        self.entries += 1
        moved = self._money.text(abs(entry.amount_minor))
        self._put(NUMBER_AT, str(entry.number), is_right=True)
        self._put(TIME_AT, _time(entry.block_time_ms))
        self._put(KIND_AT, kind_name(entry.kind))
        self._put(OTHER_AT, entry.counter_account.hex(), size=SMALL)
        self._put(DEBIT_AT if entry.amount_minor < 0 else CREDIT_AT, moved, is_right=True)
        self._put(BALANCE_AT, self._money.text(entry.balance_minor), is_right=True)
        for text in below:
            self._y -= SECOND_LEADING
            self._put(TIME_AT, text, size=SMALL)
        self._y -= LEADING
        if entry.amount_minor < 0:
            self._page_debited_minor -= entry.amount_minor
        else:
            self._page_credited_minor += entry.amount_minor
        self._balance_minor = entry.balance_minor

    def close(self) -> None:
        """Write the closing, the sums of several accounts, and how the file is checked."""
        sums, found, head = self._found.sums, self._found, self._found.head
        signed = f"principal {found.signer}, with its key {found.key_id}" if found.signer else "nobody"
        facts = [
            ("Owner", found.owner),
            ("Entries", f"{sums.entries} in this span, none changed, and none missing before "
             f"{_instant(found.complete_until_ms)} UTC"),
            ("Proven by", f"the state after height {found.height}, zone with genesis {head.genesis.hex()}"),
            ("Signed by", signed),
            ("Made from", f"a statement file with SHA-256 {found.digest.hex()}"),
            ("Check it", "icn statement verify FILE --genesis GENESIS"),
        ]  # fmt: skip
        if found.is_family:
            facts.insert(
                1, ("Accounts", f"this one and its {found.sub_accounts} sub-accounts, which are all")
            )
        elif found.sub_accounts:
            facts.insert(1, ("Accounts", f"this one; its {found.sub_accounts} sub-accounts are not shown"))
        if self._names:
            facts.append(("Names", "are those that whoever made these pages gave to accounts, not proven"))
        if self._has_memos:
            facts.append(("Memos", "are what the ledger has the hash of, as a party's key opened them"))
        if found.is_family:
            self._close_account()
            self._tabulate()
        if self._y - LEADING * (len(facts) + 1) < BOTTOM:
            self._turn()
        self._y -= LEADING
        for name, text in facts:
            self._put(MARGIN, name)
            self._put(MARGIN + 55, text)
            self._y -= LEADING
        if found.is_family:
            self._finish_page()
        else:
            self._close_account()
        self._resources["Font"] = pydyf.Dictionary({"F": self._font.add_to(self.pdf)})
        span = f"{_instant(head.from_ms)} to {_instant(head.until_ms)}"
        title = f"Statement of account {head.account.hex()}, {span}"
        self.pdf.info.update({"Title": pydyf.String(title), "Creator": pydyf.String("icn statement convert")})
        preferences = pydyf.Dictionary({"DisplayDocTitle": "true"})
        self.pdf.catalog.update({"Lang": pydyf.String("en"), "ViewerPreferences": preferences})

    def _close_account(self) -> None:
        assert self._balance_minor == self._closings[self._account], "verified"
        self._end("Closing balance")

    def _tabulate(self) -> None:
        """What each account opened and closed with, and all of them together."""
        found = self._found
        self._account = b""
        self._head()
        for account, sums in found.accounts:
            name = self._name(account)
            if self._y - (SECOND_LEADING if name else 0) < BOTTOM:
                self._turn()
            self._put(MARGIN, account.hex(), size=SMALL)
            self._figures(sums)
            if name:
                self._y -= SECOND_LEADING
                self._put(MARGIN, name, size=SMALL)
            self._y -= LEADING
        if self._y - 2 * LEADING < BOTTOM:
            self._turn()
        self._put(MARGIN, "All accounts")
        self._figures(found.sums)
        self._y -= LEADING
        self._put(MARGIN, "Of these moved between them")
        for at in (DEBIT_AT, CREDIT_AT):
            self._put(at, self._money.text(found.between_minor), is_right=True)
        self._y -= LEADING

    def _figures(self, sums: Sums) -> None:
        amounts = (sums.opening_minor, sums.debited_minor, sums.credited_minor, sums.closing_minor)
        for at, minor in zip((OPENING_AT, DEBIT_AT, CREDIT_AT, BALANCE_AT), amounts, strict=True):
            self._put(at, self._money.text(minor), is_right=True)

    def _turn(self) -> None:
        """Go on with the next page."""
        if self._account:
            self._end("Carried forward")
            self._begin("Brought forward", self._debited_minor, self._credited_minor)
        else:
            self._finish_page()
            self._head()

    def _begin(self, name: str, *moved_minor: int) -> None:
        """A page of an account, and what it begins with."""
        self._head()
        self._sums(name, *moved_minor)
        self._y -= LEADING + 2

    def _head(self) -> None:
        """A page, of an account or of the table of all."""
        head, unit = self._found.head, self._found.unit
        self._number += 1
        self._text = pydyf.Stream()
        self._text.begin_text()
        self._y = HEIGHT - MARGIN - 12.0
        account = self._account or head.account
        if not self._account:
            title = f"Sums of account {account.hex()} and its sub-accounts"
        elif account == head.account:
            title = f"Statement of account {account.hex()}"
        else:
            title = f"Statement of sub-account {account.hex()}"
        name = self._name(account)
        self._put(MARGIN, f"{title}, {name}" if name else title, size=10)
        self._put(BALANCE_AT, f"page {self._number}", is_right=True)
        self._y -= 14
        span = f"{_instant(head.from_ms)} to before {_instant(head.until_ms)} (UTC)"
        zone = f"zone with genesis {head.genesis.hex()[:16]}…"
        self._put(MARGIN, f"in {self._money.code} (unit {unit['unit']}), {zone}, from {span}", size=6.5)
        self._y -= 18
        for at, column, is_right in _HEADS if self._account else _TABLE_HEADS:
            self._put(at, column, is_right=is_right)
        self._y -= LEADING + 2

    def _end(self, name: str) -> None:
        self._y = BOTTOM - 2 * LEADING
        self._moved("This page", self._page_debited_minor, self._page_credited_minor)
        self._debited_minor += self._page_debited_minor
        self._credited_minor += self._page_credited_minor
        self._page_debited_minor = self._page_credited_minor = 0
        self._y -= LEADING
        self._sums(name, self._debited_minor, self._credited_minor)
        self._finish_page()

    def _finish_page(self) -> None:
        self._text.end_text()
        self._text.set_line_width(0.4)
        for y in (HEIGHT - MARGIN - 47, BOTTOM - LEADING - 2):
            self._text.move_to(MARGIN, y)
            self._text.line_to(BALANCE_AT, y)
            self._text.stroke()
        content = _Spooled(self._spool, _stream(b"\n".join(self._text.stream)).data)
        page = {
            "Type": "/Page",
            "Parent": self.pdf.pages.reference,
            "MediaBox": pydyf.Array([0, 0, WIDTH, HEIGHT]),
            "Contents": _add(self.pdf, content),
            "Resources": self._resources.reference,
        }
        self.pdf.add_page(pydyf.Dictionary(page))

    def _sums(self, name: str, *moved_minor: int) -> None:
        """What there is so far, and what was debited and credited for it."""
        self._moved(name, *moved_minor)
        self._put(BALANCE_AT, self._money.text(self._balance_minor), is_right=True)

    def _moved(self, name: str, *moved_minor: int) -> None:
        self._put(TIME_AT, name)
        for at, minor in zip((DEBIT_AT, CREDIT_AT), moved_minor, strict=False):
            self._put(at, self._money.text(minor), is_right=True)

    def _second(self, entry: Entry, reverses: int) -> str:
        """What stands below an entry's line, mostly nothing."""
        reference = f"reference {entry.reference.hex()}" if entry.reference else ""
        if reverses:
            reference = f"reverses entry {reverses}"
        between = "between these accounts" if entry.counter_account in self._family else ""
        return "   ".join(filter(None, (self._name(entry.counter_account), between, reference)))

    def _name(self, account: bytes) -> str:
        """What an account is called; characters that no typeface shows are blanks."""
        return _cut(self._names.get(account, ""))

    def _put(self, x: float, text: str, *, size: float = SIZE, is_right: bool = False) -> None:
        """Set a text whose left or right edge is at x, smaller where it would be too wide."""
        code, width = self._font.code(text)
        size = min(size, (AMOUNT_WIDTH if is_right else TEXT_END - x) / max(width, 1))
        if is_right:
            x -= width * size
        self._text.set_font_size("F", round(size, 2))
        self._text.set_text_matrix(1, 0, 0, 1, round(x, 2), round(self._y, 2))
        self._text.stream.append(f"<{code}> Tj".encode())


def _cut(text: str) -> str:
    """As far as it fits below an entry."""
    composed = one_line(unicodedata.normalize("NFC", text))
    return composed if len(composed) <= TEXT_CHARACTERS_MAX else f"{composed[: TEXT_CHARACTERS_MAX - 1]}…"


def _instant(milliseconds: int) -> str:
    """To the millisecond, where it is not a whole second."""
    return _time(milliseconds) + (f".{milliseconds % 1000:03}" if milliseconds % 1000 else "")


def _time(milliseconds: int) -> str:
    return (_EPOCH + timedelta(milliseconds=milliseconds)).strftime("%Y-%m-%d %H:%M:%S")


def _add(pdf: pydyf.PDF, made: pydyf.Object) -> bytes:
    pdf.add_object(made)
    reference: bytes = made.reference
    return reference


def _stream(data: bytes, **extra: object) -> pydyf.Stream:
    return pydyf.Stream([zlib.compress(data)], {"Filter": "/FlateDecode", **extra})
