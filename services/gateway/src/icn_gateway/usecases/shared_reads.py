"""Reads that many pages ask for at the same time, asked once."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from time import monotonic
from typing import Any

from google.protobuf.message import Message

from icn_gateway.domain.documents import message_document
from icn_gateway.usecases.contracts import method
from icn_gateway.usecases.ports import Services

FRESH_SECONDS = 1.0
"""How old an answer may be that another page gets too; a block takes about as long."""
ANSWERS_MAX = 512
"""About 10 MB of pages' worth."""

Document = dict[str, Any]


class SharedReads:
    """Documents of services' answers, the same that REST gives, for pages.

    An answer is shared among everybody who asks the same within FRESH_SECONDS. Refusals are not kept.
    """

    def __init__(self, services: Services, clock: Callable[[], float] = monotonic) -> None:
        self._services = services
        self._clock = clock
        self._answers: OrderedDict[tuple[str, bytes], tuple[float, asyncio.Future[Document]]] = OrderedDict()

    async def ask(self, service: str, call: str, /, **fields: Any) -> Document:
        """The answer to a call of a service; raises what the service refuses with."""
        asked = method(service, call)
        request = asked.request(**fields)
        key = (asked.name, request.SerializeToString(deterministic=True))
        known = self._answers.get(key)
        if known is not None and self._clock() - known[0] < FRESH_SECONDS:
            return await asyncio.shield(known[1])
        task = asyncio.ensure_future(self._ask(asked, request))
        self._answers[key] = (self._clock(), task)
        self._answers.move_to_end(key)
        if len(self._answers) > ANSWERS_MAX:
            self._answers.popitem(last=False)
        try:
            return await asyncio.shield(task)
        except Exception:
            if self._answers.get(key, (0, None))[1] is task:
                del self._answers[key]
            raise

    async def _ask(self, asked: Any, request: Message) -> Document:
        return message_document(await self._services.ask(asked, request))
