"""The shipped models of CT on a real Triton: the answers of the embedded engine, byte for byte."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable, Iterator
from functools import partial

import httpx
import nibabel
import numpy as np
import pytest

from export.parity.inputs import draw_slices
from tests.support.dicoms import ct, saved, zipped
from tests.support.pictures import decode, encode
from tests.support.places import ROOT
from tests.support.processes import GatewayProcess, gateway
from tests.support.triton import triton

pytestmark = pytest.mark.e2e
REPOSITORY = ROOT / "model_repository"
MODELS = ("cogseg", "ct-unet")
COUNT = 3
NIFTI, JSON, PNG = "application/x-nifti", "application/json", "image/png"


@pytest.fixture(scope="module", params=["true", "false"], ids=["shared-memory", "binary"])
def gateways(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[GatewayProcess, GatewayProcess]]:
    """Return a gateway with models in its own process, and one whose models Triton runs."""
    root = tmp_path_factory.mktemp("models")
    for name in MODELS:
        shutil.copytree(REPOSITORY / name, root / name)
    with triton(root, tmp_path_factory.mktemp("triton") / "log") as server:
        how = {"ENGINE_TRITON_URL": server.url, "ENGINE_TRITON_SHARED_MEMORY": request.param}
        with gateway(root) as ours, gateway(root, ENGINE_KIND="triton", **how) as theirs:
            yield ours, theirs


def volume(rows: int, columns: int) -> bytes:
    """Return drawn slices, cut to a size, as NIfTI."""
    slices = draw_slices("natural", COUNT, max(rows, columns))[:, :rows, :columns]
    # What could be a chest: NIfTI does not say that its values are Hounsfield units.
    slices[:, :8], slices[:, 8:16] = -800, 40
    data: bytes = nibabel.Nifti1Image(np.moveaxis(slices, 0, -1), np.diag([-0.7, -0.7, 2.5, 1])).to_bytes()
    return gzip.compress(data, 1)


def series() -> bytes:
    """Return drawn slices as a zipped series."""
    drawn = draw_slices("natural", COUNT, 300)
    return zipped(
        (str(n), saved(ct(each, position=(0, 0, 2.5 * n), instance=n + 1, intercept=0, signed=True)))
        for n, each in enumerate(drawn)
    )


def picture() -> bytes:
    """Return a drawn slice as a grey PNG."""
    (drawn,) = draw_slices("natural", 1, 512)
    return encode(np.clip((drawn + 1250) / 1500 * 255, 0, 255).astype(np.uint8))


INPUTS: dict[str, tuple[Callable[[], bytes], str]] = {
    # At the size of the model's label maps these are the answer; of others the probabilities come back and are decided.
    "volume of the model's size": (partial(volume, 512, 512), NIFTI),
    "volume of another": (partial(volume, 200, 310), NIFTI),
    "series": (series, NIFTI),
    "picture": (picture, PNG),
}


def ask(process: GatewayProcess, data: bytes, model: str, accept: str) -> httpx.Response:
    answer = httpx.post(
        f"{process.address}/v1/ct",
        params={"model": model},
        files={"image": data},
        headers={"Accept": accept},
        timeout=120,
    )
    assert answer.status_code == 200, answer.text
    return answer


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", INPUTS)
def test_label_maps_are_those_of_the_embedded_engine(
    gateways: tuple[GatewayProcess, GatewayProcess], name: str, model: str
) -> None:
    make, accept = INPUTS[name]
    data = make()
    one, other = (ask(process, data, model, accept).content for process in gateways)
    assert one == other
    labels = (
        decode(one) if accept == PNG else np.asanyarray(nibabel.Nifti1Image.from_bytes(gzip.decompress(one)).dataobj)
    )
    assert len(np.unique(labels)) > 1, "a model that finds nothing proves nothing"
    first, second = (ask(process, data, model, JSON).json() for process in gateways)
    assert (first["provenance"].pop("engine"), second["provenance"].pop("engine")) == ("embedded", "triton")
    assert first == second
