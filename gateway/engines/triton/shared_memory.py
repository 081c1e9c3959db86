"""Tensors through system shared memory: one copy each way, and no megabyte on the wire.

What a server may leave in a region is never taken for an answer that it did not write there: a region whose request
did not end in an answer is not used again, no server is trusted that lets go of memory while it still writes to it, and
outputs are sealed before each request.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import mmap
import os
import secrets
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2

from gateway.engines.triton.rpc import SHORT_SECONDS, Call, Channel, RpcError, not_answering, region_unknown
from gateway.engines.triton.transport import Name, Transport, in_thread
from gateway.errors import ModelNotReady
from gateway.scheduling.threads import Threads

PREFIX = "maskgate-"
"""Begins the name of every region."""

FOLDER = Path("/dev/shm")  # noqa: S108 - where POSIX shared memory is, not a place for temporary files
"""Where regions lie."""

_ALIGNMENT = 64

# Since Triton 2.50 a region is not unmapped while a request uses it (triton-inference-server/server, pull request
# 7567). Before, an answer that nobody waited for went to whatever was mapped there next, or crashed the server.
_FIRST_VERSION = (2, 50)

# Ends each output before the request. Where it still does so after the answer, the server did not write there. That an
# output happens to end like this is as likely as 1 in 2⁶⁴; shorter ones go without.
_SEAL = np.frombuffer(secrets.token_bytes(8), np.uint8)

_log = logging.getLogger(__name__)


class Region:
    """One file of shared memory, mapped and locked by this process.

    Args:
        size: in bytes.
    """

    def __init__(self, size: int) -> None:
        """Create the file, its memory taken at once: running short later would be a SIGBUS.

        Raises:
            OSError: there is no such memory, or not enough of it.
        """
        self.name = f"{PREFIX}{os.getpid()}-{secrets.token_hex(8)}"
        self.size = size
        self.session = -1
        self._path = FOLDER / self.name
        self._file = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            if os.fstat(self._file).st_nlink == 0:
                raise FileNotFoundError(errno.ENOENT, "another gateway swept the region before it was locked")
            os.posix_fallocate(self._file, 0, size)
            self._map = mmap.mmap(self._file, size)
        except OSError:
            self.unlink()
            os.close(self._file)
            raise

    @property
    def key(self) -> str:
        """What the server opens."""
        return f"/{self.name}"

    def array(self, offset: int, like: NDArray[Any]) -> NDArray[Any]:
        """Return the part at `offset` as an array of the shape and dtype of `like`."""
        return np.frombuffer(self._map, like.dtype, like.size, offset).reshape(like.shape)

    def unlink(self) -> None:
        """Take the name away; the memory lives on until the last process that maps it lets go."""
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the memory, and of the lock."""
        self.unlink()
        with suppress(BufferError):  # an exception may still hold an array of it, and lets go of it with that
            self._map.close()
        os.close(self._file)


def sweep_dead() -> None:
    """Remove the regions whose process is gone; their locks went with it."""
    for path in FOLDER.glob(f"{PREFIX}*"):
        with suppress(OSError):
            file = os.open(path, os.O_RDWR)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
            finally:
                os.close(file)


