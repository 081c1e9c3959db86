"""The process's link to one Triton: connected, lost and connected again, and what passes over it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from gateway.engines.base import Model
from gateway.engines.triton.breaker import TOLERANCE, Breaker
from gateway.engines.triton.rpc import (
    Call,
    Channel,
    RpcError,
    disconnected,
    never_sent,
    process_lost,
    timed_out,
    translate,
)
from gateway.engines.triton.shared_memory import SharedMemory
from gateway.engines.triton.transport import Binary, Name, Transport
from gateway.errors import DeadlineExceeded, Internal, MaskgateError, ModelNotReady
from gateway.observability.metrics import Telemetry
from gateway.observability.tracing import exemplar, step
from gateway.scheduling.threads import Threads
from gateway.scheduling.timeline import Timeline

_log = logging.getLogger(__name__)

_COPY_THREADS = 2

_RETRIES = 2

_RETRY_SECONDS = 0.1


class ByteBudget:
    """At most `size` bytes held at once. Lives on one event loop.

    Args:
        size: the budget in bytes, > 0.
    """

    def __init__(self, size: int) -> None:
        """Hold nothing yet."""
        self._size = size
        self._turn = asyncio.Lock()
        self._freed = asyncio.Event()
        self.held = 0

    @asynccontextmanager
    async def hold(self, amount: int) -> AsyncIterator[None]:
        """Wait until `amount` bytes fit, and hold them while inside; more than the budget goes alone."""
        amount = min(amount, self._size)
        async with self._turn:
            while self.held + amount > self._size:
                self._freed.clear()
                await self._freed.wait()
            self.held += amount
        try:
            yield
        finally:
            self.held -= amount
            self._freed.set()


class Link:
    """One channel, the transport that suits the server at its other end, and a bound on what is under way.

    The server is gone at once where it refuses or breaks the connection. A slow answer is no proof, since a busy server
    lets a probe wait: it is gone after `TOLERANCE` probes in a row that were not answered in time, where nothing else
    was answered between them either.

    Args:
        url: ``host:port`` of Triton's gRPC service.
        share: whether to share memory with a server on this host, rather than send every tensor.
        inflight_bytes: tensors held at once on their way to Triton and back, in bytes.
        telemetry: where durations, errors, bytes and the transport are shown.

    Attributes:
        channel: the connection.
        session: counts how often the server was reached anew, or lacked what it was told to load; what it has loaded
            may differ from one to the next.
        lost: names of models that Triton has no process for any more; see `renew`.
    """

    def __init__(self, url: str, share: bool, inflight_bytes: int, telemetry: Telemetry) -> None:
        """Connect at the first `reach`. Needs a running event loop."""
        self._telemetry = telemetry
        self._share = share
        self._budget = ByteBudget(inflight_bytes)
        self._threads = Threads("triton-copy", _COPY_THREADS)
        self._breaker = Breaker(TOLERANCE)
        self.session = 0
        self.lost: set[str] = set()
        self._renewals: Counter[str] = Counter()
        self.channel = Channel(url, self._breaker.succeed)
        self._binary = Binary(self.channel, self._threads)
        self._memory = SharedMemory(self.channel, self._threads, self._binary)
        self._transport: Transport = self._binary

    @property
    def transport(self) -> Name:
        """How tensors travel at present."""
        return self._transport.name

    async def reach(self) -> bool:
        """Probe the server and return whether it is there; where it is so anew, choose the transport again."""
        try:
            await self.channel.live()
            if self._breaker.open:
                self._carry_by(self._memory if self._share and await self._memory.connect() else self._binary)
                self._breaker.close()
                self.session += 1
                self.lost.clear()
            await self._memory.sweep()
        except RpcError as error:
            if timed_out(error):
                self._breaker.fail()
            else:
                self._breaker.trip()
        return not self._breaker.open

    async def renew(self, name: str, seconds: float) -> None:
        """Have Triton start another process for a model: for that it has to be unloaded and loaded.

        Raises:
            RpcError: it does not do so on request, or could not.
        """
        self.lost.discard(name)
        self._renewals[name] += 1
        await self.channel.unload(name, seconds)
        await self.channel.load(name, seconds)

    async def run(self, call: Call, timeline: Timeline) -> None:
        """Wait until `call` fits into the budget, run it, and write the answer into its outputs.

        It is sent again only where nobody listened, and only while there is time.

        Raises:
            MaskgateError: DeadlineExceeded, Overloaded, ModelNotReady or Internal, as `translate` says.
        """
        try:
            async with asyncio.timeout(timeline.remaining()), self._budget.hold(call.nbytes):
                self._telemetry.triton_inflight_bytes.set(self._budget.held)
                start = time.perf_counter()
                with step("triton", model=call.model.name, version=call.model.version):
                    await self._run(call, timeline)
                seconds = time.perf_counter() - start
        except TimeoutError as late:
            self._telemetry.triton_errors.labels(DeadlineExceeded.code).inc()
            raise DeadlineExceeded("The deadline passed while the model ran.") from late
        except MaskgateError as error:
            self._telemetry.triton_errors.labels(error.code).inc()
            raise
        finally:
            self._telemetry.triton_inflight_bytes.set(self._budget.held)
        self._telemetry.triton_seconds.labels(call.model.name, call.model.version).observe(seconds, exemplar())

    async def run_all(self, calls: Sequence[Call], timeline: Timeline) -> None:
        """Run all `calls` at once; where one fails or the caller leaves, cancel the others and wait for their end.

        Raises:
            MaskgateError: as `run` does, for the first that failed.
        """
        tasks = [asyncio.create_task(self.run(call, timeline)) for call in calls]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def close(self) -> None:
        """Give shared memory back and disconnect."""
        await self._memory.close()
        await self.channel.close()
        self._threads.close()

    async def _run(self, call: Call, timeline: Timeline) -> None:
        retries = _RETRIES
        renewals = self._renewals[call.model.name]
        while True:
            try:
                return await self._transport.infer(call, timeline.remaining())
            except RpcError as error:
                if not (retries and never_sent(error)):
                    raise self._fault(error, call.model, renewals) from error
            retries -= 1
            await asyncio.sleep(_RETRY_SECONDS)

    def _fault(self, error: RpcError, model: Model, renewals: int) -> MaskgateError:
        fault = translate(error, model)
        lost = process_lost(error)
        if lost:
            if renewals == self._renewals[model.name]:  # else it was the process before
                self.lost.add(model.name)
        elif disconnected(error):
            self._breaker.trip()
        elif isinstance(fault, ModelNotReady):  # what has not loaded it may be another server
            self.session += 1
        if lost or isinstance(fault, Internal):
            _log.error("Triton failed on model %s: %s %s", model.name, error.code(), error.details())
        return fault

    def _carry_by(self, transport: Transport) -> None:
        self._transport = transport
        for each in (self._memory, self._binary):
            self._telemetry.triton_transport.labels(each.name).set(each is transport)
        _log.info("tensors travel to Triton by %s", transport.name)
