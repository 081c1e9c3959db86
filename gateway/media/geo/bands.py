"""Which bands of a raster are red, green and blue, by what the file says of them, or the caller."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from gateway.errors import BandsUnsuitable, ParameterInvalid

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

UInt8 = npt.NDArray[np.uint8]
Colours = Literal["rgb", "grey", "white is zero", "palette"]

_WANTED = "three bands are needed that are red, green and blue, or a single grey one; `bands` says which"
_RGB = ("red", "green", "blue")
# Sentinel-2 numbers its bands with two digits, which no other maker does; its driver tells wavelengths.
_SENTINEL_2 = {"b04": "red", "b03": "green", "b02": "blue"}
_SENTINEL_2_DRIVER = {"b4": "red", "b3": "green", "b2": "blue"}
_LETTERS = {"r": "red", "g": "green", "b": "blue"}
# Words that make another band of a colour's: red edge, coastal blue, PlanetScope's green I, panchromatic.
_OTHERS = frozenset({"edge", "coastal", "i", "nir", "near", "infrared", "swir", "mask", "ndvi", "index", "ratio"})


@dataclass(frozen=True)
class Bands:
    """Which bands are looked at, and what their samples mean.

    Attributes:
        numbers: from 1: red, green and blue; one of grey or of a palette.
        colours: what their samples are.
        table: of a palette, uint8 (values, 3), RGB, by sample.
        bits: of a sample, where they are fewer than its type has; else 0.
        notices: what the caller should know.
    """

    numbers: tuple[int, ...]
    colours: Colours
    table: UInt8 | None = None
    bits: int = 0
    notices: tuple[str, ...] = ()


def choose_bands(dataset: DatasetReader, wanted: tuple[int, ...] | None, alpha: int | None) -> Bands:
    """Return the bands to be looked at.

    What the caller says goes first, then the descriptions of the bands, then the colours that the file declares.

    Args:
        dataset: the image.
        wanted: band numbers that the caller says; None: none.
        alpha: number of the band that says what was observed; None: there is none.

    Raises:
        BandsUnsuitable: it is not said which bands are red, green and blue, or they hold complex numbers.
        ParameterInvalid: the file has no band of a number in `wanted`.
    """
    colours = [colour.name for colour in dataset.colorinterp]
    found = _wanted(dataset.count, wanted) if wanted else _found(dataset, colours, alpha)
    # By name: GDAL has kinds, such as complex_int16, that numpy has none of.
    if any(dataset.dtypes[band - 1].startswith("complex") for band in found.numbers):
        raise BandsUnsuitable(f"The bands hold complex numbers; {_WANTED}.")
    unused = dataset.count - len(found.numbers) - (alpha is not None and alpha not in found.numbers)
    notices = (*found.notices, *([f"{unused} more bands are not used"] if unused else []))
    first = found.numbers[0]
    bits = int(dataset.tags(first, ns="IMAGE_STRUCTURE").get("NBITS", 0))
    if len(found.numbers) == 1 and colours[first - 1] == "palette":
        return Bands(found.numbers, "palette", _table(dataset, first), 0, notices)
    white = len(found.numbers) == 1 and dataset.tags(ns="IMAGE_STRUCTURE").get("MINISWHITE") == "YES"
    return Bands(found.numbers, "white is zero" if white else found.colours, None, bits if bits < 8 else 0, notices)


def named_colours(descriptions: Sequence[str | None]) -> tuple[int, ...] | None:
    """Return the numbers of the bands that their descriptions call red, green and blue; None where not one of each."""
    called = [_called(text) for text in descriptions]
    numbers = [[number for number, name in enumerate(called, 1) if name == colour] for colour in _RGB]
    return tuple(some[0] for some in numbers) if all(len(some) == 1 for some in numbers) else None


def _called(text: str | None) -> str | None:
    """Return the colour that a band's description names, if any."""
    words = [word for word in re.split(r"[^a-z0-9]+", (text or "").lower()) if word]
    if not words or _OTHERS & set(words):
        return None
    if words[0] in _SENTINEL_2:
        return _SENTINEL_2[words[0]]
    if words[0] in _SENTINEL_2_DRIVER and "wavelength" in words:
        return _SENTINEL_2_DRIVER[words[0]]
    if len(words) == 1 and words[0] in _LETTERS:
        return _LETTERS[words[0]]
    colours = [word for word in words if word in _RGB]
    return colours[0] if len(colours) == 1 else None


def _wanted(count: int, wanted: tuple[int, ...]) -> Bands:
    if max(wanted) > count:
        raise ParameterInvalid(f"The file has {count} bands, and `bands` names number {max(wanted)}.")
    return Bands(wanted, "rgb" if len(wanted) == 3 else "grey")


def _found(dataset: DatasetReader, colours: list[str], alpha: int | None) -> Bands:
    usable = [number for number in range(1, dataset.count + 1) if number != alpha]
    declared = [[number for number in usable if colours[number - 1] == colour] for colour in _RGB]
    by_colour = tuple(some[0] for some in declared) if all(len(some) == 1 for some in declared) else None
    by_name = named_colours(dataset.descriptions)
    if by_name is not None:
        named = f"bands {by_name[0]}, {by_name[1]} and {by_name[2]} are red, green and blue by their names"
        return Bands(by_name, "rgb", notices=(named,) if by_name != by_colour else ())
    if by_colour is not None:
        inks = dataset.tags(ns="IMAGE_STRUCTURE").get("SOURCE_COLOR_SPACE") == "CMYK"
        said = ("CMYK is brought to RGB without a colour profile",) if inks else ()
        return Bands(by_colour, "rgb", notices=said)
    if "cyan" in colours:
        raise BandsUnsuitable("The image is in inks, other than CMYK of 8 bits; store it as RGB.")
    if len(usable) == 1:
        indexed = colours[usable[0] - 1] == "palette"
        said = () if indexed else ("the one grey band is taken as red, green and blue",)
        return Bands((usable[0],), "grey", notices=said)
    if len(usable) in (3, 4):
        numbers = tuple(usable[:3])
        taken = f"bands {numbers[0]}, {numbers[1]} and {numbers[2]} are taken as red, green and blue"
        return Bands(numbers, "rgb", notices=(taken,))
    raise BandsUnsuitable(f"The image has {len(usable)} bands and does not say which are colours; {_WANTED}.")


def _table(dataset: DatasetReader, band: int) -> UInt8:
    """Return the colours of a palette; what it has no colour for is black."""
    table = np.zeros((1 << (8 * np.dtype(dataset.dtypes[band - 1]).itemsize), 3), np.uint8)
    for value, colour in dataset.colormap(band).items():
        table[value] = colour[:3]
    return table
