"""`make bench`, fourth part: what a CT costs.

- Milliseconds to decode one drawn slice of 512² pixels and 12 bits into Hounsfield units, by DICOM transfer syntax, its
  header read before: medians.
- A series of so many slices, zipped, from the first byte sent to the JSON report, as a share of a bare loop's rate: as
  many threads, each of which makes one ONNX Runtime call after another on the same slices, which lie decoded and on the
  model's grid in memory. Runs of the two alternate, so that a noisy machine troubles both alike; medians.
- The same share in processor time, of the loop and of the gateway's process: on a busy machine it is the steadier one.
- The gateway's resident memory: before the series and at its peak, each number of slices in a process of its own.

The series goes over the loopback device as fast as it is taken; with `--link` as a link of so many megabytes a second
would bring it.

With `--against REV` the gateway of another commit runs beside this one's, and each series goes to both in turn.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import httpx
import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import psutil
from maskgate_client.tasks.ct.protocol import ct_bytes
from pydicom import FileDataset
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from export.parity.inputs import draw_slices
from gateway.media.medical.dicom_ct import read_ct
from gateway.media.medical.slices import VolumeLimits
from gateway.repository.store import StoredModel, scan
from gateway.vision.windowing import to_grid
from tests.load.bench import SHIPPED, WORKERS
from tests.load.beside import against_option, commits
from tests.load.record import record, record_option
from tests.support.dicoms import compressed, ct, lossless_jpeg, saved, saved_as
from tests.support.processes import GatewayProcess, gateway
from tests.support.trivial_ct import write_trivial_ct

Int16 = npt.NDArray[np.int16]

SIDE = 512
MIB = 1024 * 1024
# Scanners' noise in Hounsfield units; without it a drawn slice compresses, and so decodes, as no real one does.
_NOISE = 12.0
_DRAWN = 8
_LIMITS = VolumeLimits(max_side=SIDE, min_side=32, max_slices=10_000)


@dataclass(frozen=True)
class Volume:
    """A series as a prepared multipart body, and its slices on a model's grid.

    Attributes:
        body: the request's.
        content_type: of the body.
        grid: int16 (n, T, T).
    """

    body: bytes
    content_type: str
    grid: Int16


@dataclass(frozen=True)
class Result:
    """Figures of one gateway, one model and one number of slices; medians, memory in MiB."""

    model: str
    commit: str
    slices: int
    upload_mib: float
    bare_per_second: float
    gateway_per_second: float
    share: float
    gateway_processor_ms: float
    processor_share: float
    before_mib: float
    peak_mib: float


class Spent(NamedTuple):
    """Seconds that passed, and seconds that processors worked."""

    passed: float
    worked: float


def main() -> None:
    """Run the benchmark and print tables; keep the figures where `--record` says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, nargs="+", default=[300, 600], help="of each series")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each series per model")
    parser.add_argument("--models", type=Path, default=SHIPPED, help="repository")
    parser.add_argument("--names", nargs="+", help="of the models; without it all of CT")
    parser.add_argument("--trivial", action="store_true", help="a model that costs next to nothing in place of these")
    parser.add_argument("--link", type=float, metavar="MB/S", help="megabytes a second in which a series is sent")
    against_option(parser)
    record_option(parser)
    options = parser.parse_args()
    with ExitStack() as stack:
        if options.trivial:
            options.models = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            write_trivial_ct(options.models, "trivial", size=256)
        roots = stack.enter_context(commits(options.against))
        decoding = dict(_decoding())
        models = [model for model in scan(options.models).models.values() if model.card.task == "ct"]
        models = [model for model in models if not options.names or model.name in options.names]
        (tile,) = {model.card.tile for model in models}
        results: list[Result] = []
        for count in options.slices:
            volume = drawn_volume(count, tile)
            for model in models:
                rounds = max(1, options.rounds)
                results += _measure(options.models.resolve(), roots, model, volume, rounds, options.link)
    _print(decoding, results)
    record(options.record, "ct", {"decode_ms": decoding, "results": [vars(result) for result in results]})


