"""Fetch the console's libraries, and the tools of its tests, and hold each file to the hash that the lock has of it.

python clients/console/vendor.py            fetch what the lock names into `web/vendor`; `make console-vendor`
python clients/console/vendor.py --relock   write the hashes anew, after a version in the lock was changed

It needs npm, by whose registry the packages come. Serving needs neither: what is fetched is kept in the tree.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
LOCK = HERE / "vendor.lock.json"
VENDOR = HERE / "web" / "vendor"
TOOLS = HERE.parents[1] / ".cache" / "console-tools"
"""Where tools of the tests are kept, which the console itself does not need."""


class WrongHash(Exception):
    """A file is not the one that the lock names."""


@dataclass
class Package:
    """One package of the lock.

    Attributes:
        name: as npm has it.
        version: the one that is taken.
        use: "console" for what is served, "tests" for tools.
        files: path in the package → SHA-256; of tools the whole tarball has one, under ``*``.
    """

    name: str
    version: str
    use: str
    files: dict[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Where its files lie; the version in the name lets browsers keep them for good."""
        return (VENDOR if self.use == "console" else TOOLS) / f"{self.name}-{self.version}"

    @property
    def is_there(self) -> bool:
        """Whether a tool was fetched before."""
        return (self.folder / ".whole").is_file()


def read_lock() -> list[Package]:
    """Return the packages that the lock names."""
    return [Package(**entry) for entry in json.loads(LOCK.read_text(encoding="utf-8"))["packages"]]


def digest(data: bytes) -> str:
    """Return a SHA-256 as the lock writes it."""
    return hashlib.sha256(data).hexdigest()


def fetch(package: Package, *, relock: bool = False) -> None:
    """Fetch a package into its folder.

    Raises:
        WrongHash: a file is not the one that the lock names; nothing is written then.
        OSError, subprocess.CalledProcessError: npm is not there, or cannot reach its registry.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise FileNotFoundError("npm is not there")
    with tempfile.TemporaryDirectory() as scratch:
        command = [npm, "pack", "--silent", "--pack-destination", scratch, f"{package.name}@{package.version}"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=300)  # noqa: S603 - names of our lock
        (archive,) = Path(scratch).glob("*.tgz")
        if package.use == "tests":
            _check(package, {"*": archive.read_bytes()}, relock=relock)
            _unpack(archive, package.folder)
            return
        with tarfile.open(archive) as opened:
            files = {name: _member(opened, name) for name in package.files}
        _check(package, files, relock=relock)
    shutil.rmtree(package.folder, ignore_errors=True)
    package.folder.mkdir(parents=True)
    for name, data in files.items():
        # A text without an extension is none that the gateway serves.
        target = package.folder / (f"{name}.txt" if "." not in Path(name).name else Path(name).name)
        target.write_bytes(data)


def _member(opened: tarfile.TarFile, name: str) -> bytes:
    found = opened.extractfile(f"package/{name}")
    if found is None:
        raise WrongHash(f"the package has no file {name}")
    return found.read()


def _check(package: Package, files: dict[str, bytes], *, relock: bool) -> None:
    for name, data in files.items():
        if relock:
            package.files[name] = digest(data)
        elif package.files[name] != digest(data):
            raise WrongHash(f"{package.name} {package.version}: {name} is not the file that the lock names")


def _unpack(archive: Path, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with tarfile.open(archive) as opened:
        opened.extractall(folder, filter="data")
    (folder / ".whole").touch()


def main(arguments: list[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--relock", action="store_true", help="write the hashes of the lock anew")
    relock = parser.parse_args(arguments).relock
    packages = read_lock()
    if VENDOR.is_dir() and not relock:
        shutil.rmtree(VENDOR)
    for package in packages:
        if package.use == "console" or relock:
            fetch(package, relock=relock)
            print(f"{package.name} {package.version}")
    if relock:
        entries: list[dict[str, Any]] = [vars(package) for package in packages]
        LOCK.write_text(json.dumps({"packages": entries}, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
