"""Pairs of images: found by the names that public damage data sets give them, sent, and what comes back saved."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maskgate_client.client import Client
from maskgate_client.command import describe, save, text
from maskgate_client.errors import MaskgateError
from maskgate_client.progress import Tell
from maskgate_client.tasks.damage.answers import Align, SceneFile, SceneForm, Tta
from maskgate_client.tasks.damage.layers import PyogrioMissing, require_pyogrio, writable, write_layer

_AS_THEY_COME: Mapping[str, SceneFile] = {
    ".geojson": "geojson",
    ".tif": "geotiff",
    ".tiff": "geotiff",
    ".gpkg": "gpkg",
    ".fgb": "flatgeobuf",
    ".parquet": "geoparquet",
}
"""What is saved as the gateway answers, by the ending of the file; other endings are layers made of GeoJSON."""

_BESIDE: Mapping[SceneFile, Mapping[str, SceneForm]] = {
    "geotiff": {".qml": "geotiff_qml", ".sld": "geotiff_sld", "{}.aux.xml": "geotiff_aux"}
}
"""What GIS look for beside a file: in the place of its ending, or after its name."""

# Of files; folders may have dates and versions behind a dot.
_ENDING = re.compile(r"\.[A-Za-z][A-Za-z0-9]*")
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_NAME = re.compile(
    r"""(?P<name>.+_[0-9]{8}                       # xBD: <disaster>_<8 digits>
              |AOI[0-9]+-tile_[0-9]+-[0-9]+)       # Ida-BD
        _(?P<when>pre|post)_disaster\.(?i:png|jpe?g|tiff?)""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Pair:
    """Two images of one place; `name` is what their results are saved under."""

    name: str
    pre: Path
    post: Path


@dataclass(frozen=True)
class Stray:
    """An image that belongs to no pair, and why."""

    path: Path
    reason: str


def find_pairs(folder: Path) -> tuple[list[Pair], list[Stray]]:
    """Return the pairs in `folder` and its subfolder ``images``, by name, and the images left over.

    Files with other names are none of our business.

    Raises:
        OSError: the folder cannot be read.
    """
    groups: dict[str, dict[str, list[Path]]] = defaultdict(lambda: {"pre": [], "post": []})
    for place in (folder, folder / "images"):
        for path in sorted(place.iterdir()) if place.is_dir() else ():
            match = _NAME.fullmatch(path.name)
            if match and path.is_file():
                groups[match["name"]][match["when"]].append(path)
    pairs, strays = [], []
    for name, group in sorted(groups.items()):
        if len(group["pre"]) == len(group["post"]) == 1:
            pairs.append(Pair(name, group["pre"][0], group["post"][0]))
        else:
            lacking = " and ".join(f"{len(paths)} {when}" for when, paths in group.items() if len(paths) != 1)
            strays += [Stray(path, f"{name} has {lacking} images") for paths in group.values() for path in paths]
    return pairs, strays


def name_pair(pre: Path, post: Path) -> Pair:
    """Return the pair of two given files, named by the data set's pattern or else by the pre image."""
    match = _NAME.fullmatch(pre.name)
    return Pair(match["name"] if match else pre.stem, pre, post)


