"""The adapter of MONAI Label's protocol, asked by the plug-in's own client class, and as OHIF's panel asks."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import module_from_spec
from pathlib import Path
from typing import Any
from zipimport import zipimporter

import httpx
import nibabel
import nrrd
import numpy as np
import pytest
from maskgate_monai_label.app import Sessions
from maskgate_monai_label.services import Refused
from maskgate_monai_label.volumes import prompt_of

from tests.support.cts import (
    AIR,
    COLUMN,
    COLUMN_SPACING,
    GLASS,
    OBLIQUE,
    ORIGIN,
    ROW,
    ROW_SPACING,
    SIDE,
    STEP,
    TISSUE,
    marked,
)
from tests.support.dicoms import SERIES, STRAIGHT, ct, saved
from tests.support.orthanc import orthanc, store
from tests.support.places import ROOT
from tests.support.ports import free_port
from tests.support.processes import gateway
from tests.support.trivial_ct import write_trivial_ct
from tests.support.trivial_interactive import write_trivial_interactive

pytestmark = pytest.mark.e2e

AFFINE = np.array([[-0.7, 0, 0, 90.5], [0, -0.8, 0, 20.0], [0, 0, 2.5, -30.0], [0, 0, 0, 1]])
LABELS = {"ground-glass": 1, "consolidation": 2, "pleural effusion": 3}
COUNT, MARKED = 5, 3
ROI = [4, 60, 2, 58, 0, 0]

# The plug-in's client leaves files and connections open, and imports a module that is deprecated.
OF_THE_PLUGIN = pytest.mark.filterwarnings(
    "ignore:'cgi' is deprecated:DeprecationWarning",
    "ignore:unclosed:ResourceWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    write_trivial_ct(root)
    write_trivial_interactive(root)
    return root


@contextmanager
def adapter(gateway_address: str, folder: Path, *options: str, **environment: str) -> Iterator[str]:
    """Run the adapter on a free port; yields its address."""
    deadline = time.monotonic() + 60
    while httpx.get(f"{gateway_address}/readyz").status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    port = free_port()
    command = [sys.executable, "-m", "maskgate_monai_label", "--gateway", gateway_address, "--port", str(port)]
    paths = {"PYTHONPATH": os.pathsep.join(sys.path)}
    with (folder / "adapter.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, *options], env=os.environ | paths | environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        address = f"http://127.0.0.1:{port}"
        while True:
            with suppress(httpx.HTTPError):
                httpx.get(f"{address}/auth/")
                break
            assert process.poll() is None, (folder / "adapter.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield address
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="module")
def server(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("adapter")
    with gateway(models) as process, adapter(process.address, folder, "--labels", str(folder / "labels")) as address:
        yield address


@pytest.fixture(params=["", "/monai"])
def plugin(request: pytest.FixtureRequest, server: str, tmp_path: Path) -> Any:
    """Return the client of the plug-in for 3D Slicer."""
    if sys.version_info >= (3, 13):
        pytest.skip("MONAI Label's client imports cgi, which Python 3.13 has not")
    wheel = next((ROOT / ".venv" / "plugins").glob("monailabel-*.whl"), None)
    if wheel is None:
        pytest.skip("no plug-in of MONAI Label: make plugins")
    # The one module out of the wheel, which holds a server and tests besides.
    spec = zipimporter(f"{wheel}/monailabel/client").find_spec("client")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    client: Any = module
    return client.MONAILabelClient(server + request.param, str(tmp_path), "reader")


def volume(folder: Path) -> str:
    """Return the path of a NIfTI volume as 3D Slicer saves one."""
    file = folder / "chest.nii.gz"
    voxels = np.stack([half_tissue(number).T for number in range(COUNT)], axis=-1)
    nibabel.Nifti1Image(voxels, AFFINE).to_filename(file)
    return str(file)


def half_tissue(number: int) -> np.ndarray[Any, Any]:
    """Return a slice of tissue, whose lower half is air, the one of number `MARKED` with the mark."""
    pixels = marked(GLASS if number == MARKED else None)
    pixels[: SIDE // 2][pixels[: SIDE // 2] == AIR] = TISSUE
    return pixels


def in_the_pacs(orientation: Sequence[float] = STRAIGHT) -> list[bytes]:
    """Return the files of a series of such slices, from the last to the first."""
    normal = np.cross(orientation[:3], orientation[3:])
    files = [
        saved(
            ct(
                half_tissue(number),
                position=ORIGIN + number * STEP * normal,
                orientation=orientation,
                spacing=(ROW_SPACING, COLUMN_SPACING),
                instance=number + 1,
                BodyPartExamined="CHEST",
            )
        )
        for number in range(COUNT)
    ]
    return files[::-1]


@OF_THE_PLUGIN
def test_a_reader_in_3d_slicer_gets_lesions_and_objects(plugin: Any, tmp_path: Path) -> None:
    assert not plugin.auth_enabled()
    assert plugin.train_status(check_if_running=True) is False
    info = plugin.info()
    assert info["models"]["cogseg"]["type"] == "segmentation"
    assert info["models"]["cogseg"]["labels"] == LABELS
    assert info["models"]["click-lite0"]["type"] == "deepgrow"
    assert info["config"] == {}

    session = plugin.create_session(volume(tmp_path))["session_id"]
    assert plugin.get_session(session)["name"] == session
    asked = {"result_extension": ".nrrd", "result_dtype": "uint8"}
    file, params = plugin.infer("cogseg", "chest", dict(asked), session_id=session)
    assert params["label_names"] == LABELS
    assert "not a diagnosis" in params["notices"]
    labels, header = nrrd.read(file)
    where = np.argwhere(labels == 1)
    assert len(where) == 4
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = header["space directions"].T, header["space origin"]
    first = (affine @ [*where.min(0), 1])[:3]
    expected = np.diag([-1, -1, 1]) @ (AFFINE @ [COLUMN, ROW, MARKED, 1])[:3]
    assert first == pytest.approx(expected, abs=1e-4)

    clicked = {"label": "object", "foreground": [[30, 20, 2]], "background": [[2, 2, 2]], "slice": 2, **asked}
    file, params = plugin.infer("click-lite0", "chest", {**clicked, "roi": ROI}, session_id=session)
    found, header = nrrd.read(file)
    assert found.shape == (SIDE, SIDE, COUNT)
    assert found[30, 20, 2] == 1
    assert found.sum(axis=(0, 1)).nonzero()[0].tolist() == [2]
    assert found[:, SIDE // 2 + 1 :].sum() == 0  # air, beyond the pixel between that is interpolated
    assert header["space origin"] == pytest.approx([-90.5, -20.0, -30.0])
    plugin.infer("click-lite0", "chest", clicked, session_id=session)

    plugin.remove_session(session)
    with pytest.raises(plugin.infer.__globals__["MONAILabelClientException"]) as gone:
        plugin.get_session(session)
    assert gone.value.status_code == 404


@OF_THE_PLUGIN
def test_a_corrected_label_is_kept_and_comes_back(plugin: Any, tmp_path: Path) -> None:
    label = tmp_path / "label.nrrd"
    nrrd.write(str(label), np.ones((2, 2, 2), np.uint8))
    plugin.save_label("../chest 1", str(label), params={"label_info": []})
    assert Path(plugin.download_label("../chest 1", "final")).read_bytes() == label.read_bytes()


@pytest.mark.parametrize(
    ("model", "params", "status"),
    [
        ("cogseg", {"result_extension": ".mha"}, 422),
        ("nobody", {}, 404),
        ("click-lite0", {"foreground": [], "background": []}, 422),
        ("click-lite0", {"foreground": [[3, 3, 99]]}, 422),
    ],
)
def test_what_cannot_be_answered_says_why(
    server: str, tmp_path: Path, model: str, params: dict[str, Any], status: int
) -> None:
    with Path(volume(tmp_path)).open("rb") as image:
        answer = httpx.post(
            f"{server}/infer/{model}", files={"file": ("c.nii.gz", image)}, data={"params": json.dumps(params)}
        )
    assert answer.status_code == status
    assert answer.json()["detail"].endswith(".")


def test_the_gateways_refusals_are_passed_on(server: str) -> None:
    answer = httpx.post(f"{server}/infer/cogseg", files={"file": ("c.nii.gz", b"none")}, data={"params": "{}"})
    assert answer.status_code == 415
    assert "this is none of them" in answer.json()["detail"]
    assert httpx.post(f"{server}/infer/cogseg?image=1.2.3", data={"params": "{}"}).status_code == 404


def test_a_reader_in_ohif_gets_the_series_of_the_pacs(models: Path, tmp_path: Path) -> None:
    """OHIF's panel takes the voxels as they lie in its own volume: columns, rows, slices along the normal."""
    with orthanc() as archive, gateway(models, **archive.settings) as process:
        store(archive, in_the_pacs())
        account = {f"MASKGATE_{name}": value for name, value in archive.settings.items()}
        page = "https://viewer.example"
        with (
            adapter(process.address, tmp_path, "--origin", page, **account) as address,
            httpx.Client(base_url=address, timeout=120, headers={"Origin": page}) as panel,
        ):
            listed = panel.get("/datastore/?output=all")
            assert listed.headers["Access-Control-Allow-Origin"] == page
            assert list(listed.json()["objects"]) == [SERIES]
            assert panel.get("/info/").json()["datastore"] == {"total": 1, "completed": 0}

            def infer(model: str, **params: Any) -> np.ndarray[Any, Any]:
                asked = {"result_extension": ".nrrd", "result_dtype": "uint8", "result_compress": False}
                form = {"params": json.dumps({**asked, **params})}
                answer = panel.post(
                    f"/infer/{model}", params={"image": SERIES, "output": "image"}, files=None, data=form
                )
                assert answer.status_code == 200, answer.text
                head, voxels = answer.content.split(b"\n\n", 1)
                assert b"encoding: raw" in head
                return np.frombuffer(voxels, np.uint8).reshape(SIDE, SIDE, COUNT, order="F")

            lesions = infer("cogseg")
            assert np.argwhere(lesions == 1).min(0).tolist() == [COLUMN, ROW, MARKED]
            assert np.count_nonzero(lesions == 1) == 4
            clicked = infer("click-lite0", foreground=[[30, 20, 1]], background=[], roi=ROI)
            assert clicked[30, 20, 1] == 1
            assert clicked.sum(axis=(0, 1)).nonzero()[0].tolist() == [1]