def drawn_volume(count: int, tile: int) -> Volume:
    """Return so many slices, each of its own, as the client sends a folder of uncompressed files."""
    drawn = drawn_slices(count)
    with tempfile.TemporaryDirectory() as folder:
        for number, each in enumerate(drawn):
            file = ct(each, position=(0, 0, number), instance=number + 1, bits=12, BodyPartExamined="CHEST")
            Path(folder, f"{number:06d}").write_bytes(saved(file))
        prepared = httpx.Request("POST", "http://x", files={"image": ("image", ct_bytes(folder)[0])})
    grid = np.stack([to_grid(each, tile) for each in drawn])
    return Volume(prepared.read(), prepared.headers["Content-Type"], grid)


def drawn_slices(count: int) -> list[Int16]:
    """Return so many slices in the 12 bits of a scanner, each of its own noise."""
    scenes, random = draw_slices("natural", _DRAWN, SIDE), np.random.default_rng(0)
    noisy = (scenes[number % _DRAWN] + random.normal(0, _NOISE, (SIDE, SIDE)) for number in range(count))
    return [np.clip(each, -1024, 3071).astype(np.int16) for each in noisy]


def _decoding(repeats: int = 15) -> Iterator[tuple[str, float]]:
    """Yield transfer syntaxes with milliseconds per slice."""
    (drawn,) = drawn_slices(1)
    for name, data in _files(lambda: ct(drawn, bits=12)):
        volume = read_ct(data, _LIMITS)
        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            (decoded,) = volume.slices()
            times.append((time.perf_counter() - start) * 1000)
        if not np.array_equal(decoded.pixels, drawn):
            raise RuntimeError(f"{name} does not give the slice back; its figures mean nothing")
        yield name, round(statistics.median(times[1:]), 2)


def _files(make: Callable[[], FileDataset]) -> Iterator[tuple[str, bytes]]:
    """Yield a dataset as a file of each lossless transfer syntax that is read, and written by what is installed."""
    for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian):
        yield syntax.name, saved_as(make(), syntax)
    for syntax in (RLELossless, JPEG2000Lossless):
        yield syntax.name, saved(compressed(make(), syntax))
    if find_spec("gdcm"):
        with tempfile.TemporaryDirectory() as folder:
            yield JPEGLosslessSV1.name, lossless_jpeg(saved(make()), Path(folder))
    if find_spec("jpeg_ls"):
        yield JPEGLSLossless.name, saved(compressed(make(), JPEGLSLossless))


def _measure(
    models: Path, roots: Mapping[str, Path], model: StoredModel, volume: Volume, rounds: int, link: float | None
) -> Iterator[Result]:
    settings = {
        "WORK_THREADS": str(WORKERS),
        "ENGINE_LANES": str(WORKERS),
        "MODELS_CT": model.name,
        "LOG_LEVEL": "WARNING",
        "LIMITS_BODY_BYTES": str(len(volume.body)),
    }
    count = len(volume.grid)
    with ExitStack() as stack:
        bare = stack.enter_context(_bare_loop(model))
        # A process for each series, or the second would begin with what the first one's allocator has kept.
        servers = [stack.enter_context(gateway(models, root, **settings)) for root in roots.values()]
        for server in servers:
            _until_ready(server)
        before = [_resident(server, "VmRSS") for server in servers]
        runs = [(bare(volume.grid), *(_end_to_end(server, volume, link) for server in servers)) for _ in range(rounds)]
        peaks = [_resident(server, "VmHWM") for server in servers]
    loops = [run[0] for run in runs]
    for number, commit in enumerate(roots):
        served = [run[1 + number] for run in runs]
        yield Result(
            model.name,
            commit,
            count,
            round(len(volume.body) / MIB, 1),
            round(count / statistics.median(loop.passed for loop in loops), 2),
            round(count / statistics.median(one.passed for one in served), 2),
            round(statistics.median(a.passed / b.passed for a, b in zip(loops, served, strict=True)), 3),
            round(1000 * statistics.median(one.worked for one in served) / count, 2),
            round(statistics.median(a.worked / b.worked for a, b in zip(loops, served, strict=True)), 3),
            before[number],
            peaks[number],
        )