@dataclass(frozen=True)
class Outcome:
    """How one pair went: the files written and its buildings per class, or the error."""

    pair: Pair
    files: tuple[Path, ...] = ()
    buildings: dict[str, int] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    error: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the outcome as plain values, for one line of JSON."""
        if self.error:
            return {"name": self.pair.name, "error": self.error}
        return {
            "name": self.pair.name,
            "files": [str(path) for path in self.files],
            "buildings": self.buildings,
            "notices": list(self.notices),
        }


@dataclass(frozen=True)
class Sending:
    """How pairs are sent, and where their answers go.

    Attributes:
        client: of the gateway.
        out: folder for the answers, or of a single pair of scenes the file.
        model: None: the gateway's choice.
        version: None: the newest.
        ending: of the files that scenes are saved as, which are named after their pair.
        align: of scenes; None: the gateway's choice.
        districts: GeoJSON to count the buildings of scenes by.
        footprints: GeoJSON of buildings to be graded.
        output_crs: of formats that may be in any; None: WGS 84.
        uncertain_below: confidence below which buildings are uncertain; None: the gateway's choice.
        tta: whether models look at everything in a mirror too.
        declouded: whether clouds are taken off first.
        tiles: of the ``pre`` and the ``post`` image of a single pair, more than the first.
        dates: of the post image and its further tiles, in their order; none: they are of one date.
        rasters: of a single pair, ``elevation``, ``surface`` and ``landcover``, those that there are.
    """

    client: Client
    out: Path
    model: str | None = None
    version: int | None = None
    ending: str = ".geojson"
    align: Align | None = None
    districts: bytes | None = None
    footprints: bytes | None = None
    output_crs: str | None = None
    uncertain_below: float | None = None
    tta: Tta | None = None
    declouded: bool = False
    tiles: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    dates: tuple[str, ...] = ()
    rasters: Mapping[str, Path] = field(default_factory=dict)

    @property
    def one_file(self) -> bool:
        """Whether `out` is a file."""
        return names_file(self.out)

    def run(self, pair: Pair, progress: Tell | None = None) -> Outcome:
        """Save what is said of a pair: pictures and a report of two pictures, of GeoTIFFs what maps are made with.

        A pair that fails is an outcome with an error.
        """
        try:
            return self._scene(pair, progress) if self.one_file or _is_scene(pair) else self._pictures(pair)
        except (MaskgateError, OSError, PyogrioMissing) as error:
            return Outcome(pair, error=describe(error))

    def _pictures(self, pair: Pair) -> Outcome:
        report = self.client.damage_report(
            pair.pre,
            [pair.post, *self.tiles.get("post", ())],
            post_dates=self.dates,
            model=self.model,
            version=self.version,
            declouded=self.declouded,
            include=("label_map", "overlay"),
            **self.rasters,
        )
        contents = {
            self.out / f"{pair.name}_damage.png": report.pictures["label_map"],
            self.out / f"{pair.name}_overlay.png": report.pictures["overlay"],
            self.out / f"{pair.name}.json": text(report.document),
        }
        return Outcome(pair, save(contents), report.buildings(), report.notices)

    def _scene(self, pair: Pair, progress: Tell | None) -> Outcome:
        """Save what was found as a layer for maps, and beside it a small picture and the report."""
        target = self.out if self.one_file else self.out / f"{pair.name}{self.ending}"
        form = _AS_THEY_COME.get(target.suffix.lower(), "geojson")
        packed = target.suffix.lower() not in _AS_THEY_COME
        beside = _BESIDE.get(form, {})
        if packed:
            require_pyogrio()
        report = self.client.damage_scene(
            [pair.pre, *self.tiles.get("pre", ())],
            [pair.post, *self.tiles.get("post", ())],
            post_dates=self.dates,
            districts=self.districts,
            footprints=self.footprints,
            align=self.align,
            model=self.model,
            version=self.version,
            output_crs=self.output_crs,
            uncertain_below=self.uncertain_below,
            tta=self.tta,
            declouded=self.declouded,
            include=(form, "quicklook", *beside.values()),
            progress=progress,
            **self.rasters,
        )
        target.parent.mkdir(parents=True, exist_ok=True)
        if packed:
            write_layer(report.files[form], target)
        contents = {
            **({} if packed else {target: report.files[form]}),
            **{_beside(target, ending): report.files[each] for ending, each in beside.items()},
            target.with_name(f"{target.stem}_quicklook.png"): report.pictures["quicklook"],
            target.with_name(f"{target.stem}.json"): text(report.document),
        }
        files = save(contents)
        return Outcome(pair, (target, *files) if packed else files, report.counts(), report.notices)


def names_file(path: Path) -> bool:
    """Return whether a path is that of a file to be written, by its ending, and of no folder."""
    return bool(_ENDING.fullmatch(path.suffix)) and not path.is_dir()


def _beside(target: Path, ending: str) -> Path:
    return target.with_name(ending.format(target.name)) if "{}" in ending else target.with_suffix(ending)


def can_be_saved(path: Path) -> bool:
    """Return whether a scene can be saved as a file of this ending."""
    return path.suffix.lower() in _AS_THEY_COME or writable(path)


def _is_scene(pair: Pair) -> bool:
    """Return whether one of the images is TIFF, by its first bytes.

    Raises:
        OSError: one cannot be read.
    """

    def head(path: Path) -> bytes:
        with path.open("rb") as file:
            return file.read(4)

    return any(head(path) in _TIFF for path in (pair.pre, pair.post))
