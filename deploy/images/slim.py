"""Take out of an environment what serving never reads: `slim.py ENVIRONMENT`, run by that environment's Python.

Only the build of the image runs it. Nothing of what goes is imported by the gateway; the tests of the image see to it.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

_FOLDERS_WITHOUT_USE = (
    "*/tests",
    "*/*/tests",
    "*/*/*/tests",
    "numpy/_core/include",
    "numpy/f2py",
    "onnxruntime/tools",
    "onnxruntime/transformers",
    "onnxruntime/quantization",
    "pydicom/data/test_files",
    "_gdcm/XML",  # the standard as text, for tools that check files
    "watchfiles*",  # uvicorn's, for reloading,
    "websockets*",  # and for what the gateway has none of
)
_FILES_WITHOUT_USE = (
    "*.pyx",
    "*.pxd",
    "*.pyi",
    "*.c",
    "*.h",
    "*.a",
    "libonnxruntime.so.*",  # for programs in C; Python's module has all of it within itself
    "numpy/_core/_simd.*.so",  # this and the next for NumPy's own tests
    "numpy/_core/_*_tests.*.so",
    "PIL/_avif.*.so",  # of Pillow, pydicom decodes JPEG with it
    "PIL/_imagingcms.*.so",
    "PIL/_imagingft.*.so",
    "PIL/_imagingtk.*.so",
    "PIL/_webp.*.so",
)
_LARGE = 1 << 20
_OBJECTS = re.compile(
    r"segmentation|-sr$|^(legacy-converted-)?(enhanced-)?ct-image|radiography|x-ray-image|secondary-capture"
)
"""Kinds of DICOM objects, as highdicom names them, that the gateway reads or writes."""
_COPIED = ("Patient", "Study")
"""Entities whose attributes are copied from an object of any kind."""
_FFMPEG = re.compile(r"lib(avcodec|avdevice|avformat|avutil|swresample|swscale)\b.*")


def main(environment: Path) -> None:
    """Slim the environment, and say what each step has taken off."""
    packages = next((environment / "lib").glob("python3.*")) / "site-packages"
    size = _size(packages)
    for step in (_drop_files, _stub_ffmpeg, _drop_orphans, _strip, _link_twins, _prune_dicom, _compact_json):
        step(packages)
        print(f"{step.__name__[1:]:<13} {(size - _size(packages)) / 1e6:6.1f} MB")
        size = _size(packages)
    print(f"{'left':<13} {size / 1e6:6.1f} MB")


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in _files(folder))


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _drop_files(packages: Path) -> None:
    for pattern in _FOLDERS_WITHOUT_USE:
        for folder in packages.glob(pattern):
            shutil.rmtree(folder)
    for pattern in _FILES_WITHOUT_USE:
        for path in packages.rglob(pattern):
            path.unlink()


def _stub_ffmpeg(packages: Path) -> None:
    """Set empty libraries in FFmpeg's place: OpenCV links it for video, which nobody decodes.

    `OPENCV_VIDEOIO_PRIORITY_FFMPEG=0` keeps OpenCV from calling them. Most advisories about its wheel are FFmpeg's.
    """
    module = packages / "cv2" / "cv2.abi3.so"
    for name in sorted(_needed(module)):
        if _FFMPEG.fullmatch(name):
            _write_stub(packages / "opencv_python_headless.libs" / name, module)


def _drop_orphans(packages: Path) -> None:
    """Take out the libraries of wheels that no extension module needs any more."""
    for folder in packages.glob("*.libs"):
        waiting = [path for path in _files(packages) if ".so" in path.suffixes and path.parent != folder]
        kept: set[str] = set()
        while waiting:
            for name in _needed(waiting.pop()) - kept:
                if (folder / name).is_file():
                    kept.add(name)
                    waiting.append(folder / name)
        for path in folder.iterdir():
            if path.name not in kept:
                path.unlink()


def _needed(binary: Path) -> set[str]:
    told = subprocess.run(["readelf", "-dW", binary], capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"\(NEEDED\).*\[(.+)\]", told))


def _write_stub(library: Path, user: Path) -> None:
    """Replace a library by one that has of its symbols, in their versions, those that `user` links, at no address."""
    told = subprocess.run(["readelf", "--dyn-syms", "-W", library], capture_output=True, text=True, check=True).stdout
    versions = dict(re.findall(r" (\w+)@@(\w+)", told))
    told = subprocess.run(["readelf", "--dyn-syms", "-W", user], capture_output=True, text=True, check=True).stdout
    linked = sorted(set(re.findall(r" UND (\w+)@", told)) & versions.keys())
    nodes = {version: [name for name in linked if versions[name] == version] for version in versions.values()}
    with tempfile.TemporaryDirectory() as scratch:
        nothing, script = Path(scratch, "nothing.o"), Path(scratch, "versions")
        subprocess.run(["as", "-o", nothing, "/dev/null"], check=True)
        script.write_text("".join(f"{node} {{ global: {';'.join(names)}; }};\n" for node, names in nodes.items()))
        symbols = [f"--defsym={name}=1" for name in linked]
        library.unlink()
        subprocess.run(
            [
                "ld",
                "-shared",
                f"-soname={library.name}",
                f"--version-script={script}",
                *symbols,
                "-o",
                library,
                nothing,
            ],
            check=True,
        )


def _strip(packages: Path) -> None:
    """Take out symbols that debuggers alone read.

    auditwheel has moved segments of some libraries, and binutils set those where no system maps them: they stay whole.
    """
    for path in _files(packages):
        if ".so" in path.suffixes:
            stripped = path.with_name(path.name + ".stripped")
            subprocess.run(["strip", "--strip-unneeded", "-o", stripped, path], check=True)
            if _can_be_mapped(stripped):
                stripped.replace(path)
            else:
                stripped.unlink()


def _can_be_mapped(library: Path) -> bool:
    told = subprocess.run(["readelf", "-lW", library], capture_output=True, text=True, check=True).stdout
    loads = re.findall(r"LOAD +(0x\w+) (0x\w+) .* (0x\w+)$", told, re.MULTILINE)
    return bool(loads) and all((int(at, 16) - int(to, 16)) % int(align, 16) == 0 for at, to, align in loads)


def _link_twins(packages: Path) -> None:
    """Make symbolic links of equal libraries in one folder: wheels hold what were links as copies."""
    first: dict[tuple[Path, str], Path] = {}
    for path in sorted(_files(packages)):
        if ".so" in path.name and path.stat().st_size > 4096:
            twin = first.setdefault((path.parent, hashlib.sha256(path.read_bytes()).hexdigest()), path)
            if twin != path:
                path.unlink()
                path.symlink_to(twin.name)


def _prune_dicom(packages: Path) -> None:
    """Take out of highdicom's table of the standard the modules of objects that nobody reads or writes here."""
    standard = packages / "highdicom" / "_standard"
    uses = json.loads((standard / "iod_module_map.json").read_bytes())
    kept = {
        module["key"]
        for kind, modules in uses.items()
        for module in modules
        if _OBJECTS.search(kind) or module["ie"] in _COPIED
    }
    table = standard / "module_attribute_map.json"
    attributes = json.loads(table.read_bytes())
    table.write_text(json.dumps({name: attributes[name] for name in attributes if name in kept}), encoding="utf-8")


def _compact_json(packages: Path) -> None:
    for path in packages.rglob("*.json"):
        if path.stat().st_size > _LARGE:
            path.write_text(json.dumps(json.loads(path.read_bytes()), separators=(",", ":")), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
