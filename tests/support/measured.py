"""What reading a hostile file costs, measured in a process of its own that may die of it.

Run as a module it reads files from its arguments, as (reader, path) pairs, and prints a JSON line for each.
"""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.errors import MaskgateError

# What a process of the size of these tests may have: a lie of 768 MB shows, and this machine must not
# suffer where it is.
_MOST = 3 << 30


@dataclass(frozen=True)
class Outcome:
    """What became of a file: its refusal's code, or `read`; seconds of processor; MiB beyond what was held."""

    code: str
    seconds: float
    growth: float


def read_apart(files: Mapping[str, tuple[str, bytes]], folder: Path) -> dict[str, Outcome]:
    """Return what becomes of each file, by its name, when `reader` of (reader, content) reads it in another process."""
    arguments = []
    for number, (reader, content) in enumerate(files.values()):
        path = folder / str(number)
        path.write_bytes(content)
        arguments += [reader, str(path)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.measured", *arguments], capture_output=True, text=True, timeout=300
    )
    lines = [Outcome(**json.loads(line)) for line in done.stdout.splitlines()]
    lines += [Outcome(f"died: {done.stderr[-300:]}", 0, 0)] * (len(files) - len(lines))
    return dict(zip(files, lines, strict=True))


def _readers() -> dict[str, Callable[[bytes], object]]:
    from gateway.media.geo.districts import DistrictLimits, read_districts
    from gateway.media.geo.footprints import FootprintLimits, read_footprints
    from gateway.media.geo.geotiff import open_geotiff
    from gateway.media.medical.archives import ArchiveLimits
    from gateway.media.medical.ct_files import CtLimits, read_ct_file
    from gateway.media.medical.radiographs import open_film
    from gateway.media.medical.slices import VolumeLimits
    from gateway.media.pictures.images import ImageLimits, decode, probe
    from gateway.settings import LimitSettings
    from gateway.vision.windowing import Window

    limits = LimitSettings()
    images = ImageLimits(limits.image_pixels, limits.image_side, 16)
    archive = ArchiveLimits(limits.series_files, limits.series_file_bytes, limits.series_bytes)
    ct = CtLimits(VolumeLimits(limits.slice_side, 16, limits.volume_slices), limits.volume_voxels, archive)

    def scene(data: bytes) -> None:
        raster = open_geotiff(data, ImageLimits(limits.scene_pixels, limits.scene_side, 16))
        try:
            raster.read(slice(0, 16), slice(0, 16))
        finally:
            raster.close()

    return {
        "picture": lambda data: decode(data, probe(data, images)),
        "scene": scene,
        "ct": lambda data: list(read_ct_file(data, ct, Window(-1000, 400)).slices()),
        "radiograph": lambda data: open_film(data, ImageLimits(36_000_000, 6000, 16)).decode(),
        "footprints": lambda data: read_footprints(
            data, FootprintLimits(limits.footprints, limits.footprint_bytes), 4096, 4096, None
        ),
        "districts": lambda data: read_districts(data, DistrictLimits(limits.districts, limits.district_bytes)),
    }


def _status(field: str) -> int:
    """Return a field of this process's status, in KiB."""
    found = re.search(rf"^{field}:\s+(\d+)", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(found[1]) if found else 0


def _measured(read: Callable[[bytes], object], data: bytes) -> Outcome:
    # The high-water mark begins anew.
    Path("/proc/self/clear_refs").write_text("5")
    before, start, code = _status("VmRSS"), time.process_time(), "read"
    try:
        read(data)
    except MaskgateError as error:
        code = error.code
    except Exception as error:
        code = type(error).__name__
    return Outcome(code, time.process_time() - start, (_status("VmHWM") - before) / 1024)


def main(arguments: list[str]) -> None:
    """Read each file twice: what is loaded for the first of a kind is not what a file costs."""
    resource.setrlimit(resource.RLIMIT_DATA, (_MOST, _MOST))
    readers = _readers()
    warm: set[str] = set()
    for reader, path in zip(arguments[::2], arguments[1::2], strict=True):
        data = Path(path).read_bytes()
        if reader not in warm:
            warm.add(reader)
            _warm_up(readers[reader], reader)
        print(json.dumps(vars(_measured(readers[reader], data))), flush=True)


def _warm_up(read: Callable[[bytes], object], reader: str) -> None:
    from tests.support import hostile
    from tests.support.dicoms import ct, film, ramp, saved

    sound: dict[str, Callable[[], bytes]] = {
        "picture": lambda: hostile.png(hostile.png_chunk(b"IDAT", hostile.grey_rows()), hostile.png_chunk(b"IEND")),
        "scene": lambda: hostile.tiff(hostile.tiff_picture(128), bytes(128 * 128)),
        "ct": lambda: saved(ct(BodyPartExamined="CHEST")),
        "radiograph": lambda: saved(film(ramp(64, 64) + 1000)),
        "districts": lambda: b'{"type": "FeatureCollection", "features": []}',
    }
    content: bytes = sound[reader]()
    _measured(read, content)


if __name__ == "__main__":
    main(sys.argv[1:])
