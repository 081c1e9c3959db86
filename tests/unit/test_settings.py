"""What one of several processes has of the settings, and which models answer where none is named."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from gateway.cli import main
from gateway.settings import Settings, unknown_variables

URL = "redis://localhost"


def test_threads_lanes_and_caches_are_shared_out_and_each_has_one_at_least() -> None:
    whole = Settings.model_validate(
        {
            "server": {"workers": 3},
            "work": {"threads": 7, "turns": 2},
            "engine": {"lanes": 2, "triton_inflight_bytes": 300},
            "sessions": {"bytes": 900},
        }
    )
    part = whole.of_each_process()
    assert (part.work.threads, part.work.turns, part.engine.lanes) == (2, 1, 1)
    assert (part.engine.triton_inflight_bytes, part.sessions.bytes) == (100, 300)
    assert part.limits == whole.limits, "requests and bytes are counted over all processes"


def test_turns_that_follow_the_threads_go_on_following_them() -> None:
    assert Settings.model_validate({"server": {"workers": 2}}).of_each_process().work.turns == 0


def test_what_a_redis_holds_is_not_shared_out_and_what_lies_in_front_of_it_is() -> None:
    sessions = {"url": URL, "bytes": 900, "local_bytes": 100, "connections": 8}
    part = Settings.model_validate({"server": {"workers": 2}, "sessions": sessions}).of_each_process().sessions
    assert (part.bytes, part.local_bytes, part.connections) == (900, 50, 4)


@pytest.mark.parametrize(("workers", "url", "keeps"), [(1, None, True), (2, None, False), (2, URL, True)])
def test_several_processes_keep_sessions_in_a_redis_alone(workers: int, url: str | None, keeps: bool) -> None:
    settings = Settings.model_validate({"server": {"workers": workers}, "sessions": {"url": url}})
    assert settings.keeps_sessions is keeps


@pytest.mark.parametrize("workers", [0, -1, 65])
def test_a_number_of_processes_that_is_none_is_refused(workers: int) -> None:
    with pytest.raises(ValidationError, match="workers"):
        Settings.model_validate({"server": {"workers": workers}})


def test_each_task_has_a_default_model_under_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = Settings().models
    assert (defaults.named("damage"), defaults.named("fused_finder")) == ("bd-lite0", "bd-fcn")
    assert {defaults.named(task) for task in Settings().registry.tasks} == {
        "bd-lite0",
        "cogseg",
        "ensemble",
        "click-lite0",
        "waste-lite0",
        "land-lite0",
        "restore-gan",
    }
    monkeypatch.setenv("MASKGATE_MODELS_WASTE", "other")
    monkeypatch.setenv("MASKGATE_MODELS_FUSED_GRADER", "third")
    models = Settings().models
    assert (models.named("waste"), models.named("fused_grader"), models.named("ct")) == ("other", "third", "cogseg")
    assert Settings().model_dump()["models"]["waste"] == "other"


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ({"weather": "clouds"}, "there is no setting models.weather; there are ct, damage, "),
        ({"tasks": ["no.such.package"]}, "no.such.package is no task: No module named"),
        ({"tasks": ["tests.support"]}, "tests.support is no task"),
        ({"tasks": "gateway"}, "valid tuple"),
        ({"waste": 3}, "valid string"),
    ],
)
def test_models_of_no_task_are_refused(models: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Settings.model_validate({"models": models})


@pytest.mark.parametrize("value", ["inf", "nan", "-inf", "1e300", str(1 << 70)])
@pytest.mark.parametrize(
    "name",
    ["server_grace_seconds", "limits_upload_seconds", "sessions_idle_seconds", "work_threads", "limits_body_bytes"],
)
def test_numbers_beyond_all_bounds_are_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"MASKGATE_{name.upper()}", value)
    assert main(["settings"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert name.partition("_")[2] in said


@pytest.mark.parametrize("value", ["secret", "{", "{'a': 1}", "[1"])
def test_what_is_to_be_json_and_is_not_is_one_line_without_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("MASKGATE_AUTH_KEYS", value)
    assert main(["settings"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "auth" in said.lower()
    assert value not in said


def test_variables_that_are_no_settings_are_named() -> None:
    environment = ["MASKGATE_LIMTS_BODY_BYTES", "MASKGATE_XYZZY", "MASKGATE_URL", "MASKGATE_AUTH_KEYS", "HOME"]
    assert unknown_variables(environment, Settings()) == {
        "MASKGATE_LIMTS_BODY_BYTES": "MASKGATE_LIMITS_BODY_BYTES",
        "MASKGATE_XYZZY": None,
    }


def test_every_setting_has_a_variable_default_models_too() -> None:
    settings = Settings()
    names = [f"MASKGATE_{group}_{name}".upper() for group, of in settings.model_dump().items() for name in of]
    assert {"MASKGATE_MODELS_DAMAGE", "MASKGATE_MODELS_FUSED_FINDER", "MASKGATE_LOG_LEVEL"} <= set(names)
    assert unknown_variables(names, settings) == {}
    assert unknown_variables(["MASKGATE_MODELS_DAMGE"], settings) == {"MASKGATE_MODELS_DAMGE": "MASKGATE_MODELS_DAMAGE"}


def test_a_variable_that_is_no_setting_ends_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MASKGATE_LIMTS_BODY_BYTES", "1")
    assert main(["settings"]) == 0
    assert "MASKGATE_LIMITS_BODY_BYTES is one" in capsys.readouterr().err


def test_what_kserve_appends_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    """Its port counts; the model's name and the predictor's address, as KServe has them, mean nothing here."""
    appended = ["--model_name", "maskgate", "--predictor_host", "maskgate-predictor.default", "--http_port", "9090"]
    assert main(["settings", *appended, "--workers", "1"]) == 0
    assert '"port": 9090' in capsys.readouterr().out


def test_jobs_on_temporal_need_a_bucket() -> None:
    pytest.importorskip("temporalio", reason="the extra `jobs` is not installed")
    with pytest.raises(ValidationError, match=r"the engine temporal needs jobs\.objects"):
        Settings.model_validate({"jobs": {"engine": "temporal"}})
    with pytest.raises(ValidationError, match="objects"):
        Settings.model_validate({"jobs": {"engine": "temporal", "objects": "s3://bucket"}})
    assert Settings.model_validate({"jobs": {"engine": "temporal", "objects": "s3://bucket/a/"}}).jobs.at_once == 2


def test_a_worker_without_temporal_says_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["worker"]) == 2
    assert "MASKGATE_JOBS_ENGINE=temporal" in capsys.readouterr().err
