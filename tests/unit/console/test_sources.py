"""The console's sources: their types hold, libraries are those of the lock, readers read what others write."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco

from clients.console.vendor import LOCK, VENDOR, Package, WrongHash, digest, fetch, main, read_lock
from tests.support.places import ROOT

CONSOLE = ROOT / "clients" / "console"


@pytest.fixture(scope="module")
def node() -> str:
    program = shutil.which("node")
    if program is None:
        pytest.skip("there is no Node here")
    return program


def tool(name: str) -> Path:
    """Return the folder of a tool of the lock, fetched where it is not there; skips where it cannot be had."""
    package = next(one for one in read_lock() if one.name == name)
    if not package.is_there:
        try:
            fetch(package)
        except (OSError, subprocess.SubprocessError) as error:
            pytest.skip(f"{name} cannot be fetched here: {type(error).__name__}")
    return package.folder / "package"


def test_types_hold(node: str) -> None:
    compiler = tool("typescript") / "lib" / "tsc.js"
    checked = subprocess.run(
        [node, compiler, "-p", CONSOLE / "jsconfig.json"], capture_output=True, text=True, check=False
    )
    assert checked.stdout == ""
    assert checked.returncode == 0


def test_libraries_are_those_of_the_lock() -> None:
    expected: dict[str, str] = {}
    for package in read_lock():
        for name, hashed in package.files.items():
            if package.use == "console":
                kept = f"{name}.txt" if "." not in Path(name).name else Path(name).name
                expected[f"{package.folder.name}/{kept}"] = hashed
    found = {str(path.relative_to(VENDOR)): digest(path.read_bytes()) for path in VENDOR.rglob("*") if path.is_file()}
    assert found == expected


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An npm that packs a package of one file."""
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "it.js").write_text("1")
    npm = tmp_path / "bin" / "npm"
    npm.parent.mkdir()
    looks_for = 'while [ "$1" != --pack-destination ]; do shift; done'
    npm.write_text(f'#!/bin/sh\n{looks_for}\ntar czf "$2/it-1.tgz" -C {tmp_path} package\n')
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{npm.parent}:/usr/bin:/bin")
    monkeypatch.setattr("clients.console.vendor.VENDOR", tmp_path / "vendor")
    monkeypatch.setattr("clients.console.vendor.LOCK", tmp_path / "lock.json")
    (tmp_path / "lock.json").write_text(json.dumps({"packages": [vars(Package("it", "1", "console", {"it.js": "?"}))]}))
    return tmp_path


def test_a_file_of_another_hash_is_refused(registry: Path) -> None:
    with pytest.raises(WrongHash, match="not the file that the lock names"):
        main([])
    assert not (registry / "vendor" / "it-1").exists()


def test_hashes_are_written_anew_on_purpose(registry: Path) -> None:
    main(["--relock"])
    assert read_lock()[0].files == {"it.js": digest(b"1")}
    main([])
    assert (registry / "vendor" / "it-1" / "it.js").read_text() == "1"
    assert registry != LOCK


def run(node: str, script: str, *arguments: str) -> Any:
    """Return what a module of the console's prints, as JSON."""
    command = [node, "--input-type=module", "-e", script, *arguments]
    ran = subprocess.run(command, cwd=CONSOLE / "web", capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


_BROWSER = """
globalThis.document = { baseURI: "http://host/console/", createElement: () => ({ getContext: () => null, style: {} }) };
globalThis.sessionStorage = { getItem: () => null };
"""


def test_run_lengths_are_read_as_coco_writes_them(node: str) -> None:
    rng = np.random.default_rng(5)
    masks = [rng.random((37, 53)) > share for share in (0.1, 0.5, 0.97)]
    masks += [np.zeros((20, 30), bool), np.ones((20, 30), bool)]
    written = [coco.encode(np.asfortranarray(mask.astype(np.uint8))) for mask in masks]
    told = [{"size": one["size"], "counts": one["counts"].decode()} for one in written]
    script = (
        _BROWSER
        + """
const { stamp } = await import("./interactive/masks.js");
const all = JSON.parse(process.argv[1]).map(rle => {
  const into = new Uint8Array(rle.size[0] * rle.size[1]);
  stamp({ rle }, into, 7);
  return [...into];
});
console.log(JSON.stringify(all));
"""
    )
    for mask, values in zip(masks, run(node, script, json.dumps(told)), strict=True):
        np.testing.assert_array_equal(np.array(values).reshape(mask.shape), np.where(mask, 7, 0))


def test_metrics_are_read_and_quantiles_estimated(node: str) -> None:
    text = """# HELP a_total it
a_total{route="/v1/\\\\"x",method="POST"} 3.0
a_total{route="y",method="GET"} 4
wait_seconds_bucket{le="0.1",lane="bulk"} 10
wait_seconds_bucket{le="1.0",lane="bulk"} 20
wait_seconds_bucket{le="+Inf",lane="bulk"} 20
"""
    script = (
        _BROWSER
        + """
const { parse, sum, quantile } = await import("./lib/metrics.js");
const samples = parse(process.argv[1]);
const waits = before => quantile(before, samples, "wait_seconds", 0.75);
const sums = [sum(samples, "a_total"), sum(samples, "a_total", { method: "GET" })];
console.log(JSON.stringify([...sums, waits([]), waits(samples)]));
"""
    )
    assert run(node, script, text) == [7, 4, 0.55, None]


def test_events_of_an_object_are_joined_as_a_session_joins_them(node: str) -> None:
    script = (
        _BROWSER
        + """
const { joined } = await import("./interactive/transport.js");
console.log(JSON.stringify(joined(JSON.parse(process.argv[1]))));
"""
    )
    events = [
        {"box": [0, 0, 5, 5]},
        {"positive": [[1, 2]]},
        {"box": [1, 1, 9, 9]},
        {"positive": [[3, 4]], "negative": [[5, 5]]},
        {"strokes": {"object": [[[1, 1], [2, 2]]], "background": [[[7, 7]]]}},
        {"strokes": {"object": [[[3, 3]]]}},
    ]
    assert run(node, script, json.dumps(events)) == {
        "box": [1, 1, 9, 9],
        "positive": [[1, 2], [3, 4]],
        "negative": [[5, 5]],
        "strokes": {"object": [[[1, 1], [2, 2]], [[3, 3]]], "background": [[[7, 7]]]},
    }
