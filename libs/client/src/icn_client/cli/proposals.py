"""`icn proposal`: what members decide, from a draft to a result that anybody recounts."""

from __future__ import annotations

import json
import time
from pathlib import Path
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
    personal_keystore,
    platform_directory,
    show_duration,
    with_connection,
)
from icn_client.cli.files import read_file
from icn_client.cli.output import Refused, UsageError, print_json, print_text, say, table

if TYPE_CHECKING:
    from icn_tally.polls.documents import Draft

    from icn_client.connection import Connection

ACTIONS_FILE_BYTES_MAX = 65_536
OPEN_TRIES = 20
OPEN_SECONDS = 0.25
"""An event takes a fraction of a second; after five the proposal is shown as announced."""
OPEN_MS_MAX = 30_000
"""Most that is added to a poll's time for the way to the block that opens it; a hundredth of it at most."""

_RULES = ("scottish-stv", "wigm", "meek", "warren", "irv", "coombs", "plurality")

ProposalArgument = Annotated[str, typer.Argument(metavar="PROPOSAL", help="Id of the proposal.")]

_EXAMPLES = """\b
Examples:
  icn proposal draft --organization FEDERATION --title "A lower floor" --question "Shall we?" \\
      --set-floor ACCOUNT=-120000 --as sunrise-bakery
  icn proposal open PROPOSAL --close 3d --as sunrise-bakery
  icn proposal result PROPOSAL
"""
_DRAFT_EXAMPLES = """\b
Examples:
  icn proposal draft --organization FEDERATION --title "A lower floor" --question "Shall we?" \\
      --set-floor ACCOUNT=-120000 --as sunrise-bakery
  icn proposal draft --organization FEDERATION --title Delegates --question "Who speaks for us?" \\
      --candidate Ana --candidate Ben --candidate Cleo --seats 2 --teller PRINCIPAL --as sunrise-bakery
"""
_OPEN_EXAMPLES = """\b
Examples:
  icn proposal open PROPOSAL --close 3d --as sunrise-bakery
"""
_LIST_EXAMPLES = """\b
Examples:
  icn proposal list
  icn proposal list --organization FEDERATION --json
"""
_SHOW_EXAMPLES = """\b
Examples:
  icn proposal show PROPOSAL
"""
_RESULT_EXAMPLES = """\b
Examples:
  icn proposal result PROPOSAL          counted again here, from proven ballots
  icn proposal result PROPOSAL --json
"""


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = command_group("What members decide, from draft to result.", _EXAMPLES)
    group.command("draft", epilog=_DRAFT_EXAMPLES)(draft)
    group.command("open", epilog=_OPEN_EXAMPLES)(open_proposal)
    group.command("list", epilog=_LIST_EXAMPLES)(list_proposals)
    group.command("show", epilog=_SHOW_EXAMPLES)(show)
    group.command("result", epilog=_RESULT_EXAMPLES)(result)
    app.add_typer(group, name="proposal")


