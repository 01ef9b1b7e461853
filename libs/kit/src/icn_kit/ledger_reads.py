"""The reads of the ledger by name, whoever answers them: one validator, or several that agree."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, TypeVar

from google.protobuf.message import Message
from icn.ledger.v1 import service_pb2 as ledger

Response = TypeVar("Response", bound=Message)


class LedgerReads(ABC):
    """One method per read of LedgerService, named like it.

    Every one raises `icn_kit.errors.DomainError`: the refusal of who answers, or that nobody did.
    """

    @abstractmethod
    async def _read(self, request: Message, response_type: type[Response]) -> Response:
        """Ask."""

    async def get_account(self, name: str) -> ledger.GetAccountResponse:
        """One account."""
        return await self._read(ledger.GetAccountRequest(name=name), ledger.GetAccountResponse)

    async def list_accounts(self, owner: str, page_size: int, page_token: str) -> ledger.ListAccountsResponse:
        """Accounts by id, of one owner (``principals/…``) or all (empty)."""
        request = ledger.ListAccountsRequest(owner=owner, page_size=page_size, page_token=page_token)
        return await self._read(request, ledger.ListAccountsResponse)

    async def list_entries(
        self, account: str, page_size: int, page_token: str, height: int = 0
    ) -> ledger.ListEntriesResponse:
        """Entries of an account, newest first; of one block where ``height`` is not 0."""
        request = ledger.ListEntriesRequest(
            account=account, page_size=page_size, page_token=page_token, height=height
        )
        return await self._read(request, ledger.ListEntriesResponse)

    async def get_order(self, name: str) -> ledger.GetOrderResponse:
        """An open order."""
        return await self._read(ledger.GetOrderRequest(name=name), ledger.GetOrderResponse)

    async def get_unit(self, name: str) -> ledger.GetUnitResponse:
        """One unit."""
        return await self._read(ledger.GetUnitRequest(name=name), ledger.GetUnitResponse)

    async def list_units(self, page_size: int, page_token: str) -> ledger.ListUnitsResponse:
        """Units by id."""
        return await self._read(
            ledger.ListUnitsRequest(page_size=page_size, page_token=page_token), ledger.ListUnitsResponse
        )

    async def get_controller(self, name: str) -> ledger.GetControllerResponse:
        """One controller."""
        return await self._read(ledger.GetControllerRequest(name=name), ledger.GetControllerResponse)

    async def get_hold(self, name: str) -> ledger.GetHoldResponse:
        """One open hold."""
        return await self._read(ledger.GetHoldRequest(name=name), ledger.GetHoldResponse)

    async def get_allowance(self, organization: str) -> ledger.GetAllowanceResponse:
        """One organization's allowance."""
        return await self._read(
            ledger.GetAllowanceRequest(organization=organization), ledger.GetAllowanceResponse
        )

    async def get_recovery(self, name: str) -> ledger.GetRecoveryResponse:
        """A principal's recovery that is under way."""
        return await self._read(ledger.GetRecoveryRequest(name=name), ledger.GetRecoveryResponse)

    async def get_transaction(self, name: str) -> ledger.GetTransactionResponse:
        """What became of a transaction."""
        return await self._read(ledger.GetTransactionRequest(name=name), ledger.GetTransactionResponse)

    async def get_block(self, name: str) -> ledger.GetBlockResponse:
        """One executed block."""
        return await self._read(ledger.GetBlockRequest(name=name), ledger.GetBlockResponse)

    async def list_blocks(self, page_size: int, page_token: str) -> ledger.ListBlocksResponse:
        """Executed blocks, newest first."""
        return await self._read(
            ledger.ListBlocksRequest(page_size=page_size, page_token=page_token), ledger.ListBlocksResponse
        )

    async def get_proof(self, name: str, from_epoch: int) -> ledger.GetProofResponse:
        """Proof of a leaf, or of its absence."""
        return await self._read(
            ledger.GetProofRequest(name=name, from_epoch=from_epoch), ledger.GetProofResponse
        )

    async def get_validators(self) -> ledger.GetValidatorsResponse:
        """Who validates, and who will."""
        return await self._read(ledger.GetValidatorsRequest(), ledger.GetValidatorsResponse)

    async def get_authority(self, name: str) -> ledger.GetAuthorityResponse:
        """One authority."""
        return await self._read(ledger.GetAuthorityRequest(name=name), ledger.GetAuthorityResponse)

    async def get_membership(self, name: str) -> ledger.GetMembershipResponse:
        """One membership, ``memberships/<organization>/<member>``."""
        return await self._read(ledger.GetMembershipRequest(name=name), ledger.GetMembershipResponse)

    async def list_memberships(
        self, *, organization: str = "", member: str = "", page_size: int = 0, page_token: str = ""
    ) -> ledger.ListMembershipsResponse:
        """Memberships of an organization or of a member (one of them, ``principals/…``)."""
        request = ledger.ListMembershipsRequest(
            organization=organization, member=member, page_size=page_size, page_token=page_token
        )
        return await self._read(request, ledger.ListMembershipsResponse)

    async def get_poll(self, name: str) -> ledger.GetPollResponse:
        """One poll."""
        return await self._read(ledger.GetPollRequest(name=name), ledger.GetPollResponse)

    async def list_ballots(
        self, poll: str, page_size: int = 0, page_token: str = "", voter: str = ""
    ) -> ledger.ListBallotsResponse:
        """Ballots of a poll by voter, or only that of one (``principals/…``)."""
        request = ledger.ListBallotsRequest(
            poll=poll, page_size=page_size, page_token=page_token, voter=voter
        )
        return await self._read(request, ledger.ListBallotsResponse)

    async def get_decision(self, name: str) -> ledger.GetDecisionResponse:
        """One enacted decision."""
        return await self._read(ledger.GetDecisionRequest(name=name), ledger.GetDecisionResponse)

    async def get_contract(self, name: str) -> ledger.GetContractResponse:
        """One contract."""
        return await self._read(ledger.GetContractRequest(name=name), ledger.GetContractResponse)

    async def query_contract(
        self, name: str, message: bytes, fuel_limit: int = 0
    ) -> ledger.QueryContractResponse:
        """What a contract answers."""
        request = ledger.QueryContractRequest(name=name, message=message, fuel_limit=fuel_limit)
        return await self._read(request, ledger.QueryContractResponse)

    async def list_duties(
        self, organization: str = "", page_size: int = 0, page_token: str = ""
    ) -> ledger.ListDutiesResponse:
        """Duty evidence, newest epoch first."""
        request = ledger.ListDutiesRequest(
            organization=organization, page_size=page_size, page_token=page_token
        )
        return await self._read(request, ledger.ListDutiesResponse)

    async def ask(self, request: Message) -> Any:
        """Any read of the ledger: the call whose request this is.

        For who carries questions without a word of its own about them; a test with a fake of one call is
        served better by the named methods above.
        """
        return await self._read(request, Message)
