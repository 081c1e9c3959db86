"""The chart and KServe's objects: what they render to is what Kubernetes and its extensions take, field by field."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

import gateway
from gateway.cli import main
from tests.support.containers import Containers
from tests.support.places import ROOT
from tests.support.ports import free_port

CHART = ROOT / "deploy" / "helm" / "maskgate"
EXAMPLES = sorted((ROOT / "deploy" / "helm" / "examples").glob("*.yaml"))
KSERVE = sorted((ROOT / "deploy" / "kserve").glob("*.yaml"))
TYPES = {
    "HTTPRoute": "@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1/HTTPRoute",
    "ScaledObject": "@kubernetes-models/keda/keda.sh/v1alpha1/ScaledObject",
    "ServiceMonitor": "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/ServiceMonitor",
}


def program(name: str, package: str) -> str:
    """Return a program's path; skip the test where it is not installed."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed ({package})")
    return found


def helm(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [program("helm", "make deploy-test fetches it"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def rendered(*values: str | Path) -> str:
    done = helm("template", "demo", CHART, "--namespace=apps", *(f"--values={each}" for each in values))
    assert done.returncode == 0, done.stderr
    return done.stdout


def objects(text: str) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(text) if document]


def by_kind(text: str) -> dict[str, dict[str, Any]]:
    return {each["kind"]: each for each in objects(text)}


def test_the_chart_is_of_this_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == gateway.__version__
    for path in KSERVE:
        assert f"image: registry.example/maskgate:{gateway.__version__}\n" in path.read_text(), path.name


@pytest.mark.parametrize("values", EXAMPLES, ids=lambda path: path.stem)
def test_the_chart_renders_what_kubernetes_takes(values: Path, tmp_path: Path) -> None:
    validate = program("kubernetes-validate", "PyPI")
    done = helm("lint", CHART, "--strict", f"--values={values}")
    assert done.returncode == 0, done.stdout
    (tmp_path / "all.yaml").write_text(rendered(values))
    done = subprocess.run(
        [validate, "--strict", "--kubernetes-version=1.37", tmp_path / "all.yaml"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    unknown = {
        kind for kind in by_kind((tmp_path / "all.yaml").read_text()) if f"kind {kind} " in done.stderr + done.stdout
    }
    assert unknown <= TYPES.keys(), "what it has no schema of is checked below"


def test_extensions_take_what_the_chart_renders(tmp_path: Path) -> None:
    """Literals held against the extensions' types by TypeScript, which refuses unknown fields and other types."""
    modules = Path(program("tsc", "npm: deploy/locks/npm")).resolve().parents[2]
    (tmp_path / "node_modules").symlink_to(modules)
    found = [each for values in EXAMPLES for each in objects(rendered(values)) if each["kind"] in TYPES]
    assert {each["kind"] for each in found} == TYPES.keys()

    def complaints(documents: list[dict[str, Any]]) -> str:
        lines = [f'import {{ {kind} }} from "{module}";' for kind, module in TYPES.items()]
        for each in documents:
            members = {name: value for name, value in each.items() if name not in ("apiVersion", "kind")}
            lines.append(f"new {each['kind']}({json.dumps(members)});")
        (tmp_path / "objects.ts").write_text("\n".join(lines))
        command = ["tsc", "--noEmit", "--strict", "--skipLibCheck", "--moduleResolution", "node", "objects.ts"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240).stdout

    assert complaints(found) == ""
    for each in found:
        each["spec"]["misspelt"] = 1
    assert complaints(found).count("'\"misspelt\"'") == len(found)


def test_kserve_takes_its_objects() -> None:
    python = Path(program("kubernetes-validate", "PyPI")).parent / "python"
    checker = ROOT / "tests" / "support" / "kserve_strict.py"
    done = subprocess.run([python, checker, *KSERVE], capture_output=True, text=True, timeout=240)
    if "No module named 'kserve'" in done.stderr:
        pytest.skip("kserve is not installed (PyPI)")
    assert (done.returncode, done.stdout) == (0, f"{len(KSERVE)} objects, 0 findings\n"), done.stdout + done.stderr


def test_the_gateway_takes_its_arguments_and_what_kserve_appends(capsys: pytest.CaptureFixture[str]) -> None:
    found = [each for path in KSERVE for each in objects(path.read_text()) if each["kind"] == "InferenceService"]
    served = [container["args"] for each in found for container in each["spec"]["predictor"]["containers"]]
    appended = ["--model_name", "maskgate", "--predictor_host", "maskgate-predictor.apps", "--http_port", "8080"]
    deployments = [by_kind(rendered(values))["Deployment"] for values in EXAMPLES]
    served += [each["spec"]["template"]["spec"]["containers"][0]["args"] for each in deployments]
    for command, *arguments in served:
        assert command == "serve"
        assert main(["settings", *arguments, *appended]) == 0
        settings = json.loads(capsys.readouterr().out)
        assert (settings["server"]["host"], settings["server"]["port"]) == ("0.0.0.0", 8080)  # noqa: S104 — a pod's own
    assert len(served) == len(KSERVE) + len(EXAMPLES)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("replica=3", "replica"),
        ("models.source=ftp", "models/source"),
        ("image.digest=latest", "image/digest"),
        ("settings.limits=1", "'limits' does not match"),
        ("models.source=pvc", "models.pvc.claimName is missing"),
        ("models.source=store", "models.store.url is missing"),
        ("triton.enabled=true", "Triton reads the models from a volume"),
    ],
)
def test_values_that_mean_nothing_are_refused(value: str, message: str) -> None:
    done = helm("template", "demo", CHART, "--set", value)
    assert done.returncode != 0
    assert message in done.stderr


def test_what_production_asks_for_is_there() -> None:
    found = by_kind(rendered(ROOT / "deploy" / "helm" / "examples" / "production.yaml"))
    kinds = {"Deployment", "Service", "Ingress", "HTTPRoute", "PodDisruptionBudget", "NetworkPolicy"}
    assert found.keys() == kinds | {"ServiceMonitor", "ScaledObject"}
    assert "sum(maskgate_queued_work_seconds" in found["ScaledObject"]["spec"]["triggers"][0]["metadata"]["query"]
    pod = found["Deployment"]["spec"]["template"]["spec"]
    assert "replicas" not in found["Deployment"]["spec"], "the scaler's number would be reset by every upgrade"
    assert [arg for arg in pod["initContainers"][0]["args"] if arg.startswith("bd-lite0@sha256:")]
    for container in (*pod["initContainers"], *pod["containers"]):
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert container["image"] == f"registry.example/maskgate@sha256:{'0' * 64}"
    paths = [path["path"] for path in found["Ingress"]["spec"]["rules"][0]["http"]["paths"]]
    assert {"/metrics", "/v1/repository", "/"}.isdisjoint(paths)


def test_triton_shares_memory_with_the_gateway_and_has_time_to_compile() -> None:
    found = by_kind(rendered(ROOT / "deploy" / "helm" / "examples" / "triton.yaml"))
    pod = found["Deployment"]["spec"]["template"]["spec"]
    assert {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}} in pod["volumes"]
    answering, triton = pod["containers"]
    for container in (answering, triton):
        assert {"name": "shm", "mountPath": "/dev/shm"} in container["volumeMounts"]  # noqa: S108 — no file of ours
        probe = container["startupProbe"]
        assert probe["periodSeconds"] * probe["failureThreshold"] >= 900
    assert "--engine=triton" in answering["args"]
    assert (
        found["HorizontalPodAutoscaler"]["spec"]["metrics"][0]["pods"]["metric"]["name"]
        == "maskgate_queued_work_seconds"
    )


@contextmanager
def played(containers: Containers, manifest: Path) -> Iterator[None]:
    containers.podman("kube", "play", manifest, timeout=240)
    try:
        yield
    finally:
        containers.podman("kube", "down", manifest)


def test_the_rendered_deployment_runs(containers: Containers, image: str, models: Path, tmp_path: Path) -> None:
    """By podman, which knows pods: the same object, with the models from the host and a port of the host's."""
    values = {"image": {"repository": "localhost/maskgate", "tag": "test", "pullPolicy": "Never"}}
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(values))
    deployment = by_kind(rendered(ROOT / "deploy" / "helm" / "examples" / "small.yaml", tmp_path / "values.yaml"))[
        "Deployment"
    ]
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    port = free_port()
    container["ports"][0] |= {"hostPort": port, "hostIP": "127.0.0.1"}
    container["volumeMounts"].append({"name": "models", "mountPath": "/models", "readOnly": True})
    pod["volumes"].append({"name": "models", "hostPath": {"path": str(models), "type": "Directory"}})
    # Of the objects, podman here runs neither probes (systemd's timers do) nor what spreads pods over machines.
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        del container[probe]
    del pod["topologySpreadConstraints"]
    manifest = tmp_path / "deployment.yaml"
    manifest.write_text(yaml.safe_dump(deployment))
    with played(containers, manifest):
        address = f"http://127.0.0.1:{port}"
        containers.wait_until_ready("demo-pod-0-gateway", address)
        assert "bd-lite0" in httpx.get(f"{address}/v1/models").text
