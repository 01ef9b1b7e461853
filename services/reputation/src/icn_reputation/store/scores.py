"""Reads and writes scores. Every read is one statement, or several of one snapshot."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from icn.kit.v1.envelope_pb2 import EventEnvelope
from icn_kit.database import Connection, Database
from icn_kit.outbox import Outbox
from icn_trust.evidence import Evidence, Kind

from icn_reputation.domain.computation import Basis, PairSum
from icn_reputation.domain.principals import name_of
from icn_reputation.domain.seeds import SEEDS_MAX, Seeds, choose_seeds, is_federation
from icn_reputation.usecases.ports import (
    Change,
    Changes,
    ComputationRow,
    DimensionRow,
    NumberedEvidence,
    PairEvidence,
    ScoreRow,
)

Announce = Callable[[ComputationRow, Changes], EventEnvelope]
"""Makes the event of a computation."""

_EVIDENCE = "number, who, about, dimension, is_fulfilled, weight, occurred_at_ms, source"
_DIMENSIONS = """
SELECT coalesce(d.name, c.dimension), coalesce(d.evidence_count, 0),
    c.evidence_count, c.as_of_ms, c.seeds, c.seeds_height, c.members, c.pairs
FROM dimensions d FULL JOIN computations c ON c.dimension = d.name
"""
_SCORE = """
SELECT s.principal, s.dimension, s.score_nano,
    1 + (SELECT count(*) FROM scores o WHERE o.dimension = s.dimension AND o.score_nano > s.score_nano),
    c.as_of_ms, c.evidence_count
FROM scores s JOIN computations c ON c.dimension = s.dimension
"""
_SCORES_PAGE = """
WITH page AS (
    SELECT principal, score_nano FROM scores
    WHERE dimension = %(dimension)s
        AND (%(score)s::bigint IS NULL
            OR score_nano < %(score)s OR score_nano = %(score)s AND principal > %(principal)s)
    ORDER BY score_nano DESC, principal LIMIT %(limit)s
), ranks AS (
    SELECT score_nano, 1 + (
        SELECT count(*) FROM scores o WHERE o.dimension = %(dimension)s AND o.score_nano > shown.score_nano
    ) AS rank
    FROM (SELECT DISTINCT score_nano FROM page) shown
)
SELECT page.principal, c.dimension, page.score_nano, ranks.rank, c.as_of_ms, c.evidence_count
FROM page JOIN ranks USING (score_nano) JOIN computations c ON c.dimension = %(dimension)s
ORDER BY page.score_nano DESC, page.principal
"""
_FEDERATION = """
SELECT a.authority, count(*) FROM authorities a JOIN memberships m ON m.organization = a.authority
WHERE m.has_been_active AND m.member = ANY(%s) GROUP BY a.authority, a.height ORDER BY a.height, a.authority
"""
_FEDERATION_MEMBERS = """
SELECT array(
        SELECT member FROM memberships WHERE organization = %(authority)s AND is_active
        ORDER BY member LIMIT %(limit)s
    ),
    (SELECT coalesce(max(height), 0) FROM memberships WHERE organization = %(authority)s)
"""
_MEMBERSHIPS_HEIGHT = """
SELECT greatest(
    (SELECT coalesce(max(height), 0) FROM memberships), (SELECT coalesce(max(height), 0) FROM authorities)
)
"""
_PAIR_SUMS = """
SELECT who, about,
    (coalesce(sum(weight) FILTER (WHERE is_fulfilled), 0))::bigint,
    (coalesce(sum(weight) FILTER (WHERE NOT is_fulfilled), 0))::bigint
FROM evidence WHERE dimension = %s AND number <= %s GROUP BY who, about LIMIT %s
"""
_PAIR_NAMED = """
SELECT asked.place, piece.* FROM unnest(%(who)s::bytea[]) WITH ORDINALITY AS asked (who, place)
CROSS JOIN LATERAL (
    SELECT number, who, about, dimension, is_fulfilled, weight, occurred_at_ms, source FROM evidence e
    WHERE e.dimension = %(dimension)s AND e.who = asked.who AND e.about = %(about)s AND e.number <= %(count)s
    ORDER BY weight DESC, occurred_at_ms DESC, source LIMIT %(named_max)s
) AS piece
ORDER BY asked.place, piece.weight DESC, piece.occurred_at_ms DESC, piece.source
"""
_PAIR_TOTALS = """
SELECT who, count(*),
    (coalesce(sum(weight) FILTER (WHERE is_fulfilled), 0))::bigint,
    (coalesce(sum(weight) FILTER (WHERE NOT is_fulfilled), 0))::bigint
