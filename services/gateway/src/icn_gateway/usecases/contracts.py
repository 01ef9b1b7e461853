"""Which services there are behind the door and what may be asked of them: the fixed tables of reads and
commands, made from ``protos/``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from icn.governance.v1 import service_pb2 as governance
from icn.identity.v1 import service_pb2 as identity
from icn.kit.v1.command_pb2 import SignedCommand
from icn.ledger.v1 import service_pb2 as ledger
from icn.marketplace.v1 import service_pb2 as marketplace
from icn.reputation.v1 import service_pb2 as reputation
from icn_kit.ledger_streams import WATCH_ACCOUNT

LEDGER = "ledger"
BEGINNINGS = frozenset({"/icn.ledger.v1.LedgerService/GetStatement", WATCH_ACCOUNT})
"""Streams whose beginning is an answer by itself, with which whoever asks can go on."""
CONTENT = "content"
"""The field of a request that carries a file beside its command."""

SERVICES: Mapping[str, ServiceDescriptor] = MappingProxyType(
    {
        "governance": governance.DESCRIPTOR.services_by_name["GovernanceService"],
        "identity": identity.DESCRIPTOR.services_by_name["IdentityService"],
        "ledger": ledger.DESCRIPTOR.services_by_name["LedgerService"],
        "marketplace": marketplace.DESCRIPTOR.services_by_name["MarketplaceService"],
        "reputation": reputation.DESCRIPTOR.services_by_name["ReputationService"],
    }
)
"""By name; the ledger is asked through the validators, every other one at an address of its own."""


@dataclass(frozen=True, slots=True)
class Method:
    """A call of a service."""

    service: str
    """Key of SERVICES."""
    descriptor: MethodDescriptor

    @property
    def name(self) -> str:
        """Full name, ``/icn.ledger.v1.LedgerService/GetPoll``."""
        return f"/{self.descriptor.containing_service.full_name}/{self.descriptor.name}"

    @property
    def request(self) -> type[Message]:
        """The class of its request."""
        return GetMessageClass(self.descriptor.input_type)

    @property
    def response(self) -> type[Message]:
        """The class of its response."""
        return GetMessageClass(self.descriptor.output_type)

    @property
    def is_command(self) -> bool:
        """Whether it takes one signed command, as every write of a service does (docs/spec/command.md)."""
        fields = list(self.descriptor.input_type.fields)
        names = [field.name for field in fields]
        return (
            names in (["command"], ["command", CONTENT])
            and fields[0].message_type is SignedCommand.DESCRIPTOR
        )

    @property
    def takes_content(self) -> bool:
        """Whether bytes come beside the command, which names their digest."""
        return CONTENT in self.descriptor.input_type.fields_by_name


def method(service: str, name: str) -> Method:
    """The call of this name.

    Raises:
        KeyError: the contract has none.
    """
    return Method(service, SERVICES[service].methods_by_name[name])


CALLS: Mapping[str, Method] = MappingProxyType(
    {
        found.name: found
        for service, descriptor in SERVICES.items()
        for found in (Method(service, each) for each in descriptor.methods)
        if not (found.descriptor.client_streaming or found.descriptor.server_streaming)
        or found.name in BEGINNINGS
    }
)
"""Everything of the services that is no stream, by full name, and streams whose answer here is their
beginning: of GetStatement its parts joined, up to 2 MiB, of WatchAccount the account as it stands."""

COMMANDS: Mapping[str, Method] = MappingProxyType(
    {name: found for name, found in CALLS.items() if found.is_command}
)
"""What a signed command may name, by full name."""
