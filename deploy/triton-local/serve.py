"""Serve a model repository with the `tritonserver` of the wheel nvidia-pytriton; everything given is passed on to it.

The wheel has the server and its Python backend. This puts together a folder of backends in which `onnxruntime` and
`pytorch` are Python too, and becomes the server:

    .venv/triton/bin/python deploy/triton-local/serve.py --model-repository=model_repository
"""

from __future__ import annotations

import ctypes
import fcntl
import filecmp
import importlib.util
import os
import secrets
import shutil
import sys
import sysconfig
from contextlib import suppress
from pathlib import Path

HERE = Path(__file__).resolve().parent
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
MEMORY = Path("/dev/shm")  # noqa: S108 - where POSIX shared memory is, not a place for temporary files


def main() -> None:
    """Become the server, or say what it lacks."""
    site = _site()
    server = site / "pytriton" / "tritonserver"
    stub = server / "python_backend_stubs" / VERSION / "triton_python_backend_stub"
    if not stub.is_file():
        sys.exit(f"nvidia-pytriton has no Python backend for Python {VERSION}; 3.11 and 3.12 will do.")
    libraries = _libraries(site)
    command = [
        str(server / "bin" / "tritonserver"),
        f"--backend-directory={_assemble(server / 'backends' / 'python', stub)}",
        # It takes changes in when the gateway says so: polling would take in copies under way, too.
        "--model-control-mode=explicit",
        "--load-model=*",
        # A model that cannot be loaded stays unready; the others are served.
        "--exit-on-error=false",
        f"--backend-config=python,shm-region-prefix-name={_memory()}",
        *sys.argv[1:],
    ]
    # The Python backend starts `python3`; it has to be the one whose packages are installed here.
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    os.execve(command[0], command, os.environ | {"LD_LIBRARY_PATH": libraries, "PATH": path})  # noqa: S606


def _memory() -> str:
    """Return how the names of this server's shared memory begin, and remove what servers that died left of theirs.

    The Python backend tidies up after itself, but not when it is killed. A lock says whose memory is still in use: the
    server and all processes it starts inherit it, and it ends with the last of them.
    """
    for lock in MEMORY.glob("triton-local-*-lock"):
        with suppress(OSError), lock.open("rb+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for left in MEMORY.glob(f"{lock.name.removesuffix('lock')}*"):
                left.unlink()
    prefix = f"triton-local-{os.getpid()}-{secrets.token_hex(4)}-"
    own = os.open(MEMORY / f"{prefix}lock", os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    fcntl.flock(own, fcntl.LOCK_EX)
    if os.fstat(own).st_nlink == 0:
        sys.exit("Another server that is starting took this one's memory for a dead one's. Start it again.")
    os.set_inheritable(own, True)
    return prefix


def _site() -> Path:
    """Return the folder that nvidia-pytriton is installed in."""
    found = importlib.util.find_spec("pytriton")
    if found is None or found.origin is None:
        sys.exit("nvidia-pytriton is not installed in this environment; `make triton` does that.")
    return Path(found.origin).parents[1]


def _libraries(site: Path) -> str:
    """Return where the server finds its own libraries, and the Python backend the interpreter's."""
    folder = sysconfig.get_config_var("LIBDIR")
    name = f"libpython{VERSION}.so.1.0"
    try:
        ctypes.CDLL(str(Path(folder, name)) if Path(folder, name).is_file() else name)
    except OSError:
        sys.exit(f"The Python backend needs {name}. On Debian and Ubuntu: apt-get install libpython{VERSION}")
    given = os.environ.get("LD_LIBRARY_PATH", "")
    return os.pathsep.join(filter(None, (str(site / "nvidia_pytriton.libs"), folder, given)))


def _assemble(python: Path, stub: Path) -> Path:
    """Return a folder of backends: a copy of the wheel's `python`, with the stub of this Python in it, and ours.

    Copies, because Triton refuses a library whose link leads out of the folder. They lie in the environment and go with
    it. Files that are right are left alone, and others replaced as a whole: another server may be using them.
    """
    target = Path(sys.prefix, "backends")
    sources = {f"python/{file.name}": file for file in (*python.glob("*.*"), stub)}
    ours = HERE / "backends"
    for model in ours.glob("*/model.py"):
        sources |= {f"{model.parent.name}/{file.name}": file for file in (model, ours / "answer_in_time.py")}
    for name, source in sources.items():
        file = target / name
        if not (file.is_file() and filecmp.cmp(source, file, shallow=False)):
            file.parent.mkdir(parents=True, exist_ok=True)
            new = file.with_name(f"{file.name}.{os.getpid()}")
            shutil.copy(source, new)
            new.replace(file)
    return target


if __name__ == "__main__":
    main()