class SharedMemory:
    """Carries calls through regions of a pool, which grows to what is in flight at once.

    A region whose request did not end in an answer is never used again, because the server may write to it late: it is
    retired, and `sweep` has the server let go of it.

    Args:
        channel: the connection.
        threads: where tensors are copied.
        without: what carries a call that no region can be had for.
    """

    name: Name = "shared-memory"

    def __init__(self, channel: Channel, threads: Threads, without: Transport) -> None:
        """Take no memory yet."""
        self._channel = channel
        self._threads = threads
        self._without = without
        self._free: defaultdict[int, list[Region]] = defaultdict(list)
        self._retired: list[Region] = []
        self._session = 0

    async def connect(self) -> bool:
        """Begin with a server that was started or reached again; return whether to share memory with it.

        What gateways that died left behind, on disk and at the server, is removed.

        Raises:
            RpcError: the server does not answer.
        """
        self._session += 1
        try:
            if await self._channel.version() < _FIRST_VERSION:
                _log.info("no memory is shared with a Triton before 2.50: it lets go of what it still writes to")
                return False
            await in_thread(self._threads, sweep_dead)
            for name, key in (await self._channel.regions()).items():
                if name.startswith(PREFIX) and not (FOLDER / key.lstrip("/")).exists():
                    with suppress(RpcError):
                        await self._channel.unregister(name)
            self._give(await self._take(mmap.PAGESIZE, SHORT_SECONDS))
        except RpcError as error:
            if not_answering(error):
                raise
            _log.info("Triton does not share memory with this process: %s", error.details())
            return False
        except OSError as error:
            _log.info("there is no memory to share with Triton: %s", error.strerror)
            return False
        return True

    async def infer(self, call: Call, seconds: float) -> None:
        """Run `call`; see `Transport.infer`."""
        try:
            region = await self._take(-(-_size(call) // mmap.PAGESIZE) * mmap.PAGESIZE, seconds)
        except OSError as error:
            _log.warning("a tile travels as bytes, for lack of shared memory: %s", error.strerror)
            await self._without.infer(call, seconds)
            return
        try:
            await in_thread(self._threads, _write, call, region)
            request = _message(call, region, seconds)
            try:
                answer = await self._channel.infer(request, seconds)
            except RpcError as error:
                if not region_unknown(error):
                    raise
                # The server was started again; it has run nothing of this request.
                if region.session == self._session:
                    self._session += 1
                await self._register(region, seconds)
                answer = await self._channel.infer(request, seconds)
            call.check(service_pb2.ModelInferResponse.FromString(answer))
            await in_thread(self._threads, _read, call, region)
        except BaseException:
            self._retire(region)
            raise
        self._give(region)

    async def sweep(self) -> None:
        """Have the server let go of retired regions; those it still uses stay for the next sweep."""
        for region in list(self._retired):
            try:
                await self._channel.unregister(region.name)
            except RpcError as error:
                if not_answering(error):
                    return
                continue
            self._retired.remove(region)
            region.close()

    async def close(self) -> None:
        """Give all memory back: the server's mappings as far as it answers, ours in any case."""
        for region in (region for regions in self._free.values() for region in regions):
            self._retire(region)
        self._free.clear()
        await self.sweep()
        for region in self._retired:
            region.close()
        self._retired.clear()

    async def _take(self, size: int, seconds: float) -> Region:
        while not self._free[size]:
            await in_thread(self._threads, self._grow, size)
        region = self._free[size].pop()
        if region.session != self._session:
            try:
                await self._register(region, seconds)
            except BaseException:
                self._retire(region)
                raise
        return region

    def _grow(self, size: int) -> None:
        """Add a region to the free ones: there it is not lost if whoever waited for it is cancelled."""
        self._free[size].append(Region(size))

    async def _register(self, region: Region, seconds: float) -> None:
        session = self._session
        await self._channel.register(region.name, region.key, region.size, seconds)
        region.session = session

    def _give(self, region: Region) -> None:
        self._free[region.size].append(region)

    def _retire(self, region: Region) -> None:
        region.unlink()
        self._retired.append(region)


def _layout(call: Call) -> Iterator[tuple[str, NDArray[Any], int]]:
    """Yield each tensor's name, array and offset in a region: inputs, then outputs."""
    offset = 0
    for tensors in (call.inputs, call.outputs):
        for name, array in tensors.items():
            yield name, array, offset
            offset += -(-array.nbytes // _ALIGNMENT) * _ALIGNMENT


def _size(call: Call) -> int:
    return max(offset + array.nbytes for _, array, offset in _layout(call))


def _message(call: Call, region: Region, seconds: float) -> bytes:
    request = call.message(seconds)
    tensors = {tensor.name: tensor for tensor in (*request.inputs, *request.outputs)}
    for name, array, offset in _layout(call):
        parameters = tensors[name].parameters
        parameters["shared_memory_region"].string_param = region.name
        parameters["shared_memory_byte_size"].int64_param = array.nbytes
        parameters["shared_memory_offset"].int64_param = offset
    data: bytes = request.SerializeToString()
    return data


def _write(call: Call, region: Region) -> None:
    """Put the inputs into their places, and the seal where the outputs will end."""
    for name, array, offset in _layout(call):
        if name in call.inputs:
            np.copyto(region.array(offset, array), array)
        elif array.nbytes >= _SEAL.nbytes:
            np.copyto(_end(region.array(offset, array)), _SEAL)


def _read(call: Call, region: Region) -> None:
    """Take the outputs out.

    Raises:
        ModelNotReady: the server answered without having written one.
    """
    for name, array, offset in _layout(call):
        if name in call.outputs:
            written = region.array(offset, array)
            if np.array_equal(_end(written), _SEAL):
                _log.error("Triton answered for model %s and did not write output %s", call.model.name, name)
                raise ModelNotReady(f"The answer of model {call.model.name} did not arrive.", retry_after=1)
            np.copyto(array, written)


def _end(array: NDArray[Any]) -> NDArray[np.uint8]:
    return array.reshape(-1).view(np.uint8)[-_SEAL.nbytes :]
