"""Find pairs of images by the names that public damage data sets give them."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

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
