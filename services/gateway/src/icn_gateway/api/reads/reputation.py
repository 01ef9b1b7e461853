"""Scores, what they are the sum of, and the evidence behind them."""

from __future__ import annotations

from typing import Any

from icn.reputation.v1 import service_pb2
from icn_kit.errors import InvalidArgument

from icn_gateway.api.fields import PAGE_SIZE_MAX
from icn_gateway.api.reads.route import Read, choice, identifier, only_of, paging, whole, word
from icn_gateway.usecases.contracts import method

_PAGING = paging(PAGE_SIZE_MAX)
_DIMENSION = "Dimension, such as `delivery`"


def _either(*names: str) -> Any:
    def check(fields: dict[str, Any]) -> None:
        if not any(fields[name] for name in names):
            raise InvalidArgument("INVALID_ARGUMENT", f"give at least one of {' and '.join(names)}")

    return check


READS = (
    Read(
        "/v1/scores",
        "ListScores",
        "Reputation",
        method("reputation", "ListScores"),
        (
            word(
                "dimension",
                "dimension",
                f"{_DIMENSION}; absent for all of one principal.",
                "delivery",
                default="",
            ),
            only_of("principal", "principal", "principals", "Only of this principal"),
            *_PAGING,
        ),
        check=_either("dimension", "principal"),
    ),
    Read(
        "/v1/scores/{principal_id:str}",
        "GetScore",
        "Reputation",
        method("reputation", "GetScore"),
        (
            identifier("principal_id", "principal", "principals", "Principal"),
            word("dimension", "dimension", f"{_DIMENSION}.", "delivery"),
            whole(
                "contributions_max",
                "Contributions to name, 1 to 100; 0: 20.",
                100,
                0,
                20,
            ),
        ),
    ),
    Read(
        "/v1/evidence",
        "ListEvidence",
        "Reputation",
        method("reputation", "ListEvidence"),
        (
            word("dimension", "dimension", f"{_DIMENSION}.", "delivery"),
            only_of("about", "about", "principals", "About this principal"),
            only_of("who", "who", "principals", "As this principal saw it"),
            choice(
                "kind", "kind", "Only of this kind", service_pb2.DESCRIPTOR.enum_types_by_name["EvidenceKind"]
            ),
            *_PAGING,
        ),
        check=_either("about", "who"),
    ),
    Read("/v1/dimensions", "ListDimensions", "Reputation", method("reputation", "ListDimensions"), _PAGING),
    Read(
        "/v1/reciprocities/{principal_id:str}",
        "ListReciprocities",
        "Reputation",
        method("reputation", "ListReciprocities"),
        (identifier("principal_id", "principal", "principals", "Principal"), *_PAGING),
    ),
)
