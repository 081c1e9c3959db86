from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from gateway.media.geo.cog import NOT_OBSERVED
from gateway.tasks.damage.xbd import xview2_zip
from tests.support.geotiffs import gdal

DRAWN = np.random.default_rng(0).choice(np.array([0, 1, 2, 3, 4, NOT_OBSERVED], np.uint8), (300, 400))


def answer() -> bytes:
    return xview2_zip(400, 300, lambda: (DRAWN[y : y + 70] for y in range(0, 300, 70)), "hold", 17)


def test_the_pair_is_named_and_valued_as_the_contest_has_it() -> None:
    with zipfile.ZipFile(io.BytesIO(answer())) as archive:
        pictures = {name: Image.open(io.BytesIO(archive.read(name))) for name in archive.namelist()}
        assert archive.testzip() is None
    assert list(pictures) == ["hold_localization_00017_prediction.png", "hold_damage_00017_prediction.png"]
    localisation, damage = pictures.values()
    assert (localisation.mode, damage.mode) == ("L", "L")
    observed = np.where(DRAWN == NOT_OBSERVED, 0, DRAWN)
    assert (np.asarray(damage) == observed).all()
    assert (np.asarray(localisation) == (observed > 0)).all()


def test_one_answer_has_one_form() -> None:
    assert answer() == answer()


def test_gdals_own_tools_open_both(tmp_path: Path) -> None:
    file = tmp_path / "pair.zip"
    file.write_bytes(answer())
    for kind, most in (("localization", 1), ("damage", 4)):
        said = json.loads(gdal("gdalinfo", "-json", "-mm", f"/vsizip/{file}/hold_{kind}_00017_prediction.png"))
        assert (said["size"], said["bands"][0]["type"]) == ([400, 300], "Byte")
        assert (said["bands"][0]["computedMin"], said["bands"][0]["computedMax"]) == (0, most)
