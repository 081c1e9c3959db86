"""`make bench`, fourth part: what whole scenes cost.

- Megapixels per second from the first byte sent to the last byte of the GeoTIFF that comes back, as a share of a bare
  loop's over the same tiles: as many threads as the gateway has lanes, which only run the model on tiles that lie in
  memory. Loop, gateway and loop again take turns, so that a noisy machine troubles both alike. The pair is of one grid
  or, as most are, of two, and then warped. A small pair goes before, so that what is loaded once is not counted.
- The same as a share of processor time: what the model would have taken, of what the gateway's process took. On a
  crowded machine it says more; that a core stands idle it does not see.
- The most memory that the gateway had resident.
- With `--against REV` all of it for the gateway of another commit too, in turns with this one.
- Polygons per second, from a label map to GeoJSON, and megapixels per second of writing a Cloud-Optimised GeoTIFF.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
from maskgate_client import Client
from maskgate_client.scenes import draw_scene

from gateway.media.geo.cog import CogFile
from gateway.media.geo.vector_layers import feature_collection, region_layer
from gateway.repository.store import StoredModel, scan
from gateway.vision.streamed_regions import RegionStream
from gateway.vision.tiling import plan
from tests.load.bench import SHIPPED, WORKERS
from tests.load.beside import against_option, commits
from tests.load.record import record, record_option
from tests.support.geotiffs import grid
from tests.support.large import write_large
from tests.support.processes import gateway
from tests.support.trivial import PALETTE

MEGAPIXELS = (4, 16, 64)
LARGEST = 256
# Side of the pair that goes before.
SMALL = 700
# Tiles per round of the bare loop and thread: enough to be timed, and few beside a scene's.
ROUND = 6
BAND = 480


@dataclass(frozen=True)
class Result:
    """Figures of one size and the gateway of one commit."""

    commit: str
    megapixels: int
    warped: bool
    tiles: int
    bare_mp_per_second: float
    gateway_mp_per_second: float
    share: float
    processor_share: float
    peak_mib: int


def main() -> None:
    """Run the benchmark and print tables; keep the figures where `--record` says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--model", default="bd-lite0", help="one of the repository's damage models; that of the settings unless said"
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=MEGAPIXELS, metavar="MEGAPIXELS")
    parser.add_argument("--large", action="store_true", help=f"measure {LARGEST} megapixels too")
    against_option(parser)
    record_option(parser)
    options = parser.parse_args()
    model = scan(SHIPPED).models[options.model]
    sizes = [*options.sizes, *([LARGEST] if options.large else [])]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        roots = stack.enter_context(commits(options.against))
        results = [
            _measure(model, folder, size, warped, commit, root)
            for size in sizes
            for warped in (False, True)
            for commit, root in roots.items()
        ]
    parts = {"polygons_per_second": _polygons(), "cog_mp_per_second": _cog()}
    _print(options.model, results, parts)
    record(options.record, "scenes", {**parts, "results": [vars(result) for result in results]})


