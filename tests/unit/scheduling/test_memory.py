from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio

from gateway.scheduling import memory

# Pages touched for the first time over 20 buffers of 3 MiB, in a thread as the workers are.
TOUCHED = """
import resource, sys, threading
import numpy as np
from gateway.scheduling.memory import keep_freed

def work():
    for _ in range(20):
        np.ones(3 << 20, np.uint8)
    seen.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)

if sys.argv[1] != "0" and not keep_freed(int(sys.argv[1])):
    sys.exit("other C library")
seen = []
for _ in range(2):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
print(seen[1] - seen[0])
"""


# Blocks of 24 MiB, each freed below a small one that is not.
LARGE = """
import sys
import numpy as np
from gateway.scheduling.memory import keep_freed

def resident():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmRSS")) // 1024

if sys.argv[1] == "told" and not keep_freed(64 << 20):
    sys.exit("other C library")
kept = []
for _ in range(12):
    large, small = np.ones(24 << 20, np.uint8), np.ones(100_000, np.uint8)
    kept.append(small)
    before = resident()
    del large
    freed = before - resident()
print(freed)
"""


def ran(code: str, argument: str) -> int:
    """Return the number that `code` prints in a process of its own."""
    return int(said(code, argument))


def said(code: str, argument: str) -> str:
    """Return what `code` prints in a process of its own."""
    process = subprocess.run([sys.executable, "-c", code, argument], capture_output=True, text=True, check=False)
    if "other C library" in process.stderr:
        pytest.skip("the C library is not glibc")
    return process.stdout


def test_large_blocks_are_given_back() -> None:
    assert ran(LARGE, "told") >= 23 > ran(LARGE, "not told")


def test_freed_memory_is_used_again() -> None:
    assert ran(TOUCHED, str(64 << 20)) < 1000 < ran(TOUCHED, "1")


@pytest.mark.parametrize("name", ["MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES"])
def test_the_environment_has_the_last_word(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "1")
    assert not memory.keep_freed(1 << 20)


def test_nothing_is_asked_for_nothing() -> None:
    assert not memory.keep_freed(0)


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.CDLL", lambda _: object())
    assert not memory.keep_freed(1 << 20)


# A decoder that is deceived, and what is read after it.
BOUND = """
import asyncio, sys
from functools import partial
import cv2, numpy as np
from gateway.errors import Overloaded
from gateway.scheduling.memory import bound_memory
from gateway.scheduling.threads import Threads
from gateway.scheduling.timeline import Timeline
from gateway.scheduling.workers import Workers

async def main():
    workers, refused = Workers(Threads("worker", 1)), 0
    small = np.zeros((64, 64), np.uint8)
    enlarge = partial(cv2.resize, small, (1 << 16, 1 << 16))
    for large in (partial(np.ones, 1 << 33, np.uint8), partial(bytes, 1 << 33), enlarge):
        try:
            await workers.run(Timeline(60), "decode", large)
        except Overloaded:
            refused += 1
        await workers.run(Timeline(60), "decode", cv2.resize, small, (128, 128))
    print(refused)

if bound_memory(int(sys.argv[1])) is None:
    sys.exit("other C library")
asyncio.run(main())
"""


def test_what_asks_for_more_than_the_bound_is_refused_and_the_process_goes_on() -> None:
    assert ran(BOUND, str(2 << 30)) == 3


# Pictures that OpenCV refuses by the same sign: for want of memory, and for what they are.
PICTURES = """
import asyncio, io, sys
import numpy as np
from PIL import Image
from gateway.errors import MaskgateError
from gateway.media.pictures.images import ImageLimits, decode, decode_deep, probe
from gateway.scheduling.memory import bound_memory
from gateway.scheduling.threads import Threads
from gateway.scheduling.timeline import Timeline
from gateway.scheduling.workers import Workers

def picture(side, form, mode="RGB", **options):
    file = io.BytesIO()
    Image.new(mode, (side, side), 7).save(file, form, **options)
    return file.getvalue()

async def main():
    workers, limits = Workers(Threads("worker", 1)), ImageLimits(1 << 30, 1 << 16, 1)
    for data in pictures:
        try:
            info = probe(data, limits)
            await workers.run(Timeline(60), "decode", decode_deep if info.depth == 16 else decode, data, info)
            print("decoded")
        except MaskgateError as error:
            print(error.code)

large = picture(6000, "JPEG", progressive=True), picture(6000, "PNG", "I;16"), picture(6000, "PNG", "P")
small = picture(64, "JPEG", progressive=True)
broken = bytearray(picture(64, "PNG"))
broken[broken.index(b"IDAT") + 6] ^= 255
pictures = [*large, small, broken]
(data,) = (line.split()[1] for line in open("/proc/self/status") if line.startswith("VmData"))
if bound_memory(int(data) * 1024 + int(sys.argv[1])) is None:
    sys.exit("other C library")
asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone bounds what a process may write")
def test_a_picture_that_there_is_no_memory_for_is_not_called_unreadable() -> None:
    found = said(PICTURES, str(64 << 20)).split()
    assert found == ["overloaded"] * 3 + ["decoded", "image-unreadable"]


# A TIFF of one tile, which GDAL holds whole.
RASTER = """
import asyncio, sys, warnings
import numpy as np
from gateway.errors import MaskgateError
from gateway.media.gdal import reading_raster
from gateway.scheduling.memory import bound_memory
from gateway.scheduling.threads import Threads
from gateway.scheduling.timeline import Timeline
from gateway.scheduling.workers import Workers