@contextmanager
def _bare_loop(model: StoredModel) -> Iterator[Callable[[Int16], Spent]]:
    """Yield a function that returns what it takes slices on the grid to go through the model."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(model.versions[model.newest], options, providers=["CPUExecutionProvider"])
    name, most = model.card.inputs[0].name, model.card.max_batch_size

    def infer(batch: Int16) -> None:
        session.run(["label_map"], {name: batch})

    def run(grid: Int16) -> Spent:
        start, worked = time.perf_counter(), time.process_time()
        list(pool.map(infer, (grid[first : first + most] for first in range(0, len(grid), most))))
        return Spent(time.perf_counter() - start, time.process_time() - worked)

    with ThreadPoolExecutor(WORKERS) as pool:
        yield run


class _Sent(BytesIO):
    """A body as a file, which goes out in pieces, and no faster than a link would carry it.

    Of bytes the client copies what is left at every send, so that a long series would pay for the square of its length.
    """

    def __init__(self, body: bytes, link: float | None) -> None:
        super().__init__(body)
        self._seconds_per_byte = 1e-6 / link if link else 0.0
        self._start = time.perf_counter()

    def read(self, size: int | None = -1, /) -> bytes:
        piece = super().read(size)
        time.sleep(max(0.0, self._start + self.tell() * self._seconds_per_byte - time.perf_counter()))
        return piece


def _end_to_end(server: GatewayProcess, volume: Volume, link: float | None) -> Spent:
    """Return what it takes from the first byte sent to the last of the report; of the processors the gateway's."""
    headers = {"Content-Type": volume.content_type, "Accept": "application/json"}
    process = psutil.Process(server.process.pid)
    start, before = time.perf_counter(), process.cpu_times()
    answer = httpx.post(f"{server.address}/v1/ct", content=_Sent(volume.body, link), headers=headers, timeout=600)
    passed, after = time.perf_counter() - start, process.cpu_times()
    answer.raise_for_status()
    if len(answer.json()["slices"]) != len(volume.grid):
        raise RuntimeError("the gateway answered of other slices; its figures mean nothing")
    return Spent(passed, after.user + after.system - before.user - before.system)


def _until_ready(server: GatewayProcess) -> None:
    while httpx.get(f"{server.address}/readyz").status_code != 200:
        time.sleep(0.05)


def _resident(server: GatewayProcess, field: str) -> float:
    """Return the gateway's resident memory, now (VmRSS) or at its highest (VmHWM), in MiB."""
    lines = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    return round(next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) / 1024, 1)


def _print(decoding: dict[str, float], results: list[Result]) -> None:
    print(f"\nA CT slice of {SIDE}² pixels and 12 bits, decoded: ms by transfer syntax, medians")
    for name, milliseconds in decoding.items():
        print(f"{name[:60]:<62}{milliseconds:>8.2f}")
    print(f"\nA zipped series of {SIDE}² slices, {WORKERS} workers: slices per second, and shares of the bare loop;")
    print("processor time of the gateway in ms per slice; resident memory in MiB")
    print(
        f"{'model':<12}{'commit':<12}{'slices':>7}{'upload':>8}{'bare loop':>11}{'gateway':>9}{'share':>7}"
        f"{'cpu ms':>9}{'cpu share':>11}{'before':>8}{'peak':>8}"
    )
    for result in results:
        print(
            f"{result.model:<12}{result.commit[:11]:<12}{result.slices:>7}{result.upload_mib:>8.1f}"
            f"{result.bare_per_second:>11.2f}{result.gateway_per_second:>9.2f}{result.share:>7.2f}"
            f"{result.gateway_processor_ms:>9.2f}{result.processor_share:>11.2f}"
            f"{result.before_mib:>8.1f}{result.peak_mib:>8.1f}"
        )


if __name__ == "__main__":
    main()