def test_places_of_a_series_are_those_of_its_slices(models: Path, tmp_path: Path) -> None:
    with orthanc() as archive, gateway(models, **archive.settings) as process:
        store(archive, in_the_pacs(OBLIQUE))
        account = {f"MASKGATE_{name}": value for name, value in archive.settings.items()}
        with adapter(process.address, tmp_path, **account) as address:
            headers = []
            for model, params in (("cogseg", {}), ("click-lite0", {"foreground": [[30, 20, 1]], "background": []})):
                answer = httpx.post(
                    f"{address}/infer/{model}",
                    params={"image": SERIES, "output": "image"},
                    data={"params": json.dumps(params)},
                    timeout=120,
                )
                file = tmp_path / "labels.nrrd"
                file.write_bytes(answer.content)
                headers.append(nrrd.read(str(file))[1])
    for key in ("space directions", "space origin"):
        assert headers[1][key] == pytest.approx(headers[0][key], abs=1e-4)
    steps = np.linalg.norm(headers[0]["space directions"], axis=1)
    assert steps == pytest.approx([COLUMN_SPACING, ROW_SPACING, STEP])


def test_results_may_be_nifti(server: str, tmp_path: Path) -> None:
    with Path(volume(tmp_path)).open("rb") as image:
        answer = httpx.post(
            f"{server}/infer/cogseg?output=image",
            files={"file": ("c.nii.gz", image)},
            data={"params": json.dumps({"result_extension": ".nii.gz"})},
            timeout=60,
        )
    labels = nibabel.Nifti1Image.from_bytes(gzip.decompress(answer.content))
    assert np.argwhere(np.asarray(labels.dataobj) == 1).min(0).tolist() == [COLUMN, ROW, MARKED]


def test_clicks_without_a_box_get_one_around_them() -> None:
    prompt, number = prompt_of(
        {"foreground": [[1, 2, 7], [30, 20, 4], [40, 10, 4]], "background": [[9, 9, 7]]}, 60, 120
    )
    assert number == 4
    assert json.loads(prompt) == {"box": [20, 0, 50, 30], "positive": [[30, 20], [40, 10]], "negative": []}


def test_sessions_end_with_time_and_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = Sessions(most=10, seconds=60)
    first, second = sessions.add(b"12345"), sessions.add(b"67890")
    assert sessions.image(first) == b"12345"
    third = sessions.add(b"abc")  # the one not used for longest goes
    with pytest.raises(Refused):
        sessions.image(second)
    later = time.monotonic() + 61
    monkeypatch.setattr(time, "monotonic", lambda: later)
    for name in (first, third):
        with pytest.raises(Refused):
            sessions.image(name)
    with pytest.raises(Refused):
        sessions.add(b"x" * 11)
