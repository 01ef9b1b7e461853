"""`icn ballot` and `icn lot`: what voters and tellers do.

Openings and secrets are kept beside the keystore.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from icn_client.cli.common import (
    AsOption,
    DataOption,
    JsonOption,
    KeystoreOption,
    command_group,
    identifier,
    open_identity,
    organization_identifier,
    personal_keystore,
    platform_directory,
    with_connection,
)
from icn_client.cli.output import Refused, UsageError, print_json, print_text
from icn_client.cli.proposals import ProposalArgument, state_of

if TYPE_CHECKING:
    from icn_tally.polls.commitments import Opening

    from icn_client.acting import Actor
    from icn_client.connection import Connection
    from icn_client.governance import Governance

_BALLOT_EXAMPLES = """\b
Examples:
  icn ballot cast PROPOSAL yes --as sunrise-bakery
  icn ballot cast PROPOSAL --rank Cleo,Ana --as anna
  icn ballot show PROPOSAL --as anna
"""
_CAST_EXAMPLES = """\b
Examples:
  icn ballot cast PROPOSAL yes --as sunrise-bakery
  icn ballot cast PROPOSAL --rank Cleo,Ana --as anna
  icn ballot cast PROPOSAL --rank 3,1 --through ORGANIZATION --as anna
Until the close a later ballot takes the place of an earlier one. Who hosts governance can read it at once,
everybody after the close.
"""
_OPEN_EXAMPLES = """\b
Examples:
  icn ballot open PROPOSAL --as anna        after governance could not be reached
"""
_SHOW_EXAMPLES = """\b
Examples:
  icn ballot show PROPOSAL --as anna
"""
_LOT_EXAMPLES = """\b
Examples:
  icn lot commit PROPOSAL --as sunrise-bakery     while it is a draft
  icn lot reveal PROPOSAL --as sunrise-bakery     after the close
"""
_COMMIT_EXAMPLES = """\b
Examples:
  icn lot commit PROPOSAL --as sunrise-bakery
"""
_REVEAL_EXAMPLES = """\b
Examples:
  icn lot reveal PROPOSAL --as sunrise-bakery
"""


def register(app: typer.Typer) -> None:
    """Add both groups."""
    ballots = command_group("Votes in open polls.", _BALLOT_EXAMPLES)
    ballots.command("cast", epilog=_CAST_EXAMPLES)(cast)
    ballots.command("open", epilog=_OPEN_EXAMPLES)(open_ballot)
    ballots.command("show", epilog=_SHOW_EXAMPLES)(show)
    app.add_typer(ballots, name="ballot")
    lots = command_group("Lots that break ties, by tellers who commit and reveal.", _LOT_EXAMPLES)
    lots.command("commit", epilog=_COMMIT_EXAMPLES)(commit)
    lots.command("reveal", epilog=_REVEAL_EXAMPLES)(reveal)
    app.add_typer(lots, name="lot")


def cast(  # noqa: PLR0917 - one parameter per option
    proposal: ProposalArgument,
    acting: AsOption,
    choice: Annotated[
        str | None, typer.Argument(metavar="yes|no|abstain", help="Answer to a question; not in an election.")
    ] = None,
    rank: Annotated[
        str | None,
        typer.Option("--rank", metavar="A,B,C", help="Candidates by name or number, the first choice first."),
    ] = None,
    through: Annotated[
        str | None,
        typer.Option(
            "--through",
            metavar="ORGANIZATION",
            help="Which organization of the acting member votes; found where left out.",
        ),
    ] = None,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Cast a ballot, or another one instead: its commitment on the ledger, its opening with governance."""
    from icn_client.acting import actor_of
    from icn_client.governance import Governance, cast_ballot, new_opening
    from icn_client.submitter import Submitter

    if (choice is None) == (rank is None):
        raise UsageError("give either yes, no or abstain, or --rank A,B,C")
    wanted = identifier(proposal, "PROPOSAL", "proposals")
    choices = [choice] if choice is not None else (rank or "").split(",")
    named = None if through is None else organization_identifier(through, "--through")
    directory = platform_directory(data)
    identity = open_identity(acting, keystore, directory)
    paper = _paper(keystore, "ballot", wanted, acting)

    async def work(connection: Connection) -> Any:
        governance = Governance(connection)
        draft = await _proven_draft(governance, wanted)
        ranking = _ranking(draft, [text.strip() for text in choices])
        via = await _through(connection, draft, identity.principal, named)
        opening = new_opening(identity.principal, ranking)
        _keep(paper, opening)
        actor: Actor = await actor_of(connection, identity)
        async with Submitter(connection.doors()) as submitter:
            return await cast_ballot(
                governance, submitter, actor, proposal=wanted, opening=opening, through=via
            )

    done = with_connection(directory, work)
    shown = {
        "proposal": f"proposals/{wanted.hex()}",
        "commitment": done.commitment.hex(),
        "transaction": done.outcome.signed.transaction_id.hex(),
        "height": done.outcome.height,
    }
    if as_json:
        print_json(shown)
    else:
        print_text(f"cast at height {done.outcome.height}, commitment {done.commitment.hex()}")


