"""Lay out the image's file system: `system.py ENVIRONMENT ROOT`, from the Debian packages that are installed here.

Of Debian there is what Python and the environment's libraries need; no shell, no package manager. What is in it stands
in `/opt/maskgate/sbom.cdx.json` (CycloneDX) and, for scanners, in `/var/lib/dpkg/status.d`.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import stat
import subprocess
import sys
import sysconfig
from importlib.metadata import Distribution, distributions
from pathlib import Path

_PYTHON = f"python{sysconfig.get_python_version()}"
_PACKAGES = (
    "base-files",
    "libbz2-1.0",
    "libc6",
    "libexpat1",
    "libffi8",
    "libgcc-s1",
    "liblzma5",
    "libsqlite3-0",
    "libssl3",
    "libstdc++6",
    "libuuid1",
    "zlib1g",
    f"{_PYTHON}-minimal",
    f"lib{_PYTHON}-minimal",
    f"lib{_PYTHON}-stdlib",
)
_WITHOUT_USE = (
    "/__pycache__/",
    "/ensurepip/",
    "/gconv/",
    "/idlelib/",
    "/lib2to3/",
    "/libmvec.so",
    "/pydoc_data/",
    "/turtle.py",
    "/usr/bin/pdb",
    "/usr/share/man/",
    f"/usr/lib/{_PYTHON}/test/",
)
_MERGED = ("bin", "lib", "lib64", "sbin")
_ACCOUNT = "maskgate", 10001


def main(environment: Path, root: Path) -> None:
    """Copy the packages' files and the environment, and write what describes them."""
    for name in _MERGED:
        (root / "usr" / name).mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(f"usr/{name}")
    for package in _PACKAGES:
        _copy_package(package, root)
    (root / "usr/bin/python3").symlink_to(_PYTHON)
    (root / "tmp").mkdir(exist_ok=True)
    (root / "tmp").chmod(0o1777)
    (root / "models").mkdir()
    (root / "etc/ssl/certs").mkdir(parents=True, exist_ok=True)
    shutil.copy("/etc/ssl/certs/ca-certificates.crt", root / "etc/ssl/certs")
    name, number = _ACCOUNT
    (root / "etc/passwd").write_text(f"root:x:0:0::/:\n{name}:x:{number}:{number}::/tmp:\n")
    (root / "etc/group").write_text(f"root:x:0:\n{name}:x:{number}:\n")
    shutil.copytree(environment, root / environment.relative_to("/"), symlinks=True)
    bill = root / environment.relative_to("/") / "sbom.cdx.json"
    bill.write_text(json.dumps(_bill_of_materials(environment), indent=1) + "\n")


def _told(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _copy_package(package: str, root: Path) -> None:
    for line in _told("dpkg", "-L", package).splitlines():
        path = Path(line)
        if any(part in line for part in _WITHOUT_USE) or not path.exists() or path.is_dir():
            continue
        if line.startswith("/usr/share/doc/") and path.name != "copyright":
            continue
        target = root / path.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if not os.path.lexists(target):
            shutil.copy2(path, target, follow_symlinks=False)
            if not target.is_symlink():
                target.chmod(target.stat().st_mode & ~(stat.S_ISUID | stat.S_ISGID))
    status = root / "var/lib/dpkg/status.d" / package
    status.parent.mkdir(parents=True, exist_ok=True)
    status.write_text(_told("dpkg", "-s", package))


def _bill_of_materials(environment: Path) -> dict[str, object]:
    """Return a CycloneDX document of the Debian packages and of the environment's distributions."""
    components = [_debian_component(package) for package in _PACKAGES]
    found = distributions(path=[str(path) for path in environment.glob("lib/python3.*/site-packages")])
    components += sorted((_python_component(each) for each in found), key=lambda component: str(component["name"]))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {"type": "container", "name": "maskgate"}},
        "components": components,
    }


def _debian_component(package: str) -> dict[str, object]:
    version, architecture = _told("dpkg-query", "-W", "-f", "${Version} ${Architecture}", package).split()
    release = platform.freedesktop_os_release()
    purl = f"pkg:deb/debian/{package}@{version}?arch={architecture}&distro=debian-{release['VERSION_ID']}"
    return {"type": "library", "name": package, "version": version, "purl": purl}


def _python_component(found: Distribution) -> dict[str, object]:
    name = found.metadata["Name"]
    component = {
        "type": "library",
        "name": name,
        "version": found.version,
        "purl": f"pkg:pypi/{name.lower().replace('_', '-')}@{found.version}",
    }
    licence = found.metadata["License-Expression"] or (found.metadata["License"] or "").partition("\n")[0].strip()
    return component | ({"licenses": [{"license": {"name": licence}}]} if licence else {})


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