def draft(  # noqa: PLR0917 - one parameter per option
    organization: Annotated[
        str, typer.Option("--organization", metavar="ORGANIZATION", help="Whose members decide.")
    ],
    title: Annotated[str, typer.Option("--title", metavar="TEXT", help="One line.")],
    question: Annotated[str, typer.Option("--question", metavar="TEXT", help="What is asked.")],
    acting: AsOption,
    electorate: Annotated[
        str,
        typer.Option("--electorate", metavar="WHO", help="members or members-of-members."),
    ] = "",
    candidate: Annotated[
        list[str] | None,
        typer.Option("--candidate", metavar="NAME", help="Of an election; without any: yes, no, abstain."),
    ] = None,
    seats: Annotated[int, typer.Option("--seats", metavar="N", help="How many are elected.", min=1)] = 1,
    rule: Annotated[
        str,
        typer.Option(
            "--rule", help=f"How an election is counted: {', '.join(_RULES)}; see icn vote count for each."
        ),
    ] = "scottish-stv",
    teller: Annotated[
        list[str] | None,
        typer.Option("--teller", metavar="PRINCIPAL", help="Whose lots break ties of an election."),
    ] = None,
    eligible: Annotated[
        int | None,
        typer.Option("--eligible", metavar="N", help="Voters, at least; counted where left out.", min=1),
    ] = None,
    openings: Annotated[
        str, typer.Option("--openings", metavar="TIME", help="How long missing openings are waited for.")
    ] = "10m",
    set_floor: Annotated[
        list[str] | None,
        typer.Option("--set-floor", metavar="ACCOUNT=MINOR", help="Enacts a floor, in minor units."),
    ] = None,
    admit: Annotated[
        list[str] | None, typer.Option("--admit", metavar="PRINCIPAL", help="Enacts a membership.")
    ] = None,
    end: Annotated[
        list[str] | None, typer.Option("--end", metavar="PRINCIPAL", help="Enacts the end of a membership.")
    ] = None,
    actions: Annotated[
        Path | None,
        typer.Option(
            "--actions",
            metavar="FILE.json",
            help="Actions as docs/spec/governance.md has them, as an array.",
            readable=False,
        ),
    ] = None,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draft a proposal: a question with yes and no, or an election by ranking candidates."""
    from icn_tally.plain_decision import PlainDecision
    from icn_tally.polls.forms import InvalidDocument

    from icn_client.governance import Governance, election_draft, plain_draft
    from icn_client.names import identifier_in
    from icn_client.papers import paper_path, write_paper

    folder = personal_keystore(keystore).folder
    whose = organization_identifier(organization, "--organization")
    opening_ms = duration_ms(openings, "--openings")
    enacted = _actions(set_floor, admit, end, actions)
    who = electorate or ("members-of-members" if candidate else "members")
    if rule not in _RULES:
        raise UsageError(f"--rule: {rule[:40]!r} is not one of {', '.join(_RULES)}")
    if rule == "coombs" and seats > 1:
        raise UsageError("--seats: coombs elects one")
    if candidate and enacted:
        raise UsageError("an election enacts nothing: leave out --candidate or the actions")
    tellers = [identifier(one, "--teller", "principals") for one in teller or ()]
    directory = platform_directory(data)
    identity = open_identity(acting, keystore, directory)

    async def work(connection: Connection) -> Any:
        made: Draft
        if candidate:
            made = election_draft(
                whose,
                title,
                question,
                candidate,
                seats,
                rule=rule,
                tellers=tellers,
                electorate=who,
                opening_ms=opening_ms,
            )
        else:
            voters = eligible or await _count_voters(connection, whose, who)
            rules = await _rules_of(connection, whose)
            made = plain_draft(
                whose,
                title,
                question,
                voters,
                actions=enacted,
                electorate=who,
                opening_ms=opening_ms,
                rules=rules,
                rule=PlainDecision(voters) if rules is None else None,
            )
        shown = await Governance(connection).create(identity, made)
        write_paper(
            paper_path(folder, "draft", identifier_in(shown.name, "proposals"), acting),
            {"draft": made.to_bytes()},
        )
        return shown

    try:
        shown = with_connection(directory, work)
    except InvalidDocument as error:
        raise UsageError(str(error)) from None
    _show(shown, as_json)


def open_proposal(  # noqa: PLR0917 - one parameter per option
    proposal: ProposalArgument,
    close: Annotated[
        str, typer.Option("--close", metavar="TIME", help="How long ballots are taken: 3d, 36h, 90m, 30s.")
    ],
    acting: AsOption,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Open the poll of a draft on the ledger, once every teller has committed."""
    from icn_tally.polls.forms import InvalidDocument

    from icn_client.acting import actor_of
    from icn_client.governance import Governance, open_poll
    from icn_client.papers import PaperMissing, paper_path, read_paper
    from icn_client.submitter import Submitter

    wanted = identifier(proposal, "PROPOSAL", "proposals")
    lasts_ms = duration_ms(close, "--close")
    paper = paper_path(personal_keystore(keystore).folder, "draft", wanted, acting)
    directory = platform_directory(data)
    identity = open_identity(acting, keystore, directory)

    async def work(connection: Connection) -> Any:
        governance = Governance(connection)
        if (
            paper.is_file()
            and read_paper(paper, ("draft",))["draft"] != (await governance.proposal(wanted)).draft
        ):
            raise Refused("governance shows another draft than was made here", "DRAFT_CHANGED")
        # A poll counts from the block that opens it.
        close_time_ms = time.time_ns() // 1_000_000 + lasts_ms + min(OPEN_MS_MAX, lasts_ms // 100)
        document = await governance.announce(identity, wanted, close_time_ms)
        async with Submitter(connection.doors()) as submitter:
            await open_poll(submitter, await actor_of(connection, identity), document)
        return await _once_open(governance, wanted)

    try:
        shown = with_connection(directory, work)
    except InvalidDocument as error:
        raise Refused(str(error), "DOCUMENT_INVALID") from None
    except PaperMissing as error:
        raise Refused(str(error), "DRAFT_UNREADABLE") from None
    _show(shown, as_json)


def list_proposals(
    organization: Annotated[
        str | None, typer.Option("--organization", metavar="ORGANIZATION", help="Only of this one.")
    ] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List proposals, the newest first."""
    from icn_client.governance import Governance

    wanted = None if organization is None else organization_identifier(organization, "--organization")

    async def work(connection: Connection) -> list[Any]:
        return [one async for one in Governance(connection).proposals(wanted)]

    found = with_connection(platform_directory(data), work)
    if as_json:
        print_json({"proposals": [document_of(one) for one in found]})
        return
    table(
        ("state", "title", "ballots", "proposal"),
        [(state_of(one), one.title, str(one.ballots), one.name) for one in found],
    )


def show(proposal: ProposalArgument, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Show a proposal."""
    from icn_client.governance import Governance

    wanted = identifier(proposal, "PROPOSAL", "proposals")
    shown = with_connection(
        platform_directory(data), lambda connection: Governance(connection).proposal(wanted)
    )
    _show(shown, as_json)


def result(proposal: ProposalArgument, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Show a result, counted again here from ballots that are proven from genesis."""
    from icn_client.governance import Governance
    from icn_client.proven_ledger import ConnectionLedger
    from icn_client.steward import StewardRefuses, recount, shown_from

    wanted = identifier(proposal, "PROPOSAL", "proposals")

    async def work(connection: Connection) -> tuple[bytes, bytes]:
        governance = Governance(connection)
        data_shown = await governance.result(wanted)
        shown = shown_from(
            await governance.proposal(wanted), await governance.openings(wanted), data_shown, b"", wanted
        )
        counted = await recount(shown, ConnectionLedger(connection), connection.genesis.hash)
        return data_shown, counted.result.to_bytes()

    try:
        told, recounted = with_connection(platform_directory(data), work)
    except StewardRefuses as refusal:
        raise Refused(f"{refusal.reason}: {refusal}", refusal.reason) from None
    if told != recounted:
        raise Refused("RESULT_DIFFERS: governance shows another result than the ballots", "RESULT_DIFFERS")
    document = json.loads(told)
    if as_json:
        print_json({**document, "recounted": True})
        return
    ballots = document["ballots"]
    print_text(f"ballots   {ballots['cast']} cast, {ballots['unopened']} not opened, proven and counted here")
    if document["fault"]:
        print_text(f"no count  {document['fault']}")
    elif document["tally"]["rule"] == "plain-decision":
        counts = document["tally"]["result"]
        print_text(f"votes     yes {counts['yes']}, no {counts['no']}, abstain {counts['abstain']}")
        print_text(f"carried   {'yes' if document['is_carried'] else 'no'}")
    else:
        print_text(f"winners   {', '.join(str(number) for number in document['winners'])}")
        print_text(f"lots      {document['lots']['state']}")


def state_of(shown: Any) -> str:
    """A proposal's state as a word."""
    from icn.governance.v1.service_pb2 import ProposalState

    return str(ProposalState.Name(shown.state)).removeprefix("PROPOSAL_STATE_").lower()


def document_of(shown: Any) -> dict[str, Any]:
    """A proposal as JSON shows it."""
    return {
        "proposal": shown.name,
        "organization": shown.organization,
        "proposer": shown.proposer,
        "state": state_of(shown),
        "title": shown.title,
        "question": shown.question,
        "rule": shown.rule,
        "candidates": list(shown.candidates),
        "seats": shown.seats,
        "actions": list(shown.actions),
        "document_digest": shown.document_digest.hex(),
        "close_time_ms": str(shown.close_time_ms),
        "tellers": [
            {"teller": lot.teller, "committed": bool(lot.commitment), "revealed": bool(lot.secret)}
            for lot in shown.lots
        ],
        "ballots": shown.ballots,
        "openings": shown.openings,
        "result_digest": shown.result_digest.hex(),
        "is_complete": shown.is_complete,
        "is_carried": shown.is_carried,
        "winners": list(shown.winners),
        "decision": shown.decision,
        "enact_height": str(shown.enact_height),
    }


def _show(shown: Any, as_json: bool) -> None:
    if as_json:
        print_json(document_of(shown))
        return
    print_text(f"{shown.title}  ({state_of(shown)})")
    print_text(shown.question)
    print_text(f"proposal      {shown.name}")
    print_text(f"organization  {shown.organization}")
    print_text(f"choices       {', '.join(shown.candidates)}")
    for line in shown.actions:
        print_text(f"enacts        {line}")
    for lot in shown.lots:
        state = "revealed" if lot.secret else "committed" if lot.commitment else "has not committed"
        print_text(f"teller        {lot.teller}  {state}")
    if shown.close_time_ms:
        left_ms = shown.close_time_ms - time.time_ns() // 1_000_000
        when = f"in {show_duration(left_ms // 1000 * 1000)}" if left_ms >= 1000 else "closed"
        print_text(f"close         {shown.close_time_ms} ({when})")
    print_text(f"ballots       {shown.ballots} cast, {shown.openings} opened")
    if shown.result_digest and not shown.is_complete:
        print_text("result        waits for the tellers: icn lot reveal")
    elif shown.result_digest:
        outcome = "carried" if shown.is_carried else "not carried"
        print_text(f"result        {outcome}; see: icn proposal result")
    if shown.decision:
        print_text(f"decision      {shown.decision}")
    if not shown.close_time_ms:
        say("next: icn lot commit (tellers), then icn proposal open")


async def _once_open(governance: Any, proposal: bytes) -> Any:
    """The proposal, when governance has heard of the poll from the ledger or OPEN_TRIES are over."""
    import asyncio

    from icn.governance.v1.service_pb2 import PROPOSAL_STATE_ANNOUNCED

    for _ in range(OPEN_TRIES):
        shown = await governance.proposal(proposal)
        if shown.state != PROPOSAL_STATE_ANNOUNCED:
            break
        await asyncio.sleep(OPEN_SECONDS)
    return shown


def _actions(
    floors: list[str] | None, admitted: list[str] | None, ended: list[str] | None, file: Path | None
) -> list[Any]:
    from icn_tally.polls.actions import read_actions
    from icn_tally.polls.forms import InvalidDocument

    forms: list[Any] = []
    for one in floors or ():
        account, separator, minor = one.partition("=")
        if not separator:
            raise UsageError(f"--set-floor: {one[:80]!r} is not ACCOUNT=MINOR")
        account_id = identifier(account, "--set-floor", "accounts")
        forms.append({"kind": "set-floor", "account": account_id.hex(), "floor_minor": minor})
    for kind, members in (("admit-member", admitted), ("end-membership", ended)):
        forms += [
            {"kind": kind, "member": identifier(one, f"--{kind.partition('-')[0]}", "principals").hex()}
            for one in members or ()
        ]
    try:
        if file is not None:
            read = json.loads(read_file(file, ACTIONS_FILE_BYTES_MAX))
            if not isinstance(read, list):
                raise UsageError(f"{file}: an array of actions is expected")
            forms += read
        return list(read_actions(forms, "actions"))
    except InvalidDocument as error:
        raise UsageError(str(error)) from None
    except (ValueError, RecursionError) as error:
        raise Refused(f"{file}: not JSON: {error}", "FILE_INVALID") from None


async def _rules_of(connection: Connection, organization: bytes) -> Any:
    """An authority's rules; None for an organization with keys, which decides as it likes."""
    from icn_kit.errors import NotFound

    from icn_client import institutions

    try:
        return (await institutions.authority(connection, organization)).rules
    except NotFound:
        return None


async def _count_voters(connection: Connection, organization: bytes, electorate: str) -> int:
    from icn.ledger.v1.state_pb2 import PollLeaf
    from icn.ledger.v1.transaction_pb2 import Electorate

    from icn_client.proven_ledger import ConnectionLedger
    from icn_client.steward import StewardRefuses

    leaf = PollLeaf(
        organization=organization,
        electorate=Electorate.ELECTORATE_MEMBERS
        if electorate == "members"
        else Electorate.ELECTORATE_MEMBERS_OF_MEMBERS,
        open_time_ms=2**62,
    )
    try:
        return max(1, await ConnectionLedger(connection).count_voters(leaf))
    except StewardRefuses as refusal:
        raise Refused(f"{refusal.reason}: {refusal}; or say --eligible", refusal.reason) from None
