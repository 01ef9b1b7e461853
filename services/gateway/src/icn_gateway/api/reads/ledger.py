"""What the ledger knows beside accounts and blocks: sub-accounts, orders, holds, limits, policies,
authorities, memberships, polls, decisions, contracts, duties, who validates."""

from __future__ import annotations

from typing import Any

from icn_kit.errors import InvalidArgument

from icn_gateway.api.fields import PAGE_SIZE_MAX
from icn_gateway.api.reads.route import Read, digest, identifier, only_of, paging
from icn_gateway.usecases.contracts import method

_PAGING = paging(PAGE_SIZE_MAX)


def _one_of_two(fields: dict[str, Any]) -> None:
    if bool(fields["organization"]) == bool(fields["member"]):
        raise InvalidArgument("INVALID_ARGUMENT", "give organization or member, and not both")


def _name_of_membership(fields: dict[str, Any]) -> dict[str, Any]:
    return {"name": f"memberships/{fields['organization']}/{fields['member']}"}


READS = (
    Read(
        "/v1/accounts/{account_id:str}/sub-accounts",
        "ListSubAccounts",
        "Accounts",
        method("ledger", "ListAccounts"),
        (identifier("account_id", "parent", "accounts", "Account"), *_PAGING),
    ),
    Read(
        "/v1/accounts/{account_id:str}/orders",
        "ListOrders",
        "Accounts",
        method("ledger", "ListOrders"),
        (identifier("account_id", "account", "accounts", "Account"), *_PAGING),
    ),
    Read(
        "/v1/orders/{order_id:str}",
        "GetOrder",
        "Accounts",
        method("ledger", "GetOrder"),
        (identifier("order_id", "name", "orders", "Order"),),
    ),
    Read(
        "/v1/accounts/{account_id:str}/holds",
        "ListHolds",
        "Accounts",
        method("ledger", "ListHolds"),
        (identifier("account_id", "account", "accounts", "Account"), *_PAGING),
    ),
    Read(
        "/v1/exchanges",
        "ListExchanges",
        "Accounts",
        method("ledger", "ListHolds"),
        _PAGING,
    ),
    Read(
        "/v1/accounts/{account_id:str}/limit-changes",
        "ListAccountLimitChanges",
        "Accounts",
        method("ledger", "ListLimitChanges"),
        (identifier("account_id", "name", "accounts", "Account"), *_PAGING),
    ),
    Read(
        "/v1/units/{unit_id:str}/limit-changes",
        "ListUnitLimitChanges",
        "Units",
        method("ledger", "ListLimitChanges"),
        (identifier("unit_id", "name", "units", "Unit"), *_PAGING),
    ),
    Read(
        "/v1/units/{unit_id:str}/policy",
        "GetUnitPolicy",
        "Units",
        method("ledger", "GetUnit"),
        (identifier("unit_id", "name", "units", "Unit"),),
    ),
    Read(
        "/v1/authorities/{authority_id:str}",
        "GetAuthority",
        "Authorities",
        method("ledger", "GetAuthority"),
        (identifier("authority_id", "name", "authorities", "Authority"),),
    ),
    Read(
        "/v1/memberships",
        "ListMemberships",
        "Memberships",
        method("ledger", "ListMemberships"),
        (
            only_of("organization", "organization", "principals", "Members of this organization"),
            only_of("member", "member", "principals", "Organizations of this member", ""),
            *_PAGING,
        ),
        check=_one_of_two,
    ),
    Read(
        "/v1/memberships/{organization_id:str}/{member_id:str}",
        "GetMembership",
        "Memberships",
        method("ledger", "GetMembership"),
        (
            identifier("organization_id", "organization", "", "Organization"),
            identifier("member_id", "member", "", "Member"),
        ),
        combine=_name_of_membership,
    ),
    Read(
        "/v1/polls/{poll_id:str}",
        "GetPoll",
        "Polls",
        method("ledger", "GetPoll"),
        (identifier("poll_id", "name", "polls", "Poll"),),
    ),
    Read(
        "/v1/polls/{poll_id:str}/ballots",
        "ListBallots",
        "Polls",
        method("ledger", "ListBallots"),
        (
            identifier("poll_id", "poll", "polls", "Poll"),
            only_of("voter", "voter", "principals", "Only the ballot of this voter"),
            *_PAGING,
        ),
    ),
    Read(
        "/v1/decisions/{decision_id:str}",
        "GetDecision",
        "Polls",
        method("ledger", "GetDecision"),
        (digest("decision_id", "name", "decisions", "Decision"),),
    ),
    Read(
        "/v1/contracts/{contract_id:str}",
        "GetContract",
        "Contracts",
        method("ledger", "GetContract"),
        (identifier("contract_id", "name", "contracts", "Contract"),),
    ),
    Read(
        "/v1/equivocations",
        "ListEquivocations",
        "Authorities",
        method("ledger", "ListEquivocations"),
        _PAGING,
    ),
    Read(
        "/v1/validator-set",
        "GetValidators",
        "Zone",
        method("ledger", "GetValidators"),
    ),
    Read(
        "/v1/duties",
        "ListDuties",
        "Authorities",
        method("ledger", "ListDuties"),
        (only_of("organization", "organization", "principals", "Only of this organization"), *_PAGING),
    ),
)