def written(side):
    from rasterio.io import MemoryFile
    form = dict(driver="GTiff", width=side, height=side, count=3, dtype="uint8", compress="deflate")
    with MemoryFile() as file:
        with file.open(**form, tiled=True, blockxsize=side, blockysize=side) as raster:
            raster.write(np.full((3, side, side), 7, np.uint8))
        return bytes(file.read())

def read(data):
    from rasterio.io import MemoryFile
    from rasterio.windows import Window
    with reading_raster("The raster cannot be read."), MemoryFile(data) as file, file.open() as raster:
        return raster.read(1, window=Window(0, 0, 64, 64))

async def main():
    workers = Workers(Threads("worker", 1))
    for data in rasters:
        try:
            await workers.run(Timeline(60), "decode", read, data)
            print("read")
        except MaskgateError as error:
            print(error.code)

warnings.simplefilter("ignore")
small, damaged = written(64), bytearray(written(256))
damaged[len(damaged) // 2 :] = bytes(len(damaged) - len(damaged) // 2)
rasters = [open(sys.argv[1], "rb").read(), small, bytes(damaged)]
read(small)
(data,) = (line.split()[1] for line in open("/proc/self/status") if line.startswith("VmData"))
if bound_memory(int(data) * 1024 + (48 << 20)) is None:
    sys.exit("other C library")
asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone bounds what a process may write")
def test_so_is_a_raster(tmp_path: Path) -> None:
    form = {"driver": "GTiff", "width": 6000, "height": 6000, "count": 3, "dtype": "uint8", "compress": "deflate"}
    tile = {"tiled": True, "blockxsize": 6000, "blockysize": 6000}
    path = tmp_path / "large.tif"
    with rasterio.open(path, "w", **form, **tile) as raster:
        raster.write(np.full((3, 6000, 6000), 7, np.uint8))
    assert said(RASTER, str(path)).split() == ["overloaded", "read", "image-unreadable"]


def test_the_bound_is_shared_out_and_follows_the_control_group(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bounds: list[tuple[int, int]] = []
    monkeypatch.setattr("resource.getrlimit", lambda _: (-1, resource.RLIM_INFINITY))
    monkeypatch.setattr("resource.setrlimit", lambda _, pair: bounds.append(pair))
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr(memory, "_CGROUPS", tmp_path)
    assert memory.bound_memory(None) is None
    (tmp_path / "memory.max").write_text("16000\n")
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("16000\n")
    assert memory.bound_memory(None) == 15_000
    assert memory.bound_memory(None, 3) == 5_000
    assert memory.bound_memory(900, 3) == 300
    assert memory.bound_memory(0) is None
    assert [soft for soft, _ in bounds] == [15_000, 5_000, 300]


# What is left under a bound, before and after 100 MB are taken.
LEFT = """
import resource
import numpy as np
from gateway.scheduling.memory import memory_left

seen = [memory_left()]
_, hard = resource.getrlimit(resource.RLIMIT_DATA)
resource.setrlimit(resource.RLIMIT_DATA, (4_000_000_000, hard))
seen.append(memory_left())
kept = np.ones(100_000_000, np.uint8)
seen.append(memory_left())
print(seen[0], seen[1], seen[1] - seen[2])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds what is allocated")
def test_what_is_left_is_told_where_memory_is_bound() -> None:
    without, left, taken = said(LEFT, "").split()
    assert without == "None"
    assert 2_000_000_000 < int(left) < 4_000_000_000
    assert 99_000_000 < int(taken) < 110_000_000
