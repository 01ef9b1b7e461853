"""What the commands share that act for a unit's authority: signed by it, or as an action that its members
decide."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from icn_client.cli.common import open_identity, platform_directory, with_connection
from icn_client.cli.output import Refused, UsageError, print_json, print_text, say
from icn_client.cli.signing import perform_as, print_done

if TYPE_CHECKING:
    from icn_client.cli.memos import Memo
    from icn_client.connection import Connection


@dataclass(frozen=True)
class Governed:
    """Something that the authority of a unit, or who may freeze its accounts, is about to do."""

    message: Any
    who_may: bytes
    """Principal or authority."""
    reason: str
    """Of the ledger's refusal where somebody else acts."""
    shown: dict[str, Any]
    """For programs, once it is done."""
    text: str
    """For people, once it is done."""
    lines: list[str] = field(default_factory=list)
    """Told to people before."""
    or_owner: bytes | None = None
    """Another principal that may."""
    memo: Memo | None = None
    """Of the entry that it makes in the account ``memo_of`` (``accounts/<hex>``)."""
    memo_of: str = ""


def perform_governed(  # noqa: PLR0917 - what the commands pass on
    prepare: Callable[[Connection], Awaitable[Governed]],
    acting: str | None,
    as_action: bool,
    keystore: Path | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """Sign and send what was prepared, or print it as an action of a decision.

    Raises:
        UsageError: not exactly one of ``acting`` and ``as_action``.
        Refused: the identity is not the one who may.
    """
    if (acting is None) != as_action:
        raise UsageError("say who signs with --as NAME, or --action to let members decide, one of both")
    directory = platform_directory(data)
    identity = None if acting is None else open_identity(acting, keystore, directory)

    async def work(connection: Connection) -> tuple[Governed, Any]:
        prepared = await prepare(connection)
        for line in prepared.lines:
            (say if as_json or identity is None else print_text)(line)
        if identity is None:
            return prepared, None
        _check_who(prepared, identity.principal)
        outcome, _ = await perform_as(connection, identity, [prepared.message])
        if prepared.memo is not None:
            await prepared.memo.keep(connection, prepared.memo_of, outcome.height)
            prepared.shown.update(prepared.memo.shown)
        return prepared, outcome

    prepared, outcome = with_connection(directory, work)
    if outcome is None:
        _print_action(prepared.message)
        return
    print_done(outcome, as_json, prepared.shown, prepared.text)


def _check_who(prepared: Governed, principal: bytes) -> None:
    if principal in {prepared.who_may, prepared.or_owner}:
        return
    raise Refused(
        f"{prepared.reason}: {prepared.who_may.hex()} may, the identity is {principal.hex()}; where a "
        "federation may, its members decide: --action prints what `icn proposal draft --actions` takes",
        prepared.reason,
    )


def _print_action(message: Any) -> None:
    from icn_tally.polls.actions import write_action

    from icn_client.decisions import decided

    print_json([write_action(decided(message))])
