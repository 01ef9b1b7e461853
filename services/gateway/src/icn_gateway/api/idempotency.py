"""The Idempotency-Key header: whoever sends one says which transaction or command it believes to send.

Source: docs/spec/gateway.md, "Idempotency keys".
"""

from __future__ import annotations

from typing import Annotated

from litestar.openapi.spec import Example
from litestar.params import HeaderParameter

from icn_gateway.api.problems import HttpProblem

IdempotencyKey = Annotated[
    str,
    HeaderParameter(
        name="idempotency-key",
        description="The id of what is sent, 32 bytes in lower-case hex; absent: not checked.",
        pattern="^([0-9a-f]{64})?$",
        max_length=64,
        examples=[Example(value="")],
    ),
]


def check_idempotency_key(key: str, identifier: bytes) -> None:
    """Refuse a key that is not the id; bytes without an id are refused for themselves later.

    Raises:
        HttpProblem: 422, IDEMPOTENCY_KEY_MISMATCH with both.
    """
    if key and identifier and key != identifier.hex():
        raise HttpProblem(
            422,
            "IDEMPOTENCY_KEY_MISMATCH",
            "the key is not the id of what was sent",
            figures={"idempotency_key": key, "id": identifier.hex()},
        )