FROM evidence
WHERE dimension = %(dimension)s AND who = ANY(%(who)s) AND about = %(about)s AND number <= %(count)s
GROUP BY who
"""
_STORED_BASIS = """
SELECT evidence_count, as_of_ms, seeds, seeds_height, members, pairs FROM computations
WHERE dimension = %s FOR UPDATE
"""
_SET_COMPUTATION = """
INSERT INTO computations (dimension, evidence_count, as_of_ms, seeds, seeds_height, members, pairs)
VALUES (%s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (dimension) DO UPDATE SET evidence_count = excluded.evidence_count, as_of_ms = excluded.as_of_ms,
    seeds = excluded.seeds, seeds_height = excluded.seeds_height,
    members = excluded.members, pairs = excluded.pairs
"""
_SET_SCORES = """
WITH fresh AS (
    SELECT * FROM unnest(%(principals)s::bytea[], %(scores)s::bigint[]) AS f (principal, score_nano)
), changed AS (
    SELECT f.principal, s.score_nano AS previous, f.score_nano FROM fresh f
    LEFT JOIN scores s ON s.dimension = %(dimension)s AND s.principal = f.principal
    WHERE s.score_nano IS DISTINCT FROM f.score_nano
), written AS (
    INSERT INTO scores (dimension, principal, score_nano)
    SELECT %(dimension)s, principal, score_nano FROM changed
    ON CONFLICT (dimension, principal) DO UPDATE SET score_nano = excluded.score_nano
), gone AS (
    DELETE FROM scores s WHERE s.dimension = %(dimension)s
        AND NOT EXISTS (SELECT FROM fresh f WHERE f.principal = s.principal)
    RETURNING s.principal, s.score_nano
), changes AS (
    SELECT principal, coalesce(previous, 0) AS previous, score_nano FROM changed
    WHERE score_nano <> coalesce(previous, 0)
    UNION ALL SELECT principal, score_nano, 0 FROM gone WHERE score_nano <> 0
)
SELECT principal, previous, score_nano, count(*) OVER () FROM changes
ORDER BY abs(score_nano - previous) DESC, principal LIMIT %(changes_max)s
"""


class ScoreTables:
    """Implements `ScoreReader` and `ScoreWriter`.

    Args:
        announce: makes the event that is published with a computation which changed a score.
    """

    def __init__(self, database: Database, announce: Announce) -> None:
        self._database = database
        self._announce = announce

    async def dimension(self, name: str) -> DimensionRow | None:
        """See `ScoreReader`."""
        rows = await self._rows(_DIMENSIONS + " WHERE coalesce(d.name, c.dimension) = %s", (name,))
        return _dimension(rows[0]) if rows else None

    async def dimensions(self) -> Sequence[DimensionRow]:
        """See `ScoreReader`."""
        return [_dimension(row) for row in await self._rows(_DIMENSIONS + " ORDER BY 1", ())]

    async def scores(self, dimension: str, after: tuple[int, bytes] | None, limit: int) -> Sequence[ScoreRow]:
        """See `ScoreReader`."""
        score_nano, principal = after or (None, b"")
        parameters = {"dimension": dimension, "score": score_nano, "principal": principal, "limit": limit}
        return [ScoreRow(*row) for row in await self._rows(_SCORES_PAGE, parameters)]

    async def scores_of(self, principal: bytes) -> Sequence[ScoreRow]:
        """See `ScoreReader`."""
        rows = await self._rows(_SCORE + " WHERE s.principal = %s ORDER BY s.dimension", (principal,))
        return [ScoreRow(*row) for row in rows]

    async def evidence(
        self, dimension: str, about: bytes, who: bytes, before: int | None, limit: int, *, kind: Kind | None
    ) -> Sequence[NumberedEvidence]:
        """See `ScoreReader`."""
        clauses = ["dimension = %s"]
        parameters: list[str | bytes | int] = [dimension]
        for column, value in (("about", about), ("who", who)):
            if value:
                clauses.append(f"{column} = %s")
                parameters.append(value)
        if kind is not None:
            clauses.append("is_fulfilled" if kind is Kind.FULFILLED else "NOT is_fulfilled")
        if before is not None:
            clauses.append("number < %s")
            parameters.append(before)
        statement = (
            f"SELECT {_EVIDENCE} FROM evidence WHERE {' AND '.join(clauses)} ORDER BY number DESC LIMIT %s"  # noqa: S608
        )
        return [_numbered(row) for row in await self._rows(statement, (*parameters, limit))]

    async def pair_evidence(
        self, basis: Basis, about: bytes, who: Sequence[bytes], named_max: int
    ) -> Sequence[PairEvidence]:
        """See `ScoreReader`."""
        parameters = {
            "dimension": basis.dimension,
            "about": about,
            "who": list(who),
            "count": basis.evidence_count,
            "named_max": named_max,
        }
        # Pieces are never changed and these are numbered up to the basis: both statements see the same ones.
        named: dict[int, list[NumberedEvidence]] = {}
        for place, *piece in await self._rows(_PAIR_NAMED, parameters):
            named.setdefault(place, []).append(_numbered(piece))
        totals = {bytes(row[0]): row[1:] for row in await self._rows(_PAIR_TOTALS, parameters)}
        found = []
        for place, principal in enumerate(who, start=1):
            pieces = named.get(place, [])
            count, fulfilled, failed = totals.get(principal, (0, 0, 0))
            of_named = {
                kind: sum(numbered.piece.weight for numbered in pieces if numbered.piece.kind is kind)
                for kind in Kind
            }
            found.append(
                PairEvidence(
                    named=pieces,
                    others=count - len(pieces),
                    others_fulfilled=fulfilled - of_named[Kind.FULFILLED],
                    others_failed=failed - of_named[Kind.FAILED],
                )
            )
        return found

    async def pair_sums(self, basis: Basis, limit: int) -> Sequence[PairSum]:
        """See `ScoreReader`."""
        rows = await self._rows(_PAIR_SUMS, (basis.dimension, basis.evidence_count, limit))
        return [PairSum(*row) for row in rows]

    async def memberships_height(self) -> int:
        """See `ScoreWriter`."""
        rows = await self._rows(_MEMBERSHIPS_HEIGHT, ())
        height: int = rows[0][0]
        return height

    async def basis(self, dimension: str, configured: Sequence[bytes], founders: Sequence[bytes]) -> Basis:
        """See `ScoreWriter`."""
        async with self._snapshot() as connection:
            cursor = await connection.execute(
                "SELECT evidence_count, as_of_ms FROM dimensions WHERE name = %s", (dimension,)
            )
            evidence_count, as_of_ms = await cursor.fetchone() or (0, 0)
            members: list[bytes] = []
            height = 0
            if not configured:
                cursor = await connection.execute(_FEDERATION, (list(founders),))
                for authority, founders_among_members in await cursor.fetchall():
                    if is_federation(founders_among_members, len(founders)):
                        cursor = await connection.execute(
                            _FEDERATION_MEMBERS, {"authority": authority, "limit": SEEDS_MAX}
                        )
                        row = await cursor.fetchone()
                        assert row is not None, "it has no FROM"
                        members, height = row
                        break
        seeds = choose_seeds(configured, members, height, founders)
        return Basis(dimension, evidence_count, as_of_ms, seeds)

    async def store(self, row: ComputationRow, scores: dict[bytes, int], changes_max: int) -> Changes | None:
        """See `ScoreWriter`."""
        basis = row.basis
        principals = sorted(scores)
        async with self._database.transaction() as connection:
            cursor = await connection.execute(_STORED_BASIS, (basis.dimension,))
            stored = await cursor.fetchone()
            if stored is not None and not basis.adds_to(_computation(basis.dimension, stored).basis):
                return None
            await connection.execute(
                _SET_COMPUTATION,
                (
                    basis.dimension,
                    basis.evidence_count,
                    basis.as_of_ms,
                    list(basis.seeds.principals),
                    basis.seeds.height,
                    row.members,
                    row.pairs,
                ),
            )
            cursor = await connection.execute(
                _SET_SCORES,
                {
                    "dimension": basis.dimension,
                    "principals": principals,
                    "scores": [scores[principal] for principal in principals],
                    "changes_max": changes_max,
                },
            )
            found = await cursor.fetchall()
            changes = Changes([Change(*change[:3]) for change in found], found[0][3] if found else 0)
            if changes.total:
                await Outbox().add_many(connection, [self._announce(row, changes)])
        return changes

    async def _rows(self, statement: str, parameters: Any) -> list[tuple[Any, ...]]:
        async with self._database.connection() as connection:
            cursor = await connection.execute(statement, parameters)
            return await cursor.fetchall()

    @asynccontextmanager
    async def _snapshot(self) -> AsyncIterator[Connection]:
        async with self._database.transaction() as connection:
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield connection


def _computation(dimension: str, row: Sequence[Any]) -> ComputationRow:
    evidence_count, as_of_ms, seeds, seeds_height, members, pairs = row
    basis = Basis(dimension, evidence_count, as_of_ms, Seeds(tuple(seeds), seeds_height))
    return ComputationRow(basis, members, pairs)


def _dimension(row: Sequence[Any]) -> DimensionRow:
    name, evidence_count, *computation = row
    is_computed = computation[0] is not None
    return DimensionRow(name, evidence_count, _computation(name, computation) if is_computed else None)


def _numbered(row: Sequence[Any]) -> NumberedEvidence:
    number, who, about, dimension, is_fulfilled, weight, occurred_at_ms, source = row
    piece = Evidence(
        who=name_of(who),
        about=name_of(about),
        dimension=dimension,
        kind=Kind.FULFILLED if is_fulfilled else Kind.FAILED,
        weight=weight,
        occurred_at_ms=occurred_at_ms,
        source_id=source,
    )
    return NumberedEvidence(number, piece)
