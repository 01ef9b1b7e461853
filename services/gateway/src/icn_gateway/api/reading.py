"""Routes that read the executed state."""

from __future__ import annotations

from typing import Annotated, Any, cast

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.openapi.spec import Example
from litestar.params import PathParameter, QueryParameter

from icn_gateway.api import translate, views
from icn_gateway.api.context import Context
from icn_gateway.api.declared import PROBLEMS_OF_LISTS, PROBLEMS_OF_READS
from icn_gateway.api.fields import (
    BLOCK_PAGE_SIZE_MAX,
    EXAMPLE_DIGEST,
    EXAMPLE_ID,
    HEIGHT_MAX,
    HEX_32,
    HEX_64,
    PAGE_SIZE_DEFAULT,
    PAGE_SIZE_MAX,
    PAGE_TOKEN,
    PAGE_TOKEN_CHARACTERS_MAX,
)
from icn_gateway.domain.identifiers import ProofKind, proof_name
from icn_gateway.usecases import read_accounts

Identifier = Annotated[
    str,
    PathParameter(
        description="16 bytes in lower-case hex.",
        pattern=HEX_32,
        min_length=32,
        max_length=32,
        examples=[Example(value=EXAMPLE_ID)],
    ),
]
Owner = Annotated[
    str,
    QueryParameter(
        name="owner",
        description="Only accounts of this principal, 16 bytes in lower-case hex; empty or absent for all.",
        pattern="^([0-9a-f]{32})?$",
        max_length=32,
        examples=[Example(value=EXAMPLE_ID)],
    ),
]
TransactionIdentifier = Annotated[
    str,
    PathParameter(
        description="32 bytes in lower-case hex.",
        pattern=HEX_64,
        min_length=64,
        max_length=64,
        examples=[Example(value=EXAMPLE_DIGEST)],
    ),
]
PageSize = Annotated[
    int,
    QueryParameter(
        name="page_size",
        description=f"Rows of the page, 1 to {PAGE_SIZE_MAX}.",
        ge=1,
        le=PAGE_SIZE_MAX,
        examples=[Example(value=PAGE_SIZE_DEFAULT)],
    ),
]
BlockPageSize = Annotated[
    int,
    QueryParameter(
        name="page_size",
        description=f"Rows of the page, 1 to {BLOCK_PAGE_SIZE_MAX}.",
        ge=1,
        le=BLOCK_PAGE_SIZE_MAX,
        examples=[Example(value=20)],
    ),
]
PageToken = Annotated[
    str,
    QueryParameter(
        name="page_token",
        description="`next_page_token` of the previous page; absent for the first one.",
        pattern=PAGE_TOKEN,
        max_length=PAGE_TOKEN_CHARACTERS_MAX,
        examples=[Example(value="")],
    ),
]


@get("/v1/transactions/{transaction_id:str}", responses=PROBLEMS_OF_READS, tags=["Transactions"])
async def get_transaction(
    transaction_id: TransactionIdentifier, context: NamedDependency[Context]
) -> views.Transaction:
    """What became of a transaction.

    404 with reason TRANSACTION_UNKNOWN: no block executed here includes it. It may still be in a pool until
    its expiry.
    """
    return translate.transaction(
        transaction_id, await context.ledger.get_transaction(f"transactions/{transaction_id}")
    )


@get("/v1/accounts", responses=PROBLEMS_OF_LISTS, tags=["Accounts"])
async def list_accounts(
    context: NamedDependency[Context],
    owner: Owner = "",
    page_size: PageSize = PAGE_SIZE_DEFAULT,
    page_token: PageToken = "",
) -> views.AccountPage:
    """Accounts, ascending by id, all or of one owner."""
    page = await read_accounts.list_accounts(owner, page_size, page_token, context.ledger, context.units)
    return views.AccountPage(
        accounts=[translate.account(account, page.units[account.leaf.unit]) for account in page.accounts],
        next_page_token=page.next_page_token,
    )


@get("/v1/accounts/{account_id:str}", responses=PROBLEMS_OF_READS, tags=["Accounts"])
async def get_account(account_id: Identifier, context: NamedDependency[Context]) -> views.Account:
    """One account. 404 with reason ACCOUNT_UNKNOWN."""
    return translate.account(*await read_accounts.get_account(account_id, context.ledger, context.units))


@get("/v1/accounts/{account_id:str}/entries", responses=PROBLEMS_OF_READS, tags=["Accounts"])
async def list_entries(
    account_id: Identifier,
    context: NamedDependency[Context],
    page_size: PageSize = PAGE_SIZE_DEFAULT,
    page_token: PageToken = "",
) -> views.EntryPage:
    """Entries of one account, newest first. 404 with reason ACCOUNT_UNKNOWN."""
    page = await read_accounts.list_entries(account_id, page_size, page_token, context.ledger, context.units)
    return views.EntryPage(
        unit=translate.unit_reference(page.unit),
        entries=[translate.entry(entry) for entry in page.entries],
        next_page_token=page.next_page_token,
    )


@get("/v1/units", responses=PROBLEMS_OF_LISTS, tags=["Units"])
async def list_units(
    context: NamedDependency[Context], page_size: PageSize = PAGE_SIZE_DEFAULT, page_token: PageToken = ""
) -> views.UnitPage:
    """Units, ascending by id."""
    page = await context.ledger.list_units(page_size, page_token)
    return views.UnitPage(
        units=[translate.unit(unit) for unit in page.units], next_page_token=page.next_page_token
    )


