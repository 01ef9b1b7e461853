"""An event loop for what waits for nothing but its own tasks: no time, no sockets, no threads.

The ledger's use cases make tasks, and give long work to threads. Here all of it is done within the call.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from contextvars import Context
from typing import Any, TypeVar, TypeVarTuple, Unpack

Answer = TypeVar("Answer")
Arguments = TypeVarTuple("Arguments")


class InlineLoop(asyncio.BaseEventLoop):
    """Runs what is due, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self._due: deque[asyncio.Handle] = deque()

    def run(self, call: Coroutine[asyncio.Future[Any] | None, None, Answer]) -> Answer:
        """The answer of a call."""
        outer = asyncio._get_running_loop()
        asyncio._set_running_loop(self)
        try:
            while True:
                awaited = call.send(None)
                while self._due:
                    self._due.popleft()._run()
                assert awaited is None or awaited.done(), "a call waits for nothing from outside"
        except StopIteration as done:
            answer: Answer = done.value
            return answer
        finally:
            asyncio._set_running_loop(outer)

    def call_soon(
        self,
        callback: Callable[[Unpack[Arguments]], object],
        *args: *Arguments,
        context: Context | None = None,
    ) -> asyncio.Handle:
        """See asyncio."""
        handle = asyncio.Handle(callback, args, self, context)
        self._due.append(handle)
        return handle

    def run_in_executor(
        self,
        executor: Executor | None,
        func: Callable[[Unpack[Arguments]], Answer],
        *args: *Arguments,
    ) -> asyncio.Future[Answer]:
        """Do the work at once: a run must not depend on threads."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - it is for who awaits it, as a thread's would be
            future.set_exception(error)
        return future

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """An error that nobody awaits ends the run."""
        raise context.get("exception") or RuntimeError(context["message"])
