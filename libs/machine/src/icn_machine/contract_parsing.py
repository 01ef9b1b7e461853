"""Contract messages from their protos: validity rule 1 of kinds 24 to 26.

Source: docs/spec/vm.md, "In a block"; protos/icn/ledger/v1/transaction.proto.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from itertools import pairwise
from typing import Any

from icn.ledger.v1 import transaction_pb2

from icn_machine import contract_limits as limits
from icn_machine.contract_messages import (
    CONTRACT_KINDS,
    ContractAccount,
    ContractCall,
    ContractMessage,
    ExecuteContract,
    InstantiateContract,
    StoreCode,
)
from icn_machine.messages import Message, Transfer
from icn_machine.records import Namespace
from icn_machine.refusals import Malformed
from icn_machine.static_rules import check_digest, check_identifier

ReadTransfer = Callable[[transaction_pb2.Transfer], Transfer]


def contract_readers(read_transfer: ReadTransfer) -> dict[str, Callable[[Any], ContractMessage]]:
    """Readers by the name of the kind."""

    def call(message: transaction_pb2.InstantiateContract | transaction_pb2.ExecuteContract) -> ContractCall:
        return _call(message, read_transfer)

    return {
        "store_code": _store_code,
        "instantiate_contract": lambda message: _instantiate_contract(message, call(message)),
        "execute_contract": lambda message: ExecuteContract(
            check_identifier(message.contract, "contract"), call(message)
        ),
    }


def lone_contract_message(messages: Sequence[Message]) -> ContractMessage | None:
    """The contract message of a transaction, None where it has none.

    Raises:
        Malformed: there is another message beside it.
    """
    for message in messages:
        if type(message) in CONTRACT_KINDS:
            if len(messages) > 1:
                raise Malformed("a contract message stands alone in its transaction")
            assert isinstance(message, ContractMessage), "these are the kinds"
            return message
    return None


def _store_code(message: transaction_pb2.StoreCode) -> StoreCode:
    if not 1 <= len(message.code) <= limits.CODE_BYTES_MAX:
        raise Malformed(f"code of {len(message.code)} bytes, allowed 1 to {limits.CODE_BYTES_MAX}")
    return StoreCode(message.code, sha256(message.code).digest())


def _instantiate_contract(
    message: transaction_pb2.InstantiateContract, call: ContractCall
) -> InstantiateContract:
    if len(message.accounts) > limits.ACCOUNTS_OPENED_MAX:
        raise Malformed(f"{len(message.accounts)} accounts, at most {limits.ACCOUNTS_OPENED_MAX}")
    accounts = tuple(
        ContractAccount(check_identifier(account.account, "account"), check_identifier(account.unit, "unit"))
        for account in message.accounts
    )
    if len({account.account for account in accounts}) != len(accounts):
        raise Malformed("an account is opened twice")
    if len({account.unit for account in accounts}) != len(accounts):
        raise Malformed("two accounts are opened in one unit")
    return InstantiateContract(
        check_identifier(message.contract, "contract"), check_digest(message.code, "code"), accounts, call
    )


def _call(
    message: transaction_pb2.InstantiateContract | transaction_pb2.ExecuteContract,
    read_transfer: ReadTransfer,
) -> ContractCall:
    if not message.HasField("call"):
        raise Malformed("call is missing")
    call = message.call
    if len(call.message) > limits.MESSAGE_BYTES_MAX:
        raise Malformed(f"message of {len(call.message)} bytes, at most {limits.MESSAGE_BYTES_MAX}")
    if not 1 <= call.fuel_limit <= limits.FUEL_LIMIT_MAX:
        raise Malformed(f"fuel_limit {call.fuel_limit}, allowed 1 to {limits.FUEL_LIMIT_MAX}")
    if len(call.funds) > limits.FUNDS_MAX:
        raise Malformed(f"{len(call.funds)} funds, at most {limits.FUNDS_MAX}")
    if len(call.declared) > limits.DECLARED_MAX:
        raise Malformed(f"{len(call.declared)} declared leaves, at most {limits.DECLARED_MAX}")
    funds = tuple(read_transfer(transfer) for transfer in call.funds)
    if len({transfer.destination for transfer in funds}) != len(funds):
        raise Malformed("two funds have one destination")
    declared = tuple(_declared_account(leaf) for leaf in call.declared)
    if any(before >= after for before, after in pairwise(declared)):
        raise Malformed("declared leaves must ascend, none twice")
    return ContractCall(call.message, call.fuel_limit, funds, declared)


def _declared_account(leaf: transaction_pb2.LeafName) -> bytes:
    if leaf.namespace != Namespace.ACCOUNT:
        raise Malformed(
            f"namespace {leaf.namespace} cannot be declared, only {int(Namespace.ACCOUNT)} (account)"
        )
    return check_identifier(leaf.identifier, "identifier of a declared leaf")
