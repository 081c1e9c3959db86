"""Images and containers without a daemon: buildah and podman as Debian has them, with a store of their own.

Works as root inside a container too: builds are isolated by chroot, control groups are written to without systemd.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.places import ROOT

BASE = "localhost/debian:bookworm"
_PROGRAMS = ("buildah", "podman", "runc", "mmdebstrap")
_BASE_PACKAGES = ("python3", "python3-venv", "ca-certificates", "binutils", "redis-server")
_CONTAINERS_CONF = """
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""
# What this machine reaches package sources by goes into builds as it is, and stays out of the image.
_SOURCES = ("/etc/ssl/certs", "/etc/pip.conf")


@dataclass(frozen=True)
class Containers:
    """A store of images, and what runs from it."""

    folder: Path

    @classmethod
    def at_hand(cls) -> Containers:
        """Return the store, which later runs find again; skip the test where images cannot be built."""
        if missing := [program for program in _PROGRAMS if shutil.which(program) is None]:
            pytest.skip(f"{', '.join(missing)} not installed (Debian: apt-get install {' '.join(_PROGRAMS)})")
        if os.geteuid() != 0:
            pytest.skip("images are built here by root alone")
        folder = Path(os.environ.get("MASKGATE_TEST_CONTAINERS", ROOT / ".cache" / "containers"))
        folder.mkdir(parents=True, exist_ok=True)
        # What runs is noted elsewhere, for each store by itself, and under a short name: conmon's sockets lie below it.
        store = hashlib.sha256(os.fsencode(folder)).hexdigest()[:8]
        running = Path(tempfile.gettempdir()) / f"maskgate-{store}"
        (folder / "containers.conf").write_text(f'{_CONTAINERS_CONF}tmp_dir = "{running}/libpod"\n')
        storage = f'[storage]\ndriver = "overlay"\ngraphroot = "{folder}/store"\nrunroot = "{running}"\n'
        (folder / "storage.conf").write_text(storage)
        return cls(folder)

    @property
    def environment(self) -> dict[str, str]:
        """What podman, buildah and podman-compose need to find the store."""
        return os.environ | {
            "CONTAINERS_CONF": str(self.folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(self.folder / "storage.conf"),
        }

    def podman(self, *arguments: str | Path, timeout: float = 120) -> str:
        """Run podman and return what it prints; raises RuntimeError, with what it says, where it fails."""
        return self.run("podman", *arguments, timeout=timeout)

    def state(self, name: str) -> dict[str, Any]:
        """Return a container's state as podman has it: `Running`, `ExitCode`, `Pid` and more."""
        (seen,) = json.loads(self.podman("inspect", "--type=container", name))
        found: dict[str, Any] = seen["State"]
        return found

    def logs(self, name: str) -> str:
        """Return what a container has written to either stream."""
        command = ["podman", "logs", "--tail=60", name]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60)
        return done.stdout + done.stderr

    def wait_until_ready(self, name: str, address: str, seconds: float = 120) -> None:
        """Wait until a gateway in a container is ready; AssertionError, with its log, where it is not."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.state(name)["Running"]:
            try:
                if httpx.get(f"{address}/readyz", timeout=5).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.2)
        raise AssertionError(f"{self.state(name)}\n{self.logs(name)}")

    def run(self, *command: str | Path, timeout: float, folder: Path = ROOT, **variables: str) -> str:
        """Run a program that knows the store; raises RuntimeError, with the end of what it says, where it fails."""
        # Containers outlive the program, so its output is no pipe, which they would hold open.
        with tempfile.TemporaryFile("w+") as told, tempfile.TemporaryFile("w+") as complaints:
            done = subprocess.run(
                command,
                cwd=folder,
                env=self.environment | variables,
                stdin=subprocess.DEVNULL,
                stdout=told,
                stderr=complaints,
                timeout=timeout,
            )
            told.seek(0)
            complaints.seek(0)
            text, more = told.read(), complaints.read()
        if done.returncode:
            said = f"{text[-4000:]}\n{more[-4000:]}"
            raise RuntimeError(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{said}")
        return text

    def base(self) -> str:
        """Return the name of a Debian with what builds and stand-ins need, made if it is not there."""
        if not self.podman("images", "-q", BASE).strip():
            packages = self.folder / "base.tar"
            if not packages.is_file():
                making = packages.with_suffix(".part")
                self.run(
                    "mmdebstrap",
                    "--variant=minbase",
                    f"--include={','.join(_BASE_PACKAGES)}",
                    "--format=tar",
                    "bookworm",
                    making,
                    timeout=600,
                )
                making.rename(packages)
            self.podman("import", packages, BASE, timeout=300)
            packages.unlink()
        return BASE

    def skip_where_none_runs(self) -> None:
        """Skip the test where the system lets no bare Debian run, or none can be had: nothing of ours is in it."""
        try:
            self.podman("run", "--rm", "--network=none", self.base(), "/bin/true", timeout=180)
        except (RuntimeError, subprocess.TimeoutExpired) as refusal:
            pytest.skip(f"no container runs here: {str(refusal).strip().splitlines()[-1]}")

    def build(self, name: str, context: Path, dockerfile: Path, *options: str) -> str:
        """Build an image upon the base, and return its name."""
        mounts = [f"--volume={path}:{path}:ro" for path in _SOURCES if Path(path).exists()]
        self.run(
            "buildah",
            "bud",
            "--isolation=chroot",
            "--network=host",
            "--pull-never",
            "--layers",
            "--format=docker",
            f"--build-arg=BASE={self.base()}",
            *mounts,
            *options,
            f"--file={dockerfile}",
            f"--tag={name}",
            context,
            timeout=900,
        )
        return name

    @contextmanager
    def container(self, image: str, options: Sequence[str], command: Sequence[str] = ()) -> Iterator[str]:
        """Run a container in the background, and remove it when the context ends."""
        name = self.podman("run", "--detach", "--no-healthcheck", *options, image, *command).splitlines()[-1]
        try:
            yield name
        finally:
            self.podman("rm", "--force", "--time=5", "--volumes", name)
