# ruff: noqa: N802, D102 - gRPC names the methods, the proto describes them
"""LedgerService: reads of the executed state. Source: protos/icn/ledger/v1/service.proto."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from time import monotonic
from typing import Any, Protocol

from icn.ledger.v1 import service_pb2, service_pb2_grpc, state_pb2
from icn_kit.errors import FailedPrecondition, InvalidArgument, ResourceExhausted
from icn_kit.min_height import min_height
from icn_kit.pages import PageTokens, check_page_size
from icn_machine.blocks.ports import ExecutedBlock, StateBehind
from icn_machine.credit import growth, is_main, soft_limit
from icn_machine.leaves import encode_leaf
from icn_machine.limits import DIGEST_BYTES, IDENTIFIER_BYTES, QUANTITY_MAX
from icn_machine.records import Namespace

from icn_ledger.api.contracts import ContractReads
from icn_ledger.api.institutions import InstitutionReads
from icn_ledger.api.names import parse_height, parse_identifier, parse_provable
from icn_ledger.api.reads_at_height import wait_seconds
from icn_ledger.usecases.get_proof import ProofSource, Wanted, get_proof
from icn_ledger.usecases.get_receipt_proof import ReceiptSource, get_receipt_proof
from icn_ledger.usecases.get_statement import (
    FROM_THE_FIRST,
    TO_THE_NEWEST,
    Bound,
    Edge,
    StatementReader,
    Statements,
)
from icn_ledger.usecases.query_contract import ContractQueries
from icn_ledger.usecases.reads import (
    BlockRow,
    CreditAt,
    LeafAt,
    check_history,
    get_balance,
    get_block,
    get_credit,
    get_events_end,
    get_leaf,
    get_transaction,
    get_unit,
    list_blocks,
    list_entries,
    list_limit_changes,
    list_sub_accounts,
)
from icn_ledger.usecases.stream_leaves import LeafReader
from icn_ledger.usecases.watch_account import AccountWatch
from icn_ledger.usecases.watch_blocks import BlockFeed, ExecutionReader
from icn_ledger.usecases.write_snapshot import epoch_step

PAGE_SIZE_DEFAULT = 50
PAGE_SIZE_MAX = 500
BLOCKS_PAGE_SIZE_DEFAULT = 20
BLOCKS_PAGE_SIZE_MAX = 200
"""A page of full blocks is shorter: the source bounds how many transactions it names."""
PLACE_NUMBER_BYTES = 8


class LedgerSource(ReceiptSource, ProofSource, ExecutionReader, StatementReader, Protocol):
    """Everything the service reads from."""


class LedgerServicer(InstitutionReads, ContractReads, service_pb2_grpc.LedgerServiceServicer):
    """The RPCs; errors become statuses in the interceptor."""

    def __init__(
        self,
        source: LedgerSource,
        feed: BlockFeed,
        genesis_hash: bytes,
        contracts: ContractQueries,
        leaves: LeafReader,
    ) -> None:
        self._source: LedgerSource = source
        self._feed = feed
        self._contracts = contracts
        self._leaves = leaves
        self._accounts = AccountWatch(feed, source)
        self._statements = Statements(source)
        self._tokens = PageTokens(genesis_hash)
        self._proving = asyncio.Lock()
        """Many proofs at once would keep the event loop from consensus."""
        self._searching = asyncio.Lock()
        """Who looks for neighbours reads every leaf, and others need not wait for that."""

    async def GetAccount(self, request: Any, _context: Any) -> service_pb2.GetAccountResponse:
        found = await get_credit(parse_identifier(request.name, "accounts"), self._source)
        return service_pb2.GetAccountResponse(account=_account_of(found), credit=_credit(found))

    async def GetBalance(self, request: Any, _context: Any) -> service_pb2.GetBalanceResponse:
        account = parse_identifier(request.name, "accounts")
        asked = request.WhichOneof("at")
        if asked is None:
            raise InvalidArgument("INSTANT_MISSING", "height or time_ms: one of them says when")
        if getattr(request, asked) > QUANTITY_MAX:
            raise InvalidArgument("INSTANT_OUT_OF_RANGE", f"{asked} {getattr(request, asked)} is above 2^62")
        height = request.height if asked == "height" else None
        found = await get_balance(account, height, request.time_ms, self._source)
        return service_pb2.GetBalanceResponse(
            balance_minor=found.balance_minor,
            entry=found.row.before,
            height=found.row.height,
            executed_height=found.row.executed_height,
            executed_time_ms=found.row.executed_time_ms,
            entries=found.entries,
        )

    async def ListAccounts(self, request: Any, _context: Any) -> service_pb2.ListAccountsResponse:
        size = check_page_size(request.page_size, PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)
        if request.parent:
            return await self._list_sub_accounts(request, size)
        owner = parse_identifier(request.owner, "principals") if request.owner else b""
        listing = f"accounts of {owner.hex()}"
        after = self._tokens.read(listing, request.page_token, IDENTIFIER_BYTES)
        rows = await self._source.accounts(owner, after or b"", size + 1)
        accounts = [_account(row) for row in rows[:size]]
        token = ""
        if len(rows) > size:
            token = self._tokens.write(listing, accounts[-1].leaf.account)
        return service_pb2.ListAccountsResponse(accounts=accounts, next_page_token=token)

    async def _list_sub_accounts(self, request: Any, size: int) -> service_pb2.ListAccountsResponse:
        if request.owner:
            raise InvalidArgument("INVALID_ARGUMENT", "give owner or parent, and not both")
        parent = parse_identifier(request.parent, "accounts")
        listing = f"sub-accounts of {parent.hex()}"
        place = self._tokens.read(listing, request.page_token, PLACE_NUMBER_BYTES)
        after = 0 if place is None else int.from_bytes(place, "big")
        rows = await list_sub_accounts(parent, after, size + 1, self._source)
        token = self._tokens.write(listing, _place(rows[size - 1][0])) if len(rows) > size else ""
        return service_pb2.ListAccountsResponse(
            accounts=[_account(row) for _, row in rows[:size]], next_page_token=token
        )

    async def ListEntries(self, request: Any, _context: Any) -> service_pb2.ListEntriesResponse:
        account = parse_identifier(request.account, "accounts") if request.account else b""
        size = check_page_size(request.page_size, PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)
        height = self._executed(request.height)
        listing = f"entries of {account.hex()} at {height}"
        place = self._tokens.read(listing, request.page_token, 2 * PLACE_NUMBER_BYTES)
        before = _numbers(place) if place is not None else (height + 1, 0) if height else None
        rows, has_more = await list_entries(account, before, size, self._source, height)
        token = ""
        if has_more:
            token = self._tokens.write(listing, _place(rows[-1].height) + _place(rows[-1].index))
        return service_pb2.ListEntriesResponse(entries=rows, next_page_token=token)

    def _executed(self, height: int) -> int:
        """A height that an answer depends on. Raises StateBehind."""
        if height > self._feed.newest_height:
            raise StateBehind(height, self._feed.newest_height)
        return height

    async def GetUnit(self, request: Any, _context: Any) -> service_pb2.GetUnitResponse:
        found = await get_unit(parse_identifier(request.name, "units"), self._source)
        return service_pb2.GetUnitResponse(
            unit=state_pb2.UnitLeaf.FromString(found.unit),
            policy=state_pb2.UnitPolicyLeaf.FromString(found.policy) if found.policy else None,
            period=state_pb2.PeriodLeaf.FromString(found.period) if found.period else None,
        )

    async def GetOrder(self, request: Any, _context: Any) -> service_pb2.GetOrderResponse:
        leaf = await get_leaf(Namespace.ORDER, parse_identifier(request.name, "orders"), self._source)
        return service_pb2.GetOrderResponse(order=state_pb2.StandingOrderLeaf.FromString(leaf.value))

    async def ListOrders(self, request: Any, _context: Any) -> service_pb2.ListOrdersResponse:
        account = parse_identifier(request.account, "accounts")
        size = check_page_size(request.page_size, PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)
        listing = f"orders of {account.hex()}"
        after = self._tokens.read(listing, request.page_token, IDENTIFIER_BYTES)
        rows = await self._source.orders(account, after or b"", size + 1)
        if not rows:
            await get_leaf(Namespace.ACCOUNT, account, self._source)  # none, or no such account
        orders = [state_pb2.StandingOrderLeaf.FromString(row.value) for row in rows[:size]]
        token = self._tokens.write(listing, orders[-1].ordered.order) if len(rows) > size else ""
        return service_pb2.ListOrdersResponse(orders=orders, next_page_token=token)

    async def ListHolds(self, request: Any, _context: Any) -> service_pb2.ListHoldsResponse:
        account = parse_identifier(request.account, "accounts") if request.account else b""
        size = check_page_size(request.page_size, PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)
        listing = f"holds of {account.hex()}"
        after = self._tokens.read(listing, request.page_token, IDENTIFIER_BYTES)
        rows = await self._source.holds(account, after or b"", size + 1)
        if account and not rows:
            await get_leaf(Namespace.ACCOUNT, account, self._source)  # none, or no such account
        holds = [state_pb2.HoldLeaf.FromString(row.value) for row in rows[:size]]
        token = self._tokens.write(listing, holds[-1].hold) if len(rows) > size else ""
        return service_pb2.ListHoldsResponse(holds=holds, next_page_token=token)

    async def ListLimitChanges(self, request: Any, _context: Any) -> service_pb2.ListLimitChangesResponse:
        of_unit = request.name.startswith("units/")
        namespace = Namespace.UNIT if of_unit else Namespace.ACCOUNT
        identifier = parse_identifier(request.name, "units" if of_unit else "accounts")
        size = check_page_size(request.page_size, PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)
        listing = f"limit changes of {request.name}"
        place = self._tokens.read(listing, request.page_token, 2 * PLACE_NUMBER_BYTES)
        before = None if place is None else _numbers(place)
        rows, has_more = await list_limit_changes(namespace, identifier, before, size, self._source)
        token = ""
        if has_more:
            token = self._tokens.write(listing, _place(rows[-1].height) + _place(rows[-1].index))
        return service_pb2.ListLimitChangesResponse(changes=rows, next_page_token=token)

    async def ListUnits(self, request: Any, _context: Any) -> service_pb2.ListUnitsResponse:
        size = check_page_size(request.page_size, PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)
        after = self._tokens.read("units", request.page_token, IDENTIFIER_BYTES)
        rows = await self._source.units(after or b"", size + 1)
        units = [state_pb2.UnitLeaf.FromString(row.value) for row in rows[:size]]
        token = self._tokens.write("units", units[-1].unit) if len(rows) > size else ""
        return service_pb2.ListUnitsResponse(units=units, next_page_token=token)

    async def GetController(self, request: Any, _context: Any) -> service_pb2.GetControllerResponse:
        identifier = parse_identifier(request.name, "principals")
        leaf = await get_leaf(Namespace.CONTROLLER, identifier, self._source)
        return service_pb2.GetControllerResponse(controller=state_pb2.ControllerLeaf.FromString(leaf.value))

    async def GetHold(self, request: Any, _context: Any) -> service_pb2.GetHoldResponse:
        leaf = await get_leaf(Namespace.HOLD, parse_identifier(request.name, "holds"), self._source)
        return service_pb2.GetHoldResponse(hold=state_pb2.HoldLeaf.FromString(leaf.value), height=leaf.height)

    async def GetAllowance(self, request: Any, _context: Any) -> service_pb2.GetAllowanceResponse:
        identifier = parse_identifier(request.organization, "principals")
        leaf = await get_leaf(Namespace.ALLOWANCE, identifier, self._source)
        return service_pb2.GetAllowanceResponse(allowance=state_pb2.AllowanceLeaf.FromString(leaf.value))

    async def GetRecovery(self, request: Any, _context: Any) -> service_pb2.GetRecoveryResponse:
        identifier = parse_identifier(request.name, "recoveries")
        leaf = await get_leaf(Namespace.RECOVERY, identifier, self._source)
        return service_pb2.GetRecoveryResponse(recovery=state_pb2.RecoveryLeaf.FromString(leaf.value))

    async def GetTransaction(self, request: Any, _context: Any) -> service_pb2.GetTransactionResponse:
        identifier = parse_identifier(request.name, "transactions", DIGEST_BYTES)
        row = await get_transaction(identifier, self._source)
        return service_pb2.GetTransactionResponse(
            height=row.height,
            index=row.position,
            receipt=state_pb2.Receipt.FromString(row.receipt),
            block_time_ms=row.block_time_ms,
        )

    async def GetBlock(self, request: Any, _context: Any) -> service_pb2.GetBlockResponse:
        row = await get_block(parse_height(request.name), self._source)
        return service_pb2.GetBlockResponse(block=_summary(row))

    async def ListBlocks(self, request: Any, _context: Any) -> service_pb2.ListBlocksResponse:
        size = check_page_size(request.page_size, BLOCKS_PAGE_SIZE_DEFAULT, BLOCKS_PAGE_SIZE_MAX)
        place = self._tokens.read("blocks", request.page_token, PLACE_NUMBER_BYTES)
        before = None if place is None else int.from_bytes(place, "big")
        rows, has_more = await list_blocks(before, size, self._source)
        token = self._tokens.write("blocks", _place(rows[-1].block.height)) if has_more else ""
        return service_pb2.ListBlocksResponse(blocks=[_summary(row) for row in rows], next_page_token=token)

    async def GetProof(self, request: Any, context: Any) -> service_pb2.GetProofResponse:
        namespace, identifier = parse_provable(request.name)
        if request.from_epoch > QUANTITY_MAX:
            raise InvalidArgument("EPOCH_OUT_OF_RANGE", f"from_epoch {request.from_epoch} is above 2^62")
        before_time_ms = request.before_time_ms
        if before_time_ms > QUANTITY_MAX:
            raise InvalidArgument("INSTANT_OUT_OF_RANGE", f"before_time_ms {before_time_ms} is above 2^62")
        if request.with_neighbours and self._searching.locked():
            raise ResourceExhausted("NEIGHBOURS_BUSY", "another call looks for neighbours; try again")
        wanted = Wanted(namespace, identifier, before_time_ms, request.with_neighbours)
        ends_at = monotonic() + wait_seconds(context)
        while True:
            executed_height = self._feed.newest_height
            async with self._searching if request.with_neighbours else self._proving:
                proven = await get_proof(wanted, request.from_epoch, self._source)
            if before_time_ms or proven.height >= min_height.get():
                break
            # The height is executed, a header that names it is final with a block to come.
            try:
                await self._feed.reach(executed_height + 1, ends_at - monotonic())
            except StateBehind:
                raise FailedPrecondition(
                    "PROOF_NOT_READY",
                    f"the newest state that a final header names is that after height {proven.height}, "
                    f"not {min_height.get()} or above; a later block will do",
                    height=min_height.get(),
                    proven_height=proven.height,
                ) from None
        return service_pb2.GetProofResponse(
            namespace=int(namespace),
            identifier=identifier,
            value=proven.value,
            state_proof=proven.state_proof,
            header=proven.block.header,
            descendant_headers=proven.descendant_headers,
            finalization=proven.block.finalization,
            epochs=[epoch_step(edge) for edge in proven.edges],
            validator_set=proven.validator_set,
            neighbours=[
                service_pb2.NeighbourLeaf(
                    namespace=int(one.namespace),
                    identifier=one.identifier,
                    value=one.value,
                    state_proof=one.state_proof,
                )
                for one in proven.neighbours
            ],
        )

    async def GetReceiptProof(self, request: Any, _context: Any) -> service_pb2.GetReceiptProofResponse:
        identifier = parse_identifier(request.name, "transactions", DIGEST_BYTES)
        if request.from_epoch > QUANTITY_MAX:
            raise InvalidArgument("EPOCH_OUT_OF_RANGE", f"from_epoch {request.from_epoch} is above 2^62")
        async with self._proving:
            proven = await get_receipt_proof(identifier, request.from_epoch, self._source)
        return service_pb2.GetReceiptProofResponse(
            receipt=proven.receipt,
            index=proven.position,
            size=proven.size,
            path=proven.path,
            header=proven.naming.header,
            descendant_headers=proven.naming.descendant_headers,
            finalization=proven.naming.finalization,
            epochs=[epoch_step(edge) for edge in proven.naming.edges],
            validator_set=proven.naming.validator_set,
            before=proven.before,
            later_roots=proven.later_roots,
        )

    async def StreamLeaves(
        self, request: Any, _context: Any
    ) -> AsyncIterator[service_pb2.StreamLeavesResponse]:
        executed_height = (await get_events_end(self._source)).executed_height
        async for leaves in self._leaves.read(request.height, executed_height):
            yield service_pb2.StreamLeavesResponse(
                leaves=[
                    service_pb2.Leaf(namespace=one.namespace, identifier=one.identifier, value=one.value)
                    for one in leaves
                ]
            )

    async def GetEventsEnd(self, _request: Any, _context: Any) -> service_pb2.GetEventsEndResponse:
        end = await get_events_end(self._source)
        return service_pb2.GetEventsEndResponse(
            height=end.executed_height,
            event_id=end.event_id,
            event_height=end.event_height,
        )

    async def WatchBlocks(
        self, request: Any, _context: Any
    ) -> AsyncIterator[service_pb2.WatchBlocksResponse]:
        if request.from_height > QUANTITY_MAX:
            raise InvalidArgument("HEIGHT_OUT_OF_RANGE", f"from_height {request.from_height} is above 2^62")
        if request.from_height:
            await check_history(f"block {request.from_height}", request.from_height, self._source)
        async for execution in self._feed.watch(request.from_height, self._source):
            if request.without_receipts:
                summary = _summary(BlockRow(execution.block, []))
                yield service_pb2.WatchBlocksResponse(block=summary)
                continue
            row = BlockRow(execution.block, [identifier for identifier, _ in execution.outcomes])
            yield service_pb2.WatchBlocksResponse(
                block=_summary(row),
                receipts=[state_pb2.Receipt.FromString(receipt) for _, receipt in execution.outcomes],
            )

    async def WatchAccount(
        self, request: Any, context: Any
    ) -> AsyncIterator[service_pb2.WatchAccountResponse]:
        account = parse_identifier(request.name, "accounts")
        if request.from_height > QUANTITY_MAX:
            raise InvalidArgument("HEIGHT_OUT_OF_RANGE", f"from_height {request.from_height} is above 2^62")
        if request.from_height:
            await self._feed.reach(request.from_height - 1, wait_seconds(context))
        async for news in self._accounts.watch(account, request.from_height):
            yield service_pb2.WatchAccountResponse(
                account=_account_of(news.credit),
                credit=_credit(news.credit),
                entries=news.entries,
                has_skipped=news.has_skipped,
            )

    async def GetStatement(
        self, request: Any, _context: Any
    ) -> AsyncIterator[service_pb2.GetStatementResponse]:
        account = parse_identifier(request.name, "accounts")
        begin = _bound(request, "begin") or FROM_THE_FIRST
        end = _bound(request, "end") or TO_THE_NEWEST
        with self._statements.places.take():
            statement = await self._statements.read(account, begin, end)
            yield service_pb2.GetStatementResponse(opening=_edge(statement.opening))
            async for rows in statement.parts:
                # A row is the same field of a ListEntriesResponse.
                yield service_pb2.GetStatementResponse.FromString(b"".join(row.entries for row in rows))
            yield service_pb2.GetStatementResponse(closing=_edge(statement.closing))


def _bound(request: Any, end: str) -> Bound | None:
    """One end of a statement's span; None where the request leaves it out."""
    asked = request.WhichOneof(end)
    if asked is None:
        return None
    value = getattr(request, asked)
    if value > QUANTITY_MAX:
        raise InvalidArgument("INSTANT_OUT_OF_RANGE", f"{asked} {value} is above 2^62")
    return Bound(value) if asked.endswith("height") else Bound(None, value)


