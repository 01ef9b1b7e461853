"""What a principal gave and was given, account by account."""

from __future__ import annotations

from collections.abc import Sequence

from icn.ledger.v1 import service_pb2 as ledger

from icn_reputation.domain.reciprocity import MarkedSums, Reciprocity, reciprocity
from icn_reputation.usecases.ports import LedgerReader, MarkedReader


async def list_reciprocities(
    owner: str, page_size: int, page_token: str, accounts: LedgerReader, marked: MarkedReader
) -> tuple[Sequence[tuple[ledger.Account, Reciprocity]], str]:
    """A page of accounts as the ledger lists them, each with its sums; and the token of the next page.

    What was marked is counted up to the height of the state that an account was read from, so that a
    validator which is behind does not show less than nothing.
    """
    answer = await accounts.list_accounts(owner, page_size, page_token)
    sums = await marked.marked_sums([(one.leaf.account, one.height) for one in answer.accounts])
    return [
        (
            one,
            reciprocity(
                one.leaf.balance_minor, one.leaf.given_minor, sums.get(one.leaf.account, MarkedSums())
            ),
        )
        for one in answer.accounts
    ], answer.next_page_token
