"""What an installation has, and what type checkers and `help` see of the clients."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path
from typing import Any, assert_type

import maskgate_client
import pytest
from maskgate_client import (
    AsyncClient,
    AsyncSession,
    Client,
    CtReport,
    DamageMap,
    DamageReport,
    FilmReport,
    MaskReport,
    ModelStatus,
    ObjectMask,
    Prompt,
    SceneReport,
    Session,
    WasteReport,
)

from tests.support.places import ROOT

PROJECT = ROOT / "clients" / "python"
PHOTO = b"\x89PNG"


def test_a_wheel_has_types_readme_and_whom_to_ask(tmp_path: Path) -> None:
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    (path,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        told = Parser().parsestr(wheel.read(metadata).decode())
    modules = {str(file.relative_to(PROJECT / "src")) for file in (PROJECT / "src").rglob("*.py")}
    assert modules | {"maskgate_client/py.typed"} <= set(names)
    assert told["Description-Content-Type"] == "text/markdown"
    assert "maskgate segment" in str(told.get_payload())
    assert "Typing :: Typed" in (told.get_all("Classifier") or [])
    assert told.get_all("Project-URL")
    assert told["Version"] == maskgate_client.__version__


@pytest.mark.parametrize("kind", [Client, AsyncClient, Session, AsyncSession])
def test_every_method_says_what_it_does_and_takes(kind: type) -> None:
    for name, method in inspect.getmembers(kind, inspect.isfunction):
        if name.startswith("_"):
            continue
        signature = inspect.signature(method)
        assert method.__name__ == name
        assert method.__doc__, name
        assert "args" not in signature.parameters, name
        assert next(iter(signature.parameters)) == "self"
        assert "Call" not in str(signature.return_annotation), name


def test_type_checkers_see_through_the_methods(gateway: Any) -> None:
    with Client(transport=gateway.transport) as client:
        assert_type(client.damage(PHOTO, PHOTO), DamageMap)
        assert_type(client.damage_report(PHOTO, post=PHOTO, include=["overlay"]), DamageReport)
        assert_type(client.damage_scene(b"II*\0", b"II*\0", align="off"), SceneReport)
        assert_type(client.ct(PHOTO, include=["nifti"]), CtReport)
        assert_type(client.radiograph(PHOTO, threshold=0.3), FilmReport)
        assert_type(client.waste(PHOTO, min_area=3), WasteReport)
        assert_type(client.segment(PHOTO, Prompt(box=(0, 0, 1, 1)), Prompt(positive=[(1, 1)])), MaskReport)
        assert_type(client.models(), tuple[ModelStatus, ...])
        with client.interactive(PHOTO, threshold=0.3) as session:
            assert_type(session, Session)
            assert_type(session.click(1, 1, positive=False), ObjectMask)
            assert_type(session.undo(), ObjectMask | None)
    with pytest.raises(TypeError, match="colour"):
        client.waste(PHOTO, colour=3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="post"):
        client.damage(PHOTO)  # type: ignore[call-arg]
    asyncio.run(_awaited(gateway))


async def _awaited(gateway: Any) -> None:
    async with AsyncClient(transport=gateway.transport) as client:
        assert_type(await client.damage(PHOTO, PHOTO), DamageMap)
        assert_type(await client.waste(PHOTO, include=["label_map"]), WasteReport)
        async with client.interactive(PHOTO) as session:
            assert_type(session, AsyncSession)
            assert_type(await session.box(0, 0, 1, 1), ObjectMask)
