"""Permissions: relationship tuples in memory, evaluated at a stated height.

Pure but for the clock of nobody: what it knows is put in by `icn_kit.permission_projection`.
Source: docs/spec/permissions.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from icn_kit.errors import DomainError, ErrorKind

TUPLES_MAX = 1_000_000
"""About 450 bytes each; more is a fault of whoever writes them."""
RELATION_CHARACTERS_MAX = 64
CLOSURES_MAX = 1_024
"""Relations asked for that are remembered; services ask for a handful."""
HEIGHT_NONE = 2**63
"""Above every height: the end of what has not ended."""

_ORGANIZATIONS, _PRINCIPALS = "organizations/", "principals/"
_OBJECT = re.compile(r"organizations/[0-9a-f]{32}\Z")
_SUBJECT = re.compile(r"principals/[0-9a-f]{32}\Z")
_RELATION = re.compile(rf"[a-z][a-z0-9_.]{{0,{RELATION_CHARACTERS_MAX - 1}}}\Z")


class HeightNotReached(DomainError):
    """This copy has not seen everything up to the height that was asked for; try again later."""

    kind = ErrorKind.UNAVAILABLE
    reason = "HEIGHT_NOT_REACHED"

    def __init__(self, asked: int, reached: int) -> None:
        super().__init__(f"asked for height {asked}, reached {reached}", asked=asked, reached=reached)
        self.asked = asked
        self.reached = reached


class MalformedTuple(ValueError):
    """Object, relation or subject is not of its form, or there are too many tuples."""


class PermissionTuple(NamedTuple):
    """That ``subject`` has ``relation`` on ``object`` for a time."""

    object: str
    relation: str
    subject: str
    since_height: int
    """First height at which it holds."""
    until_height: int
    """First height at which it does not hold any more; HEIGHT_NONE while it lasts."""


class Verdict(NamedTuple):
    """The answer to a check."""

    is_allowed: bool
    because: tuple[PermissionTuple, ...]
    """The tuples that carry it, from the object to the subject; none for a no."""


@dataclass(frozen=True, slots=True)
class Implied:
    """On the same object, ``by`` implies ``relation``."""

    relation: str
    by: str
    """A relation, or a beginning of relations followed by ``*``: ``office.*``."""


@dataclass(frozen=True, slots=True)
class Through:
    """There is an organization that has ``step`` on the object, and on which the subject has ``then``."""

    relation: str
    step: str
    then: str


Rule = Implied | Through

RULES: tuple[Rule, ...] = (
    Implied("officer", "office.*"),
    Implied("member", "officer"),
    Through("member_of_member", "member", "member"),
)
"""Those in force."""

_DENIED = Verdict(False, ())
_Grant = tuple[str, int, int]
"""Relation, since, until."""


class _Closure(NamedTuple):
    """Every relation that implies one."""

    names: frozenset[str]
    beginnings: tuple[str, ...]


class PermissionReplica:
    """All tuples, as far as they were published, and the rules."""

    def __init__(self, rules: Iterable[Rule] = RULES) -> None:
        self._implied: dict[str, list[str]] = {}
        self._through: dict[str, list[Through]] = {}
        for rule in rules:
            if isinstance(rule, Implied):
                self._implied.setdefault(rule.relation, []).append(rule.by)
            else:
                self._through.setdefault(rule.relation, []).append(rule)
        self._closures: dict[str, _Closure] = {}
        self._by_subject: dict[str, dict[str, tuple[_Grant, ...]]] = {}
        self._objects: dict[str, str] = {}
        """Each object's name once: thousands of subjects share it."""
        self._count = 0
        self.height = 0
        """Of the last checkpoint: the highest at which this copy answers."""

    def __len__(self) -> int:
        return self._count

    # -- asking

    def check(self, subject: str, relation: str, object: str, height: int) -> Verdict:  # noqa: A002 - its name
        """Whether ``subject`` (``principals/…``) has ``relation`` on ``object`` (``organizations/…``).

        Raises:
            HeightNotReached: this copy cannot say for that height yet.
        """
        if height > self.height:
            raise HeightNotReached(height, self.height)
        carrying = self._find(subject, relation, object, height)
        if carrying is not None:
            return Verdict(True, (carrying,))
        for rule in self._through.get(relation, ()):
            for between in self._by_subject.get(subject, ()):
                first = self._find(_PRINCIPALS + between[len(_ORGANIZATIONS) :], rule.step, object, height)
                if first is None:
                    continue
                second = self._find(subject, rule.then, between, height)
                if second is not None:
                    return Verdict(True, (first, second))
        return _DENIED

    def tuples_of(self, subject: str, height: int) -> list[PermissionTuple]:
        """What ``subject`` has at ``height``, without what rules add.

        Raises:
            HeightNotReached: this copy cannot say for that height yet.
        """
        if height > self.height:
            raise HeightNotReached(height, self.height)
        return [
            PermissionTuple(object_, relation, subject, since, until)
            for object_, grants in self._by_subject.get(subject, {}).items()
            for relation, since, until in grants
            if since <= height < until
        ]

    def __iter__(self) -> Iterator[PermissionTuple]:
        for subject, objects in self._by_subject.items():
            for object_, grants in objects.items():
                for relation, since, until in grants:
                    yield PermissionTuple(object_, relation, subject, since, until)

    def _find(self, subject: str, relation: str, object_: str, height: int) -> PermissionTuple | None:
        """The tuple itself, or one that implies it on the same object."""
        objects = self._by_subject.get(subject)
        grants = None if objects is None else objects.get(object_)
        if grants is None:
            return None
        closure = self._closures.get(relation) or self._close(relation)
        found = None
        for held, since, until in grants:
            if since <= height < until:
                if held == relation:
                    return PermissionTuple(object_, held, subject, since, until)
                if held in closure.names or held.startswith(closure.beginnings):
                    found = PermissionTuple(object_, held, subject, since, until)
        return found

    def _close(self, relation: str) -> _Closure:
        names: set[str] = set()
        beginnings: set[str] = set()
        pending = [relation]
        while pending:
            for by in self._implied.get(pending.pop(), ()):
                if by.endswith("*"):
                    beginnings.add(by[:-1])
                elif by not in names:
                    names.add(by)
                    pending.append(by)
        if len(self._closures) >= CLOSURES_MAX:
            self._closures.clear()
        closure = self._closures[relation] = _Closure(frozenset(names), tuple(sorted(beginnings)))
        return closure

    # -- changes

    def write(self, object: str, relation: str, subject: str, height: int) -> None:  # noqa: A002 - its name
        """It holds from ``height`` on. A change at or below the last checkpoint is a repeat and does nothing.

        Raises:
            MalformedTuple: a part is not of its form, or there are TUPLES_MAX tuples.
        """
        check_tuple(object, relation, subject)
        if height <= self.height:
            return
        grants = self._by_subject.get(subject, {}).get(object, ())
        if any(
            held == relation and (until == HEIGHT_NONE or since == height) for held, since, until in grants
        ):
            return
        self._put(object, subject, (*grants, (relation, height, HEIGHT_NONE)))

    def remove(self, object: str, relation: str, subject: str, height: int) -> None:  # noqa: A002 - its name
        """It does not hold at ``height`` and later. A change at or below the last checkpoint is a repeat.

        Raises:
            MalformedTuple: a part is not of its form.
        """
        check_tuple(object, relation, subject)
        if height <= self.height:
            return
        grants = self._by_subject.get(subject, {}).get(object, ())
        left = tuple(
            (held, since, height if held == relation and until == HEIGHT_NONE and since <= height else until)
            for held, since, until in grants
        )
        if left != grants:
            self._put(object, subject, tuple(grant for grant in left if grant[1] < grant[2]))

    def reach(self, height: int) -> None:
        """Everything up to ``height`` is in."""
        self.height = max(self.height, height)

    def restore(self, stored: PermissionTuple) -> None:
        """Put in a tuple as a table has it, instead of what is known of the same beginning; one that never
        held is left out.

        Raises:
            MalformedTuple: a part is not of its form, or there are TUPLES_MAX tuples.
        """
        check_tuple(stored.object, stored.relation, stored.subject)
        grants = self._by_subject.get(stored.subject, {}).get(stored.object, ())
        known = tuple(grant for grant in grants if grant[:2] != (stored.relation, stored.since_height))
        if stored.since_height < stored.until_height:
            known = (*known, (stored.relation, stored.since_height, stored.until_height))
        self._put(stored.object, stored.subject, known)

    def _put(self, object_: str, subject: str, grants: tuple[_Grant, ...]) -> None:
        objects = self._by_subject.setdefault(subject, {})
        count = self._count - len(objects.get(object_, ())) + len(grants)
        if count > max(TUPLES_MAX, self._count):
            raise MalformedTuple(f"more than {TUPLES_MAX} permission tuples")
        self._count = count
        if grants:
            objects[self._objects.setdefault(object_, object_)] = grants
            return
        objects.pop(object_, None)
        if not objects:
            del self._by_subject[subject]


