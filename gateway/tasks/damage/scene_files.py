"""Pairs of scenes among the parts of a body, opened before a pixel of them is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from gateway.errors import GeographyMissing, PairMismatch, ParameterInvalid, PartProblem, ReferenceInvalid
from gateway.http.request_path import Job, Parts
from gateway.http.uploads import naming_part
from gateway.media.geo.districts import DistrictLayer, DistrictLimits, read_districts
from gateway.media.geo.georeference import GeoGrid
from gateway.media.geo.geotiff import GeoTiff, is_tiff, open_geotiff
from gateway.media.geo.ground_rasters import GroundFile
from gateway.media.geo.mosaics import Mosaic, cropped, fetch_under
from gateway.media.geo.parts import Part, in_box, part_of, reached, under
from gateway.media.geo.rasters import Raster
from gateway.media.geo.reading import AS_DECLARED, Box, Reading, parse_bands, parse_box, parse_crs, parse_nodata
from gateway.media.geo.sparse import SparseFile
from gateway.media.pictures.images import ImageLimits, probe
from gateway.settings import LimitSettings
from gateway.tasks.damage.inputs import PARTS, Referred, SceneHints, between_of, digest_of_pair, rasters_in, tiles_of
from gateway.tasks.damage.spec import DISTRICTS, FOOTPRINTS, LANDCOVER

_PARSERS: Mapping[str, Callable[[str], Any]] = {"bands": parse_bands, "nodata": parse_nodata, "crs": parse_crs}
Parted = Callable[[GeoGrid], Part] | None


def readings_of(hints: SceneHints) -> dict[str, Reading]:
    """Return how each image is to be read.

    Raises:
        ParameterInvalid: a value means nothing, or is of neither image.
    """
    readings = dict.fromkeys(PARTS, AS_DECLARED)
    for name, parse in _PARSERS.items():
        for value in getattr(hints, name):
            part, colon, text = value.partition(":")
            named = bool(colon) and part in PARTS
            try:
                parsed = parse(text if named else value)
            except ParameterInvalid as error:
                error.pointer = name
                raise
            for image in (part,) if named else PARTS:
                readings[image] = replace(readings[image], **{name: parsed})
    return readings


@dataclass(frozen=True)
class Opened:
    """The parts of a body before their pixels are read.

    Attributes:
        pre: a TIFF image, perhaps in tiles, or the part of it that is asked for; None: another picture.
        post: the same, whole.
        districts: None: none were sent.
        footprints: GeoJSON as it was sent; None: none was.
        digest: of all images as they were sent.
        between: by name, as `post`, the images of the dates between, the oldest first.
        rasters: by name, what is known of the ground.
    """

    pre: Raster | None
    post: GeoTiff | Mosaic | None
    districts: DistrictLayer | None
    footprints: memoryview | None
    digest: str
    between: Mapping[str, GeoTiff | Mosaic | None]
    rasters: Mapping[str, GroundFile]

    @property
    def after(self) -> Mapping[str, GeoTiff | Mosaic | None]:
        """The images after the disaster by name."""
        return {**self.between, "post": self.post}

    @property
    def images(self) -> Mapping[str, Raster | None]:
        """All images by name."""
        return {"pre": self.pre, **self.after}

    @property
    def plain(self) -> bool:
        """Whether all images are pictures, as `map_damage` takes them too."""
        return all(tiff is None for tiff in self.images.values())

    @property
    def on_earth(self) -> bool:
        """Whether all images say where on Earth they lie."""
        return all(tiff is not None and tiff.info.grid is not None for tiff in self.images.values())


async def open_parts(job: Job[Parts], held: ExitStack, hints: SceneHints, referred: Referred) -> Opened:
    """Open what is TIFF, and read the districts; what is opened is closed with `held`.

    Of files that are referred to what is going to be read is fetched. With a box files have as many pixels as their
    sides let them: what it has of each is bounded in their place.

    Args:
        job: the request.
        held: see there.
        hints: what the caller says of the files.
        referred: what `open_referred` returned.

    Raises:
        PairMismatch: one of the images has geography and the other has none.
        GeographyMissing: there are districts, or a box, and images without geography.
        ParameterInvalid: `hints` mean nothing, or are of images that are no TIFF.
        ImageTooLarge: an image, or with a box what that has of it.
        MaskgateError: as `open_geotiff` and `read_districts`, pointing at the part.
    """
    opener = _Opener(job, held, hints, referred)
    return await job.services.workers.run_to_end(job.timeline, "decode", opener.open_all)


class _Opener:
    """Opens the parts of one body, in a worker's thread; arguments and errors as those of `open_parts`."""

    def __init__(self, job: Job[Parts], held: ExitStack, hints: SceneHints, referred: Referred) -> None:
        limits = job.services.settings.limits
        self._job, self._body, self._held, self._hints, self._referred = job, job.body, held, hints, referred
        self._limits = limits
        self._readings = readings_of(hints)
        self._plain = not referred and not any(is_tiff(job.body[name]) for name in PARTS)
        self._box = _box_of(hints)
        self._sizes = ImageLimits(limits.scene_pixels, limits.scene_side, limits.image_side_minimum)
        bounded = self._box is not None
        self._files = replace(self._sizes, max_pixels=limits.scene_side**2) if bounded else self._sizes
        self._tiffs: list[GeoTiff] = []

    def open_all(self) -> Opened:
        digest = digest_of_pair(self._job, self._referred)
        districts = self._districts()
        pre = self._pre()
        asked = None if self._box is None or pre is None else pre.info.grid
        parted = None if asked is None else partial(_around, asked, self._sizes)
        between = {name: self._image(name, parted) for name in between_of(self._body)}
        post = self._image("post", parted)
        rasters = {name: self._raster(name) for name in rasters_in(self._body)}
        opened = Opened(pre, post, districts, self._body.get(FOOTPRINTS), digest, between, rasters)
        _check_geography(opened)
        if asked is not None:
            _check_parts(opened, asked, self._sizes)
        if self._referred and opened.on_earth and opened.pre is not None and opened.pre.info.grid is not None:
            fetch_under(self._tiffs, opened.pre.info.grid)
        return opened

    def _districts(self) -> DistrictLayer | None:
        if DISTRICTS not in self._body:
            return None
        with naming_part(DISTRICTS):
            most = DistrictLimits(self._limits.districts, self._limits.district_bytes)
            return read_districts(self._body[DISTRICTS], most, self._hints.district_name)

    def _pre(self) -> Raster | None:
        box, sizes = self._box, self._sizes
        if box is None:
            return self._image("pre")

        def inside(own: GeoGrid) -> Part:
            part = in_box(own, box)
            # Before any of it is decoded.
            _check_part(own, part, sizes)
            return part

        image = self._image("pre", inside)
        with naming_part("bbox"):
            if image is None:
                raise GeographyMissing("A picture lies nowhere on Earth, and a part of it is asked for by that.")
            return cropped(image, box, sizes)

    def _image(self, name: str, parted: Parted = None) -> GeoTiff | Mosaic | None:
        """Return an image, perhaps of several tiles, of which `parted` says what is asked for; None: a picture."""
        # What is said of the image after the disaster is so of those of all dates.
        reading = self._readings.get(name, self._readings["post"])
        tiles = [tile for part in tiles_of(self._body, name) for tile in self._tiles(part, reading, parted)]
        known = [tile for tile in tiles if tile is not None]
        if len(tiles) == 1 or not known:
            if len(tiles) > 1:
                raise PartProblem("Several tiles of one image are GeoTIFF; these are pictures.", pointer=f"/{name}")
            return tiles[0]
        with naming_part(name):
            if len(known) < len(tiles):
                raise PairMismatch("Some tiles are GeoTIFF and others are not.", pointer="")
            mosaic = Mosaic(known, self._files)
        self._held.callback(mosaic.close)
        return mosaic

    def _tiles(self, name: str, reading: Reading, parted: Parted) -> Sequence[GeoTiff | None]:
        """Return the files of one part: as many as it refers to, or itself; None in place of a picture."""
        if name in self._referred:
            elsewhere = [SparseFile(file) for file in self._referred[name]]
            for file in elsewhere:
                self._held.callback(file.close)
            return [self._tiff(name, file, reading, parted) for file in elsewhere]
        if not is_tiff(self._body[name]):
            # What is no image at all is to be told so, and not that it has no geography.
            with naming_part(name):
                probe(self._body[name], picture_limits(self._limits))
                if reading != AS_DECLARED and self._plain:
                    raise ParameterInvalid("Bands, nodata and crs are said of TIFF files; these are none.")
            return [None]
        tiff = self._tiff(name, self._body[name], reading, parted)
        # It has a copy of its own.
        del self._body[name]
        return [tiff]

    def _tiff(self, name: str, data: memoryview | SparseFile, reading: Reading, parted: Parted) -> GeoTiff:
        with naming_part(name):
            tiff = open_geotiff(data, self._files, reading, parted)
        self._held.callback(tiff.close)
        self._tiffs.append(tiff)
        return tiff

    def _raster(self, name: str) -> GroundFile:
        data: memoryview | SparseFile
        with naming_part(name):
            if name in self._referred:
                if len(self._referred[name]) > 1:
                    raise ReferenceInvalid("A raster is one file; put tiles of it together first.")
                data = SparseFile(self._referred[name][0])
                self._held.callback(data.close)
            else:
                data = self._body.pop(name)
            # Elevation may be known a few times over all of a scene.
            file = GroundFile(data, replace(self._files, min_side=1), classes=name == LANDCOVER)
        self._held.callback(file.close)
        return file


