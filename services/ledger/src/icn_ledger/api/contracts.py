# ruff: noqa: N802, D102 - gRPC names the methods, the proto describes them
"""The RPCs of LedgerService about contracts. Source: protos/icn/ledger/v1/service.proto."""

from __future__ import annotations

from typing import Any

from icn.ledger.v1 import service_pb2, state_pb2
from icn_machine.records import Namespace

from icn_ledger.api.names import parse_identifier
from icn_ledger.usecases.query_contract import ContractQueries
from icn_ledger.usecases.reads import Reader, get_leaf


class ContractReads:
    """GetContract and QueryContract."""

    _source: Reader
    _contracts: ContractQueries

    async def GetContract(self, request: Any, _context: Any) -> service_pb2.GetContractResponse:
        identifier = parse_identifier(request.name, "contracts")
        leaf = await get_leaf(Namespace.CONTRACT, identifier, self._source)
        return service_pb2.GetContractResponse(
            contract=state_pb2.ContractLeaf.FromString(leaf.value), height=leaf.height
        )

    async def QueryContract(self, request: Any, _context: Any) -> service_pb2.QueryContractResponse:
        answer = await self._contracts.query(
            parse_identifier(request.name, "contracts"), request.message, request.fuel_limit
        )
        return service_pb2.QueryContractResponse(
            data=answer.data, fuel_used=answer.fuel_used, height=answer.height
        )
