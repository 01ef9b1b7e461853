"""Query: what a contract answers on storage that the caller sends along."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import NamedTuple

from icn_kit.errors import FailedPrecondition, InvalidArgument
from icn_wasm.engine import Code, Engine, EntryPoint
from icn_wasm.kept_storage import KeptStorage

from icn_vm.usecases.execute_batch import Block
from icn_vm.usecases.ports import CodeStore
from icn_vm.usecases.worker import Worker


class Question(NamedTuple):
    """A query."""

    checksum: bytes
    code: bytes
    """Empty at first; the code where CODE_MISSING was said."""
    contract: str
    message: bytes
    fuel_limit: int
    storage: Mapping[bytes, bytes]


class Reply(NamedTuple):
    """Its answer."""

    data: bytes
    fuel_used: int


async def query(block: Block, question: Question, engine: Engine, worker: Worker, codes: CodeStore) -> Reply:
    """Run the entry point query.

    Raises:
        InvalidArgument: CODE_MISMATCH: the code is not what its checksum says.
        FailedPrecondition: CODE_MISSING: ask again with the code; CALL_STOPPED: the contract was stopped.
        Unavailable: the machine or the database could not go on.
    """
    content = await codes.get(question.checksum)
    if content is None:
        if not question.code:
            raise FailedPrecondition("CODE_MISSING", "the code is not here; ask again with it")
        if sha256(question.code).digest() != question.checksum:
            raise InvalidArgument("CODE_MISMATCH", "the code is not what its checksum says")
        content = question.code
        await codes.put(question.checksum, content)
    code = Code(content, question.checksum)
    outcome = await worker.run(
        lambda: engine.run(
            EntryPoint.QUERY,
            code,
            block.environment(question.contract, None),
            None,
            question.message,
            KeptStorage(question.storage),
            question.fuel_limit,
            {},
        ),
        f"query of contract {question.contract}, code {question.checksum.hex()}, on block {block.height}",
    )
    if outcome.stopped is not None:
        stopped = outcome.stopped
        raise FailedPrecondition(
            "CALL_STOPPED", str(stopped), stopped=stopped.reason, fuel_used=outcome.gas_used
        )
    assert outcome.response is not None and outcome.response.data is not None, "a query's answer has content"
    return Reply(outcome.response.data, outcome.gas_used)
