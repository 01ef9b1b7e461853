"""`icn federation`: authorities of organizations, founded and directed by countersigned decisions."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from icn_client.cli.common import (
    AsOption,
    DataOption,
    JsonOption,
    KeystoreOption,
    command_group,
    duration_ms,
    identifier,
    open_identity,
    organization_identifier,
    platform_directory,
    show_duration,
    with_connection,
)
from icn_client.cli.output import Refused, UsageError, print_json, print_text, table

if TYPE_CHECKING:
    from icn_client.connection import Connection
    from icn_client.keystore import Identity

DecisionArgument = Annotated[str, typer.Argument(metavar="DECISION", help="Id of the decision.")]
ExpireOption = Annotated[
    str, typer.Option("--expire", metavar="TIME", help="How long it can be countersigned and enacted.")
]

_EXAMPLES = """\b
Examples:
  icn federation found "Valley Federation" --founder sunrise-bakery --founder harvest-farm
  icn federation found "Valley Federation" --member PRINCIPAL --member PRINCIPAL --as sunrise-bakery
  icn federation sign DECISION --as harvest-farm
"""
_FOUND_EXAMPLES = """\b
Examples:
  icn federation found "Valley Federation" --founder sunrise-bakery --founder harvest-farm
      every founder's keystore is here: founded at once
  icn federation found "Valley Federation" --member PRINCIPAL --member PRINCIPAL --as sunrise-bakery
      proposed; each founder signs with: icn federation sign
  icn federation found "Valley Federation" --founder sunrise-bakery --founder harvest-farm \\
      --poll-time 7d --majority 3/5
      with rules of its own; without them polls are open for three days, more than half of all
      members must vote yes, and more than two thirds where members, allowances or rules change
"""
_SHOW_EXAMPLES = """\b
Examples:
  icn federation show DECISION
"""
_SIGN_EXAMPLES = """\b
Examples:
  icn federation sign DECISION --as harvest-farm
"""
_ENACT_EXAMPLES = """\b
Examples:
  icn federation enact DECISION --as sunrise-bakery
"""
_LIST_EXAMPLES = """\b
Examples:
  icn federation decisions
"""


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = command_group("Authorities that act by their members' countersignatures.", _EXAMPLES)
    group.command("found", epilog=_FOUND_EXAMPLES)(found)
    group.command("show", epilog=_SHOW_EXAMPLES)(show)
    group.command("sign", epilog=_SIGN_EXAMPLES)(sign)
    group.command("enact", epilog=_ENACT_EXAMPLES)(enact_decision)
    group.command("decisions", epilog=_LIST_EXAMPLES)(list_decisions)
    app.add_typer(group, name="federation")


def found(  # noqa: PLR0917 - one parameter per option
    title: Annotated[str, typer.Argument(metavar="NAME", help="Name of the federation.")],
    founder: Annotated[
        list[str] | None,
        typer.Option("--founder", metavar="NAME", help="A founding identity whose keystore is here."),
    ] = None,
    member: Annotated[
        list[str] | None,
        typer.Option("--member", metavar="PRINCIPAL", help="A founding member that signs elsewhere."),
    ] = None,
    acting: Annotated[
        str | None,
        typer.Option("--as", metavar="NAME", help="Who proposes and pays; by default the first founder."),
    ] = None,
    text: Annotated[
        str, typer.Option("--text", metavar="TEXT", help="What is founded, and why.")
    ] = "We found this federation.",
    threshold: Annotated[
        int,
        typer.Option(
            "--threshold",
            metavar="N",
            help="Members that must countersign, if more than two thirds.",
            min=0,
            max=64,
        ),
    ] = 0,
    vouches: Annotated[
        int, typer.Option("--vouches", metavar="N", help="Members that must vouch.", min=0, max=16)
    ] = 0,
    poll_time: Annotated[
        str, typer.Option("--poll-time", metavar="TIME", help="How long a poll is open at least.")
    ] = "72h",
    quorum: Annotated[
        str, typer.Option("--quorum", metavar="SHARE", help="More than this of all members must vote.")
    ] = "1/2",
    majority: Annotated[
        str, typer.Option("--majority", metavar="SHARE", help="More than this of all must vote yes.")
    ] = "1/2",
    constitutional_quorum: Annotated[
        str,
        typer.Option(
            "--constitutional-quorum",
            metavar="SHARE",
            help="The quorum where members, allowances or rules change.",
        ),
    ] = "2/3",
    constitutional_majority: Annotated[
        str,
        typer.Option(
            "--constitutional-majority",
            metavar="SHARE",
            help="The majority where members, allowances or rules change.",
        ),
    ] = "2/3",
    expire: ExpireOption = "30d",
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Found a federation: at once where every founder's keystore is here, else as a proposal to sign."""
    from icn_tally.polls.documents import DecisionText
    from icn_tally.polls.forms import InvalidDocument

    from icn_client.decisions import founding_decision
    from icn_client.governance import Governance
    from icn_client.transactions import new_identifier

    directory = platform_directory(data)
    here = [open_identity(name, keystore, directory) for name in founder or ()]
    elsewhere = [identifier(one, "--member", "principals") for one in member or ()]
    who = open_identity(acting, keystore, directory) if acting is not None else next(iter(here), None)
    if who is None:
        raise UsageError("name at least one --founder, or who proposes with --as")
    members = {identity.principal for identity in here} | set(elsewhere) | {who.principal}
    if who.principal not in {identity.principal for identity in here}:
        here.append(who)
    shares = (quorum, majority, constitutional_quorum, constitutional_majority)
    rules = _rules(threshold, vouches, duration_ms(poll_time, "--poll-time"), shares)
    authority = new_identifier()
    words = DecisionText(authority, title, text)
    expire_time_ms = time.time_ns() // 1_000_000 + duration_ms(expire, "--expire")

    async def work(connection: Connection) -> tuple[Any, int]:
        governance = Governance(connection)
        body = founding_decision(
            connection.genesis.hash,
            words,
            members,
            expire_time_ms,
            rules,
        )
        decision = await governance.propose_decision(who, body, words.to_bytes())
        for identity in here:
            await _sign(governance, body, identity)
        height = 0
        if len(here) == len(members):
            height = await _enact(governance, body, who)
        return decision, height

    try:
        decision, height = with_connection(directory, work)
    except InvalidDocument as error:
        raise UsageError(str(error)) from None
    if as_json:
        print_json(
            {
                "federation": authority.hex(),
                "decision": decision.name,
                "founders": len(members),
                "height": str(height),
            }
        )
        return
    print_text(f"federation  organizations/{authority.hex()}")
    print_text(f"decision    {decision.name}")
    if height:
        print_text(f"founded at height {height} by {len(members)} members")
    else:
        print_text(
            f"waits for {len(members) - len(here)} founders: icn federation sign {decision.name} --as …"
        )