@get("/v1/units/{unit_id:str}", responses=PROBLEMS_OF_READS, tags=["Units"])
async def get_unit(unit_id: Identifier, context: NamedDependency[Context]) -> views.Unit:
    """One unit. 404 with reason UNIT_UNKNOWN."""
    return translate.unit((await context.ledger.get_unit(f"units/{unit_id}")).unit)


@get("/v1/principals/{principal_id:str}", responses=PROBLEMS_OF_READS, tags=["Principals"])
async def get_principal(principal_id: Identifier, context: NamedDependency[Context]) -> views.Principal:
    """Who may act as this principal: keys, threshold, lanes. 404 with reason CONTROLLER_UNKNOWN."""
    response = await context.ledger.get_controller(f"principals/{principal_id}")
    return translate.principal(response.controller, context.names)


@get("/v1/recoveries/{principal_id:str}", responses=PROBLEMS_OF_READS, tags=["Principals"])
async def get_recovery(principal_id: Identifier, context: NamedDependency[Context]) -> views.Recovery:
    """New keys announced for this principal. 404 with reason RECOVERY_UNKNOWN: no recovery is under way."""
    response = await context.ledger.get_recovery(f"recoveries/{principal_id}")
    return translate.recovery(response.recovery)


@get("/v1/holds/{hold_id:str}", responses=PROBLEMS_OF_READS, tags=["Accounts"])
async def get_hold(hold_id: Identifier, context: NamedDependency[Context]) -> views.Hold:
    """One open hold. 404 with reason HOLD_UNKNOWN: captured, voided, expired, or never placed."""
    return translate.hold(*await read_accounts.get_hold(hold_id, context.ledger, context.units))


@get("/v1/allowances/{principal_id:str}", responses=PROBLEMS_OF_READS, tags=["Principals"])
async def get_allowance(principal_id: Identifier, context: NamedDependency[Context]) -> views.Allowance:
    """What an organization's transactions may use per epoch. 404 with reason ALLOWANCE_UNKNOWN."""
    response = await context.ledger.get_allowance(f"principals/{principal_id}")
    return translate.allowance(response.allowance)


@get("/v1/blocks", responses=PROBLEMS_OF_LISTS, tags=["Blocks"])
async def list_blocks(
    context: NamedDependency[Context], page_size: BlockPageSize = 20, page_token: PageToken = ""
) -> views.BlockPage:
    """Executed blocks, newest first."""
    page = await context.ledger.list_blocks(page_size, page_token)
    return views.BlockPage(
        blocks=[translate.block_summary(block) for block in page.blocks], next_page_token=page.next_page_token
    )


@get("/v1/blocks/{height:int}", responses=PROBLEMS_OF_READS, tags=["Blocks"])
async def get_block(
    height: Annotated[
        int,
        PathParameter(
            description="Height of the block; genesis is 0.", ge=0, le=HEIGHT_MAX, examples=[Example(value=0)]
        ),
    ],
    context: NamedDependency[Context],
) -> views.Block:
    """One executed block. 404 with reason BLOCK_UNKNOWN."""
    return translate.block((await context.ledger.get_block(f"blocks/{height}")).block)


@get("/v1/proofs/{kind:str}/{identifier:str}", responses=PROBLEMS_OF_READS, tags=["Proofs"])
async def get_proof(
    kind: Annotated[
        ProofKind,
        PathParameter(
            description=(
                "What to prove: an account, unit, principal (its keys), hold, anchor, allowance or recovery."
            ),
            examples=[Example(value="accounts")],
        ),
    ],
    identifier: Annotated[
        str,
        PathParameter(
            description="16 bytes in lower-case hex; 32 bytes for `anchors`.",
            pattern="^([0-9a-f]{32}|[0-9a-f]{64})$",
            max_length=64,
            examples=[Example(value=EXAMPLE_ID)],
        ),
    ],
    context: NamedDependency[Context],
) -> views.ProofFile:
    """A proof that a leaf is, or is not, in the newest state that a final header names.

    Save the answer as a file and check it with `icn proof verify FILE --genesis GENESIS`, which trusts
    nobody else.
    """
    response = await context.ledger.get_proof(proof_name(kind, identifier), from_epoch=0)
    return translate.proof_file(response, context.genesis)


@get("/v1/validators", responses=PROBLEMS_OF_LISTS, tags=["Zone"])
async def list_validators(context: NamedDependency[Context]) -> views.ValidatorList:
    """Where every validator that holds a seat now stands, in its own words."""
    reports = await context.validators.list_validators()
    return translate.validator_list(context.genesis, await context.seats.read(), reports)


@get("/v1/genesis", responses=PROBLEMS_OF_LISTS, tags=["Zone"], media_type="application/json")
async def get_genesis(context: NamedDependency[Context]) -> Response[dict[str, Any]]:
    """The genesis file, byte for byte. Compare its hash with somebody who got it another way."""
    content = cast(Any, context.genesis_file)  # bytes are sent as they are
    return Response(content, headers={"etag": f'"{context.genesis.hash.hex()}"'})