def _box_of(hints: SceneHints) -> Box | None:
    if hints.bbox is None:
        return None
    with naming_part("bbox"):
        return parse_box(hints.bbox)


def _check_geography(opened: Opened) -> None:
    images = opened.images
    lost = [name for name, tiff in images.items() if tiff is None or tiff.info.grid is None]
    if 0 < len(lost) < len(images):
        raise PairMismatch(
            f"The {lost[0]} image does not say where on Earth it lies, and the other does; both are to, or neither.",
            pointer=f"/{lost[0]}",
        )
    if lost and opened.districts is not None:
        raise GeographyMissing(
            "Districts lie on Earth, and the images do not say where they lie.", pointer=f"/{DISTRICTS}"
        )


def _check_parts(opened: Opened, asked: GeoGrid, limits: ImageLimits) -> None:
    """Refuse what the image before the disaster, of which the part `asked` is meant, covers of another file.

    Raises:
        ImageTooLarge: that has more pixels than `limits` has it.
    """
    grids = {name: image.info.grid for name, image in opened.after.items() if image is not None}
    grids |= {name: raster.grid for name, raster in opened.rasters.items()}
    for name, own in grids.items():
        if own is not None:
            with naming_part(name):
                _check_part(own, under(own, asked), limits)


def _around(asked: GeoGrid, limits: ImageLimits, own: GeoGrid) -> Part:
    """Return what may come to lie under the part `asked` of a file on the grid `own`; errors as `_check_parts`."""
    _check_part(own, under(own, asked), limits)
    return reached(own, asked)


def _check_part(own: GeoGrid, part: Part, limits: ImageLimits) -> None:
    grid = part_of(own, part)
    replace(limits, min_side=0).check(grid.width, grid.height, "What the box has of it")


def picture_limits(limits: LimitSettings) -> ImageLimits:
    """Return what sizes of pictures are served, which are held whole."""
    return ImageLimits(limits.image_pixels, limits.image_side, limits.image_side_minimum)
