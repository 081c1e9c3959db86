from __future__ import annotations

import runpy
import sys
from typing import Any

import pytest
from maskgate_client.cli import main


def test_models_are_listed_and_a_failed_one_shows(gateway: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"], transport=gateway.transport) == 1
    assert capsys.readouterr().out.splitlines() == [
        "name         task    version  state   reason",
        "bd-siamunet  damage        1  ready",
        "broken                        failed  no card.json",
    ]


def test_the_environment_names_the_gateway_and_the_option_wins(gateway: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASKGATE_URL", "http://from-environment:1")
    main(["models"], transport=gateway.transport)
    main(["models", "--url", "http://from-option:2"], transport=gateway.transport)
    assert [request.url.host for request in gateway.requests] == ["from-environment", "from-option"]


def test_the_environment_holds_the_key(gateway: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASKGATE_KEY", "secret-1\n")
    main(["models"], transport=gateway.transport)
    assert gateway.requests[0].headers["authorization"] == "Bearer secret-1"


def test_a_key_that_is_none_is_not_repeated(
    gateway: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MASKGATE_KEY", "half a secret")
    assert main(["models"], transport=gateway.transport) == 2
    said = capsys.readouterr().err
    assert "MASKGATE_KEY" in said
    assert "secret" not in said
    assert not gateway.requests


@pytest.mark.parametrize(
    "arguments",
    [
        ["segment"],
        ["segment", "x.png", "--box", "1,2,3"],
        ["segment", "x.png", "--box", "1,2,3,4,5,6"],
        ["segment", "x.png", "--click", "1,2,3,4"],
        ["segment", "x.png", "--click", "nan,1"],
        ["segment", "x.png", "--not", "here"],
        ["segment", "x.png", "--polygon", "1,1,2,2"],
        ["segment", "x.png", "--extreme", "1,1,2,2,3,3"],
        ["segment", "x.png", "--click", "1,1", "--threshold", "1"],
        ["segment", "x.png", "--click", "1,1", "--threshold", "half"],
        ["models", "--url", "127.0.0.1:8080"],
        ["models", "--url", "http://host:port"],
        ["models", "--url", "ftp://host"],
        ["example", "--size", "63"],
        ["example", "--count", "none"],
        [],
    ],
)
def test_misuse_is_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


def test_the_package_runs_as_a_module(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["maskgate", "--version"])
    with pytest.raises(SystemExit) as caught:
        runpy.run_module("maskgate_client", run_name="__main__")
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("maskgate 0.")