def sign(
    decision: DecisionArgument,
    acting: AsOption,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Countersign a decision without a poll, having read it; those with one are the steward's."""
    from icn_client.governance import Governance

    wanted = identifier(decision, "DECISION", "decisions", 32)
    directory = platform_directory(data)
    identity = open_identity(acting, keystore, directory)

    async def work(connection: Connection) -> tuple[Any, int]:
        governance = Governance(connection)
        shown = await governance.decision(wanted)
        read, words = _verified(connection.genesis.hash, wanted, shown)
        if read.poll:
            raise Refused("a poll's decision is recounted first: icn steward once", "NEEDS_RECOUNT")
        if not as_json:
            _show(read, words)
        return shown, await _sign(governance, shown.body, identity)

    shown, count = with_connection(directory, work)
    if as_json:
        print_json({"decision": shown.name, "countersignatures": count})
    else:
        print_text(
            f"countersigned; {count} have, {shown.countersignatures_needed or 'unknown how many'} must"
        )


def show(decision: DecisionArgument, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Show a decision, read here from the bytes that would be countersigned."""
    from icn_tally.polls.actions import describe_action

    from icn_client.governance import Governance

    wanted = identifier(decision, "DECISION", "decisions", 32)

    async def work(connection: Connection) -> tuple[Any, Any, Any]:
        shown = await Governance(connection).decision(wanted)
        return shown, *_verified(connection.genesis.hash, wanted, shown)

    shown, read, words = with_connection(platform_directory(data), work)
    if not as_json:
        _show(read, words)
        needed = shown.countersignatures_needed or "unknown how many"
        print_text(f"{_state(shown)}, countersigned by {shown.countersignatures}, {needed} must")
        return
    print_json(
        {
            "decision": shown.name,
            "authority": read.authority.hex(),
            "proposal": shown.proposal,
            "state": _state(shown),
            "title": None if words is None else words.title,
            "text": None if words is None else words.text,
            "actions": [describe_action(action) for action in read.actions],
            "expire_time_ms": str(read.expire_time_ms),
            "countersignatures": shown.countersignatures,
            "countersignatures_needed": shown.countersignatures_needed,
            "enact_height": str(shown.enact_height),
        }
    )


def enact_decision(
    decision: DecisionArgument,
    acting: AsOption,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring a decision that enough members have countersigned to the ledger; anybody may, and pays for it."""
    from icn_client.governance import Governance

    wanted = identifier(decision, "DECISION", "decisions", 32)
    directory = platform_directory(data)
    identity = open_identity(acting, keystore, directory)

    async def work(connection: Connection) -> int:
        governance = Governance(connection)
        shown = await governance.decision(wanted)
        _verified(connection.genesis.hash, wanted, shown)
        return await _enact(governance, shown.body, identity)

    height = with_connection(directory, work)
    if as_json:
        print_json({"decision": f"decisions/{wanted.hex()}", "height": str(height)})
    else:
        print_text(f"enacted at height {height}" if height else "somebody else has enacted it")


def list_decisions(
    authority: Annotated[
        str | None, typer.Option("--organization", metavar="ORGANIZATION", help="Only of this authority.")
    ] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List decisions, the newest first."""
    from icn_client.governance import Governance

    wanted = None if authority is None else organization_identifier(authority, "--organization")

    async def work(connection: Connection) -> list[Any]:
        return [one async for one in Governance(connection).decisions(authority=wanted)]

    found_ones = with_connection(platform_directory(data), work)
    if as_json:
        print_json(
            {
                "decisions": [
                    {
                        "decision": one.name,
                        "authority": one.authority,
                        "proposal": one.proposal,
                        "state": _state(one),
                        "actions": list(one.actions),
                        "countersignatures": one.countersignatures,
                        "enact_height": str(one.enact_height),
                    }
                    for one in found_ones
                ]
            }
        )
        return
    table(
        ("state", "signed", "actions", "decision"),
        [
            (_state(one), str(one.countersignatures), "; ".join(one.actions) or "none", one.name)
            for one in found_ones
        ],
    )


def _rules(threshold: int, vouches: int, poll_ms_min: int, shares: Sequence[str]) -> Any:
    """The rules that the options say. Raises UsageError."""
    from icn.ledger.v1.transaction_pb2 import AuthorityRules
    from icn_tally.polls.actions import POLL_MS_MIN_MAX, SHARES, read_share
    from icn_tally.polls.forms import InvalidDocument

    if poll_ms_min > POLL_MS_MIN_MAX:
        raise UsageError(f"--poll-time: at most {show_duration(POLL_MS_MIN_MAX)}")
    try:
        read = {
            name: read_share(text, name, f"--{name.replace('_', '-')}")
            for name, text in zip(SHARES, shares, strict=True)
        }
    except InvalidDocument as error:
        raise UsageError(str(error)) from None
    return AuthorityRules(threshold=threshold, vouches_min=vouches, poll_ms_min=poll_ms_min, **read)


def _state(shown: Any) -> str:
    from icn.governance.v1.service_pb2 import DecisionState

    return str(DecisionState.Name(shown.state)).removeprefix("DECISION_STATE_").lower()


def _verified(genesis_hash: bytes, wanted: bytes, shown: Any) -> tuple[Any, Any]:
    """The decision and its text, when they are what the id says. Raises Refused."""
    from icn_client.decisions import DecisionDiffers, read_decision

    # One that came by another way than governance has no text here, and nothing more to sign.
    if shown.enact_height and not shown.text:
        from icn.ledger.v1.transaction_pb2 import Decision

        return Decision.FromString(shown.body), None
    try:
        return read_decision(genesis_hash, wanted, shown.body, shown.text)
    except DecisionDiffers as error:
        raise Refused(str(error), "DECISION_DIFFERS") from None


def _show(read: Any, words: Any) -> None:
    from icn_tally.polls.actions import describe_action

    if words is not None:
        print_text(words.title)
        print_text(words.text)
    print_text(f"authority  organizations/{read.authority.hex()}")
    for action in read.actions:
        print_text(f"enacts     {describe_action(action)}")
        if action.WhichOneof("kind") == "found_authority":
            for member in action.found_authority.members:
                print_text(f"member     principals/{member.hex()}")


async def _sign(governance: Any, body: bytes, identity: Identity) -> int:
    from icn_client.decisions import countersign, decision_id

    genesis_hash = governance.connection.genesis.hash
    if identity.threshold != 1:
        raise Refused(
            f"{identity.name} signs with {identity.threshold} keys: use its steward's key",
            "THRESHOLD_NOT_MET",
        )
    signature = countersign(genesis_hash, body, identity.principal, identity.keys[0])
    count: int = await governance.submit(decision_id(genesis_hash, body), signature)
    return count


async def _enact(governance: Any, body: bytes, identity: Identity) -> int:
    from icn_client.acting import actor_of
    from icn_client.decisions import decision_id
    from icn_client.stewarding import enact, valid_countersignatures
    from icn_client.submitter import Submitter

    connection = governance.connection
    identifier_of = decision_id(connection.genesis.hash, body)
    signatures = await valid_countersignatures(governance, identifier_of, body)
    actor = await actor_of(connection, identity)
    async with Submitter(connection.doors()) as submitter:
        return await enact(submitter, actor, body, signatures)