def open_ballot(
    proposal: ProposalArgument,
    acting: AsOption,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send the opening of a ballot again, from the file that `icn ballot cast` kept."""
    from icn_client.governance import Governance

    wanted = identifier(proposal, "PROPOSAL", "proposals")
    directory = platform_directory(data)
    identity = open_identity(acting, keystore, directory)
    opening = _kept_opening(_paper(keystore, "ballot", wanted, acting), identity.principal)
    with_connection(
        directory, lambda connection: Governance(connection).open_ballot(identity, wanted, opening)
    )
    if as_json:
        print_json({"proposal": f"proposals/{wanted.hex()}", "opened": True})
    else:
        print_text("governance has the opening")


def show(
    proposal: ProposalArgument,
    acting: AsOption,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the own ballot as the ledger has it, and what the file kept here opens. Asks for no passphrase."""
    from icn_client.governance import Governance
    from icn_client.proven_ledger import ConnectionLedger

    wanted = identifier(proposal, "PROPOSAL", "proposals")
    directory = platform_directory(data)
    principal = _principal(acting, keystore, directory)
    paper = _paper(keystore, "ballot", wanted, acting)
    opening = _kept_opening(paper, principal) if paper.is_file() else None

    async def work(connection: Connection) -> tuple[Any, Any, bytes]:
        shown = await Governance(connection).proposal(wanted)
        return shown, await ConnectionLedger(connection).ballot(wanted, principal), connection.genesis.hash

    shown, leaf, genesis_hash = with_connection(directory, work)
    commitment = b"" if leaf is None else leaf.commitment
    is_ours = opening is not None and opening.commitment(genesis_hash, wanted) == commitment
    if as_json:
        print_json(
            {
                "proposal": shown.name,
                "state": state_of(shown),
                "commitment": commitment.hex() or None,
                "ballot": opening.ballot.decode() if opening is not None and is_ours else None,
            }
        )
        return
    print_text(f"{shown.title}  ({state_of(shown)})")
    print_text(f"commitment  {commitment.hex() or 'none proven yet'}")
    if opening is not None and is_ours:
        print_text(f"ballot      {opening.ballot.decode()}")


def commit(
    proposal: ProposalArgument,
    acting: AsOption,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Commit to a secret as a teller of a draft; the secret is kept beside the keystore."""
    from icn_client.governance import Governance, new_secret
    from icn_client.papers import write_paper

    wanted = identifier(proposal, "PROPOSAL", "proposals")
    directory = platform_directory(data)
    identity = open_identity(acting, keystore, directory)
    secret = new_secret()
    write_paper(_paper(keystore, "lot", wanted, acting), {"secret": secret})
    commitment = with_connection(
        directory, lambda connection: Governance(connection).commit_lot(identity, wanted, secret)
    )
    if as_json:
        print_json({"proposal": f"proposals/{wanted.hex()}", "commitment": commitment.hex()})
    else:
        print_text(f"committed to {commitment.hex()}")


def reveal(
    proposal: ProposalArgument,
    acting: AsOption,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Reveal the secret after the close, if the poll's document has the commitment that was made here."""
    from icn_tally.polls.commitments import lot_commitment
    from icn_tally.polls.forms import InvalidDocument

    from icn_client.governance import Governance, read_poll_document
    from icn_client.papers import PaperMissing, read_paper

    wanted = identifier(proposal, "PROPOSAL", "proposals")
    directory = platform_directory(data)
    identity = open_identity(acting, keystore, directory)
    try:
        secret = read_paper(_paper(keystore, "lot", wanted, acting), ("secret",))["secret"]
    except PaperMissing as error:
        raise Refused(str(error), "SECRET_MISSING") from None

    async def work(connection: Connection) -> Any:
        governance = Governance(connection)
        document = await read_poll_document(governance, wanted)
        own = lot_commitment(connection.genesis.hash, wanted, identity.principal, secret)
        if (
            dict(zip(document.draft.tellers, document.lot_commitments, strict=True)).get(identity.principal)
            != own
        ):
            raise Refused(
                "the poll's document has another commitment for this teller than was made here", "LOT_CHANGED"
            )
        return await governance.reveal_lot(identity, wanted, secret)

    try:
        shown = with_connection(directory, work)
    except InvalidDocument as error:
        raise Refused(f"there is no poll yet: {error}", "PROPOSAL_NOT_CLOSED") from None
    if as_json:
        print_json({"proposal": shown.name, "state": state_of(shown)})
    else:
        print_text(f"revealed; the proposal is {state_of(shown)}")


def _paper(keystore: Path | None, kind: str, proposal: bytes, name: str) -> Path:
    from icn_client.papers import paper_path

    return paper_path(personal_keystore(keystore).folder, kind, proposal, name)


def _keep(path: Path, opening: Opening) -> None:
    from icn_client.papers import write_paper

    write_paper(path, {"salt": opening.salt, "ballot": opening.ballot})


def _kept_opening(path: Path, voter: bytes) -> Opening:
    from icn_tally.polls.commitments import Opening as Kept

    from icn_client.papers import PaperMissing, read_paper

    try:
        kept = read_paper(path, ("salt", "ballot"))
    except PaperMissing as error:
        raise Refused(str(error), "OPENING_MISSING") from None
    return Kept(voter, kept["salt"], kept["ballot"])


def _principal(name: str, keystore: Path | None, directory: Path) -> bytes:
    from icn_client.keystore import KeystoreError
    from icn_client.platforms import founders_keystore

    stores = [personal_keystore(keystore)]
    if keystore is None:
        stores.append(founders_keystore(directory))
    try:
        for store in stores:
            if store.path(name).is_file():
                return store.public(name).principal
    except KeystoreError as error:
        raise Refused(str(error), "KEYSTORE") from None
    raise Refused(f"no identity {name!r}", "IDENTITY_UNKNOWN")


async def _proven_draft(governance: Governance, proposal: bytes) -> Any:
    """The draft voted on, if the ledger's poll names its document: nobody votes on changed words."""
    from icn_tally.polls.forms import InvalidDocument

    from icn_client import institutions
    from icn_client.governance import read_poll_document

    try:
        document = await read_poll_document(governance, proposal)
    except InvalidDocument as error:
        raise Refused(f"there is no poll yet: {error}", "PROPOSAL_NOT_OPEN") from None
    leaf = (await institutions.poll(governance.connection, proposal)).poll
    if leaf.document != document.digest():
        raise Refused("governance shows another document than the ledger names", "DOCUMENT_CHANGED")
    return document.draft


def _ranking(draft: Any, choices: list[str]) -> list[list[int]]:
    from icn_client.governance import ranking_of

    try:
        return ranking_of(draft, choices)
    except ValueError as error:
        raise UsageError(str(error)) from None


async def _through(connection: Connection, draft: Any, principal: bytes, named: bytes | None) -> bytes:
    """The organization that the ledger wants named: the one given, else the first that fits."""
    from icn.ledger.v1.state_pb2 import MEMBERSHIP_STATUS_ACTIVE
    from icn_kit.errors import NotFound

    from icn_client import institutions

    if draft.electorate != "members-of-members":
        return b""
    if named is not None:
        return named
    async for leaf in institutions.memberships_of_member(connection, principal):
        if leaf.status != MEMBERSHIP_STATUS_ACTIVE:
            continue
        organization: bytes = leaf.organization
        try:
            belongs = await institutions.membership(connection, draft.organization, organization)
        except NotFound:
            continue
        if belongs.status == MEMBERSHIP_STATUS_ACTIVE:
            return organization
    raise Refused("no organization of this member belongs to the one that votes", "NOT_ELIGIBLE")