def _measure(model: StoredModel, folder: Path, megapixels: int, warped: bool, commit: str, root: Path) -> Result:
    side = round((megapixels * 1e6) ** 0.5)
    tiles = plan(side, side, model.card.tile, model.card.overlap).tiles
    pre, post = write_large(folder, side, side, warped=warped)
    settings = {"WORK_THREADS": str(WORKERS), "ENGINE_LANES": str(WORKERS), "MODELS_DAMAGE": model.name}
    bare = _BareLoop(model)
    with gateway(SHIPPED.resolve(), root, LOG_LEVEL="WARNING", **settings) as server, Client(server.address) as client:
        while not client.ready():
            time.sleep(0.2)
        client.damage_file(*write_large(folder, SMALL, SMALL, warped=True), "geotiff", model=model.name)
        before = bare.seconds_per_tile()
        start, busy = time.perf_counter(), _processor_seconds(server.process.pid)
        client.damage_file(pre, post, "geotiff", model=model.name)
        seconds, busy = time.perf_counter() - start, _processor_seconds(server.process.pid) - busy
        after = bare.seconds_per_tile()
        status = Path(f"/proc/{server.process.pid}/status").read_text()
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))
    alone, needed = (tiles * statistics.mean(times) for times in zip(before, after, strict=True))
    size = side * side / 1e6
    shares = alone / seconds, needed / busy
    return Result(commit, megapixels, warped, tiles, size / alone, size / seconds, *shares, peak // 1024)


def _processor_seconds(pid: int) -> float:
    """Return the processor time that a process has taken so far, all its threads together."""
    # The second field is a name in brackets, which may hold blanks; utime and stime are fields 14 and 15.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class _BareLoop:
    """Runs the model on tiles in memory, one core a thread, and nothing else."""

    def __init__(self, model: StoredModel) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = ort.InferenceSession(model.versions[model.newest], options, providers=["CPUExecutionProvider"])
        scene, card = draw_scene(1, model.card.tile), model.card
        images = {"pre": scene.pre, "post": scene.post}
        self._feed = {spec.name: images[spec.name][np.newaxis] for spec in card.inputs}
        self._run(1)

    def seconds_per_tile(self) -> tuple[float, float]:
        """Return the seconds that a tile takes while `WORKERS` threads run, by the clock and of a processor."""
        start, busy = time.perf_counter(), time.process_time()
        with ThreadPoolExecutor(WORKERS) as pool:
            list(pool.map(self._run, [ROUND] * WORKERS))
        tiles = ROUND * WORKERS
        return (time.perf_counter() - start) / tiles, (time.process_time() - busy) / tiles

    def _run(self, times: int) -> None:
        for _ in range(times):
            self._session.run(["probabilities"], self._feed)


def _labels() -> np.ndarray:
    """Return a label map of 16 megapixels, of drawn towns."""
    return np.tile(draw_scene(3, 1024).labels, (4, 4))


def _polygons() -> float:
    labels, stream = _labels(), RegionStream(25)
    where = grid(labels.shape[1], labels.shape[0])
    start = time.perf_counter()
    bands = (labels[y : y + BAND] for y in range(0, len(labels), BAND))
    found = [region for band in bands for region in stream.add(band, band)] + stream.finish()
    for _ in feature_collection(region_layer(found, where, ["", "no", "minor", "major", "destroyed"]), {}):
        pass
    return len(found) / (time.perf_counter() - start)


def _cog() -> float:
    labels = _labels()
    height, width = labels.shape
    start = time.perf_counter()
    with CogFile(width, height, np.array(PALETTE, np.uint8), grid(width, height)) as file:
        for y in range(0, height, BAND):
            file.write(labels[y : y + BAND])
        file.geotiff(["", "no", "minor", "major", "destroyed"], {})
    return labels.size / 1e6 / (time.perf_counter() - start)


def _print(model: str, results: list[Result], parts: dict[str, float]) -> None:
    print(f"\nScenes through {model}, {WORKERS} lanes of {os.cpu_count()} cores: GeoTIFFs in, a GeoTIFF out")
    print(
        f"{'commit':<12}{'megapixels':>10}{'grids':>8}{'tiles':>7}{'bare MP/s':>11}{'gateway MP/s':>14}{'share':>7}"
        f"{'processor':>11}{'peak MiB':>10}"
    )
    for one in results:
        grids = "two" if one.warped else "one"
        print(
            f"{one.commit:<12}{one.megapixels:>10}{grids:>8}{one.tiles:>7}{one.bare_mp_per_second:>11.2f}"
            f"{one.gateway_mp_per_second:>14.2f}{one.share:>7.2f}{one.processor_share:>11.2f}{one.peak_mib:>10}"
        )
    print(f"\nlabel map to GeoJSON: {parts['polygons_per_second']:,.0f} polygons per second")
    print(f"Cloud-Optimised GeoTIFF: {parts['cog_mp_per_second']:,.0f} megapixels per second")


if __name__ == "__main__":
    main()