def check_tuple(object: str, relation: str, subject: str) -> None:  # noqa: A002 - its name
    """Refuse what no tuple may say.

    Raises:
        MalformedTuple: a part is not of its form.
    """
    for text, form, name in (
        (object, _OBJECT, "object"),
        (relation, _RELATION, "relation"),
        (subject, _SUBJECT, "subject"),
    ):
        if form.match(text) is None:
            raise MalformedTuple(f"{name} {text[:128]!r} is not of its form")


def create_permission_statements() -> tuple[str, ...]:
    """What a service's migration executes, in its own schema, to get its copy of the tuples."""
    return (
        """
        CREATE TABLE permission_tuples (
            object text NOT NULL,
            relation text NOT NULL,
            subject text NOT NULL,
            since_height bigint NOT NULL,
            until_height bigint CHECK (until_height >= since_height),
            PRIMARY KEY (object, subject, relation, since_height)
        )
        """,
        "CREATE INDEX permission_tuples_by_since ON permission_tuples (since_height)",
        "CREATE INDEX permission_tuples_by_until ON permission_tuples (until_height)",
        """
        CREATE UNIQUE INDEX permission_tuples_lasting ON permission_tuples (object, subject, relation)
        WHERE until_height IS NULL
        """,
        """
        CREATE TABLE permission_progress (
            is_the_row boolean PRIMARY KEY DEFAULT true CHECK (is_the_row),
            height bigint NOT NULL
        )
        """,
        "INSERT INTO permission_progress (height) VALUES (0)",
    )
