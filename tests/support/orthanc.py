"""Debian's Orthanc with its DICOMweb plug-in, on the loopback interface, in a folder that goes when it ends.

`python -m tests.support.orthanc --port 8042` (`make pacs`) loads a drawn series and runs until it is interrupted.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.support.cts import drawn_chest
from tests.support.dicoms import SERIES, STUDY, ct, saved
from tests.support.ports import free_port

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
USER, PASSWORD = "gateway", "drawn-not-secret"
_SECONDS = 60.0
_COUNT, _STEP = 12, 5.0


@dataclass(frozen=True)
class Orthanc:
    """A running archive.

    Attributes:
        dicomweb: base address of its DICOMweb services.
        process: the server.
    """

    dicomweb: str
    process: subprocess.Popen[bytes]

    @property
    def settings(self) -> dict[str, str]:
        """Settings of a gateway that reads from it, without their prefix."""
        return {"PACS_URL": self.dicomweb, "PACS_USER": USER, "PACS_PASSWORD": PASSWORD}


def program() -> str | None:
    """Return where the server is; None: it or its plug-in is not installed."""
    found = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin")
    return found if PLUGIN.is_file() else None


@contextmanager
def orthanc(port: int = 0) -> Iterator[Orthanc]:
    """Run an archive; skips where Orthanc is not installed. It asks for `USER` and `PASSWORD`.

    Args:
        port: of its HTTP server; 0: any that is free.
    """
    server = program()
    if server is None:
        pytest.skip("no Orthanc with DICOMweb: apt-get install orthanc orthanc-dicomweb")
    with tempfile.TemporaryDirectory() as folder:
        port = port or free_port()
        settings = {
            "Name": "drawn",
            "StorageDirectory": f"{folder}/store",
            "IndexDirectory": f"{folder}/store",
            "HttpPort": port,
            "HttpBindAddresses": ["127.0.0.1"],
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": True,
            "RegisteredUsers": {USER: PASSWORD},
            "DicomServerEnabled": False,
            "Plugins": [str(PLUGIN)],
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "Host": "127.0.0.1", "Ssl": False},
        }
        file = Path(folder, "orthanc.json")
        file.write_text(json.dumps(settings))
        with Path(folder, "log").open("wb") as log:
            process = subprocess.Popen([server, str(file)], stdout=log, stderr=log, start_new_session=True)
        try:
            archive = Orthanc(f"http://127.0.0.1:{port}/dicom-web", process)
            _wait(archive, Path(folder, "log"))
            yield archive
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()


def store(archive: Orthanc, files: Sequence[bytes]) -> None:
    """Store files through DICOMweb, by hand: what is tested is not what loads."""
    boundary = "drawn"
    parts = [b"--drawn\r\nContent-Type: application/dicom\r\n\r\n" + file + b"\r\n" for file in files]
    answer = httpx.post(
        f"{archive.dicomweb}/studies",
        content=b"".join([*parts, b"--drawn--\r\n"]),
        headers={
            "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
            "Accept": "application/dicom+json",
        },
        auth=(USER, PASSWORD),
        timeout=_SECONDS,
    )
    answer.raise_for_status()


def drawn_series(count: int = _COUNT, side: int = 256) -> list[bytes]:
    """Return the files of a chest drawn by code, with a patch of ground glass in a lung."""
    y, x = np.mgrid[:side, :side] / side
    files = []
    for number in range(count):
        pixels = np.repeat(np.repeat(drawn_chest(), side // 64, 0), side // 64, 1).astype(np.int16)
        size = 0.09 * np.sin(np.pi * (number + 1) / (count + 1))
        pixels[(x - 0.3) ** 2 + (y - 0.5) ** 2 < size**2] = -500
        slice_ = ct(
            pixels,
            position=(-160.0, -160.0, _STEP * number),
            spacing=(320 / side, 320 / side),
            instance=number + 1,
            BodyPartExamined="CHEST",
            SliceThickness=_STEP,
        )
        files.append(saved(slice_))
    return files


def _wait(archive: Orthanc, log: Path) -> None:
    deadline = time.monotonic() + _SECONDS
    while True:
        with suppress(httpx.HTTPError):
            if httpx.get(f"{archive.dicomweb}/studies", auth=(USER, PASSWORD)).status_code == 200:
                return
        if archive.process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("Orthanc did not start:\n" + log.read_text(errors="replace"))
        time.sleep(0.1)


def main() -> int:
    """Run an archive with a drawn series until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.orthanc", description=__doc__)
    parser.add_argument("--port", type=int, default=8042, help="of its HTTP server, on 127.0.0.1")
    options = parser.parse_args()
    if program() is None:
        print("Orthanc with DICOMweb is not installed: apt-get install orthanc orthanc-dicomweb", file=sys.stderr)
        return 1
    with orthanc(options.port) as archive:
        store(archive, drawn_series())
        environment = " ".join(f"MASKGATE_{name}={value}" for name, value in archive.settings.items())
        print(f"Orthanc answers at {archive.dicomweb}; a gateway reads from it with\n  {environment}")
        print(f"A drawn series is in it:\n  source=dicomweb&study={STUDY}&series={SERIES}", flush=True)
        with suppress(KeyboardInterrupt):
            archive.process.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