def _edge(edge: Edge) -> service_pb2.StatementEdge:
    return service_pb2.StatementEdge(**edge._asdict())


def _account_of(found: CreditAt) -> service_pb2.Account:
    return _account(LeafAt(encode_leaf(Namespace.ACCOUNT, found.account), found.height))


def _account(leaf: LeafAt) -> service_pb2.Account:
    account = state_pb2.AccountLeaf.FromString(leaf.value)
    return service_pb2.Account(name=f"accounts/{account.account.hex()}", leaf=account, height=leaf.height)


def _credit(found: CreditAt) -> service_pb2.Credit:
    account, line, policy = found.account, found.line, found.policy
    limit_minor = found.limit_minor
    return service_pb2.Credit(
        limit_minor=limit_minor,
        growth_minor=growth(policy, account, line),
        soft_limit_minor=soft_limit(policy, limit_minor) if policy.soft_ppm else limit_minor,
        earned_minor=0 if line is None else line.earned_minor,
        spent_minor=0 if line is None else line.spent_minor,
        is_main=is_main(account, line),
        spendable_minor=found.spendable_minor,
    )


def _summary(row: BlockRow) -> service_pb2.BlockSummary:
    block: ExecutedBlock = row.block
    return service_pb2.BlockSummary(
        height=block.height,
        hash=block.hash,
        header=block.header,
        transactions=block.transaction_count,
        transaction_ids=row.transaction_ids,
        state_root=block.state_root,
    )


def _place(number: int) -> bytes:
    return number.to_bytes(PLACE_NUMBER_BYTES, "big")


def _numbers(place: bytes) -> tuple[int, int]:
    return (
        int.from_bytes(place[:PLACE_NUMBER_BYTES], "big"),
        int.from_bytes(place[PLACE_NUMBER_BYTES:], "big"),
    )
