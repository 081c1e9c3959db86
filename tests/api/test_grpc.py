"""The Open Inference Protocol by gRPC: every call, its keys, bounds, deadlines and errors."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2, service_pb2_grpc

from gateway.access.keys import digest_of
from gateway.app import create_app
from gateway.oip import rpc
from gateway.settings import Settings
from tests.support.app_client import AppClient, running
from tests.support.collector import children, collector
from tests.support.ports import free_port
from tests.support.trivial import label_table, probability_table, write_trivial_model

Start = Any
TILES = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
PAIR = {"pre": TILES, "post": TILES[::-1].copy()}
LABELS = label_table(5)[PAIR["post"][..., 1]]
PROBABILITIES = probability_table(5)[PAIR["post"][..., 1]]
KEYS = {
    "all": digest_of("all"),
    "infer": {"digest": digest_of("infer"), "scopes": ["infer"]},
    "ct": {"digest": digest_of("ct"), "scopes": ["ct"]},
    "once": {"digest": digest_of("once"), "requests_per_minute": 1},
}
INFER = "/inference.GRPCInferenceService/ModelInfer"


def stub_of(client: AppClient) -> Any:
    port = client.services.settings.server.grpc_port
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    return service_pb2_grpc.GRPCInferenceServiceStub(grpc.insecure_channel(f"127.0.0.1:{port}", options))


@pytest.fixture(scope="module")
def served(start_session: Start) -> AppClient:
    client: AppClient = start_session(server={"grpc_port": free_port()})
    return client


@pytest.fixture(scope="module")
def stub(served: AppClient) -> Any:
    return stub_of(served)


@pytest.fixture(scope="module")
def keyed(start_session: Start) -> AppClient:
    client: AppClient = start_session(server={"grpc_port": free_port()}, auth={"keys": KEYS})
    return client


def message(tensors: dict[str, NDArray[Any]] | None = None, **members: Any) -> Any:
    """Return a request to infer, its tensors raw."""
    request = service_pb2.ModelInferRequest(**{"model_name": "trivial", **members})
    for name, values in (PAIR if tensors is None else tensors).items():
        request.inputs.add(name=name, datatype="UINT8", shape=values.shape)
        request.raw_input_contents.append(values.tobytes())
    return request


def arrays(answer: Any) -> dict[str, NDArray[np.uint8]]:
    return {
        output.name: np.frombuffer(raw, np.uint8).reshape(output.shape)
        for output, raw in zip(answer.outputs, answer.raw_output_contents, strict=True)
    }


def refused(call: Callable[..., object], *arguments: object, **options: object) -> Any:
    with pytest.raises(grpc.RpcError) as caught:
        call(*arguments, **options)
    return caught.value


def said(error: Any) -> tuple[Any, str]:
    """Return the status of a refusal, and our code."""
    return error.code(), dict(error.trailing_metadata() or ()).get("maskgate-code", "")


def test_server_and_models_are_described(served: AppClient, stub: Any) -> None:
    assert stub.ServerLive(service_pb2.ServerLiveRequest()).live
    assert stub.ServerReady(service_pb2.ServerReadyRequest()).ready
    server = stub.ServerMetadata(service_pb2.ServerMetadataRequest())
    assert (server.name, server.version) == ("maskgate", served.app.version)
    assert stub.ModelReady(service_pb2.ModelReadyRequest(name="trivial")).ready
    assert stub.ModelReady(service_pb2.ModelReadyRequest(name="trivial", version="1")).ready
    model = stub.ModelMetadata(service_pb2.ModelMetadataRequest(name="trivial"))
    assert [(t.name, t.datatype, list(t.shape)) for t in model.inputs] == [
        ("pre", "UINT8", [-1, 64, 64, 3]),
        ("post", "UINT8", [-1, 64, 64, 3]),
    ]
    config = stub.ModelConfig(service_pb2.ModelConfigRequest(name="trivial")).config
    assert (config.max_batch_size, list(config.input[0].dims)) == (8, [64, 64, 3])


def test_readiness_is_that_of_readyz(start: Start) -> None:
    client = start(server={"grpc_port": free_port()})
    client.services.admission.draining = True
    assert not stub_of(client).ServerReady(service_pb2.ServerReadyRequest()).ready


def test_tensors_are_answered_as_by_http(stub: Any) -> None:
    answer, call = stub.ModelInfer.with_call(message(id="17"), metadata=(("x-request-id", "mine-1"),))
    assert (answer.model_name, answer.model_version, answer.id) == ("trivial", "1", "17")
    found = arrays(answer)
    np.testing.assert_array_equal(found["label_map"], LABELS)
    np.testing.assert_array_equal(found["probabilities"], PROBABILITIES)
    told = dict(call.trailing_metadata())
    assert (told["x-request-id"], told["maskgate-model"]) == ("mine-1", "trivial")
    assert told["maskgate-digest"].startswith("sha256:")


def test_outputs_and_versions_are_chosen(stub: Any) -> None:
    request = message(model_version="1")
    request.outputs.add(name="probabilities")
    assert set(arrays(stub.ModelInfer(request))) == {"probabilities"}


def test_numbers_may_be_sent_in_fields(stub: Any) -> None:
    request = service_pb2.ModelInferRequest(model_name="trivial")
    for name, values in PAIR.items():
        tensor = request.inputs.add(name=name, datatype="UINT8", shape=values.shape)
        tensor.contents.uint_contents.extend(values.reshape(-1).tolist())
    np.testing.assert_array_equal(arrays(stub.ModelInfer(request))["label_map"], LABELS)
    request.inputs[0].contents.uint_contents[5] = 256
    assert said(refused(lambda: stub.ModelInfer(request))) == (grpc.StatusCode.INVALID_ARGUMENT, "tensor-mismatch")


def changed(change: Callable[[Any], object]) -> Any:
    request = message()
    change(request)
    return request


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    {
        "no such model": (message(model_name="none"), "NOT_FOUND", "model-not-found"),
        "no name": (message(model_name=""), "NOT_FOUND", "model-not-found"),
        "no such version": (message(model_version="9"), "NOT_FOUND", "version-not-found"),
        "not ready": (message(model_name="no-file"), "UNAVAILABLE", "model-not-ready"),
        "no inputs": (message({}), "INVALID_ARGUMENT", "tensor-mismatch"),
        "one missing": (message({"pre": TILES}), "INVALID_ARGUMENT", "tensor-mismatch"),
        "too many": (message({**PAIR, "x": TILES}), "INVALID_ARGUMENT", "tensor-mismatch"),
        "batch": (
            message({name: np.repeat(v, 3, 0) for name, v in PAIR.items()}),
            "INVALID_ARGUMENT",
            "tensor-mismatch",
        ),
        "shape": (changed(lambda r: r.inputs[0].shape.append(1)), "INVALID_ARGUMENT", "tensor-mismatch"),
        "no shape": (changed(lambda r: r.inputs[0].ClearField("shape")), "INVALID_ARGUMENT", "tensor-mismatch"),
        "type": (changed(lambda r: setattr(r.inputs[0], "datatype", "FP32")), "INVALID_ARGUMENT", "tensor-mismatch"),
        "few bytes": (
            changed(lambda r: r.raw_input_contents.__setitem__(0, b"1")),
            "INVALID_ARGUMENT",
            "tensor-mismatch",
        ),
        "one raw": (changed(lambda r: r.raw_input_contents.pop()), "INVALID_ARGUMENT", "bad-request"),
        "none raw": (changed(lambda r: r.ClearField("raw_input_contents")), "INVALID_ARGUMENT", "tensor-mismatch"),
        "twice": (changed(lambda r: setattr(r.inputs[1], "name", "pre")), "INVALID_ARGUMENT", "bad-request"),
        "both": (
            changed(lambda r: r.inputs[0].contents.uint_contents.append(1)),
            "INVALID_ARGUMENT",
            "bad-request",
        ),
        "output": (changed(lambda r: r.outputs.add(name="x")), "INVALID_ARGUMENT", "tensor-mismatch"),
        "shared memory": (
            changed(lambda r: setattr(r.inputs[0].parameters["shared_memory_region"], "string_param", "x")),
            "INVALID_ARGUMENT",
            "tensor-mismatch",
        ),
        "classification": (
            changed(lambda r: setattr(r.outputs.add(name="label_map").parameters["classification"], "int64_param", 1)),
            "INVALID_ARGUMENT",
            "tensor-mismatch",
        ),
    }.values(),
)
def test_what_does_not_fit_is_refused_in_words(stub: Any, request_: Any, status: str, code: str) -> None:
    error = refused(lambda: stub.ModelInfer(request_))
    assert said(error) == (grpc.StatusCode[status], code)
    assert error.details()


def raw_call(client: AppClient, method: str, data: bytes, **options: Any) -> Any:
    channel = grpc.insecure_channel(f"127.0.0.1:{client.services.settings.server.grpc_port}")
    return channel.unary_unary(method)(data, **options)


@pytest.mark.parametrize(
    "data",
    [
        b"\xff",
        b"\x80" * 11,
        b"\x0a\xff\xff\xff\xff\x0f",
        b"\x0a\x05ab",
        b"\x0b",
        b"\x0c",
        b"\x0f",
        b"\x0a\x02\xff\xfe",
        b"\x3a\x00" * 2000,
        b"\x2a\x00" * 2000,
        b"\x09" + b"\x00" * 3,
        b"\x2a\x02\x1a\xff",
    ],
)
def test_bytes_that_are_no_message_are_refused(served: AppClient, data: bytes) -> None:
    assert said(refused(lambda: raw_call(served, INFER, data))) == (grpc.StatusCode.INVALID_ARGUMENT, "bad-request")
    for method in ("ModelReady", "RepositoryIndex"):
        with suppress(grpc.RpcError):
            raw_call(served, INFER.replace("ModelInfer", method), data)
    assert served.sample("maskgate_rejected_total", reason="internal") == 0


def test_what_swells_when_it_is_parsed_is_bounded(served: AppClient, stub: Any) -> None:
    request = service_pb2.ModelInferRequest(model_name="trivial")
    request.inputs.add(name="pre").contents.bytes_contents.extend([b""] * 4_200_000)
    error = refused(lambda: stub.ModelInfer(request))
    assert said(error) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "body-too-large")
    asked = service_pb2.ModelReadyRequest(name="x" * 100_000)
    assert said(refused(lambda: stub.ModelReady(asked)))[0] == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_message_over_the_limit_is_refused_and_nothing_is_held(start: Start) -> None:
    client = start(server={"grpc_port": free_port()}, limits={"grpc_bytes": 40_000})
    stub = stub_of(client)
    error = refused(lambda: stub.ModelInfer(message()))
    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    small = {name: values[:1] for name, values in PAIR.items()}
    assert set(arrays(stub.ModelInfer(message(small)))) == {"label_map", "probabilities"}
    idle(client)


def idle(client: AppClient) -> None:
    """Wait until nothing is held."""
    deadline = time.monotonic() + 10
    while client.services.admission._held.bytes.total or client.services.admission._held.requests.total:
        assert time.monotonic() < deadline, "something is still held"
        time.sleep(0.01)


def test_calls_that_are_not_offered_say_so(stub: Any) -> None:
    for call in (
        lambda: stub.LogSettings(service_pb2.LogSettingsRequest()),
        lambda: stub.SystemSharedMemoryStatus(service_pb2.SystemSharedMemoryStatusRequest()),
        lambda: next(stub.ModelStreamInfer(iter([message()]))),
    ):
        assert refused(call).code() == grpc.StatusCode.UNIMPLEMENTED


def test_compressed_messages_are_not_inflated(stub: Any) -> None:
    error = refused(lambda: stub.ModelInfer(message(), compression=grpc.Compression.Gzip))
    assert error.code() in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.INTERNAL)


# Keys


def with_key(key: str) -> Any:
    return (("authorization", f"Bearer {key}"),)


def test_probes_take_no_key_and_all_else_does(keyed: AppClient) -> None:
    stub = stub_of(keyed)
    assert stub.ServerLive(service_pb2.ServerLiveRequest()).live
    assert stub.ServerReady(service_pb2.ServerReadyRequest()).ready
    for call, asked in (
        (stub.ServerMetadata, service_pb2.ServerMetadataRequest()),
        (stub.ModelReady, service_pb2.ModelReadyRequest(name="trivial")),
        (stub.ModelMetadata, service_pb2.ModelMetadataRequest(name="trivial")),
        (stub.ModelConfig, service_pb2.ModelConfigRequest(name="trivial")),
        (stub.ModelStatistics, service_pb2.ModelStatisticsRequest()),
        (stub.ModelInfer, message()),
        (stub.RepositoryIndex, service_pb2.RepositoryIndexRequest()),
        (stub.RepositoryModelLoad, service_pb2.RepositoryModelLoadRequest(model_name="trivial")),
        (stub.RepositoryModelUnload, service_pb2.RepositoryModelUnloadRequest(model_name="none")),
    ):
        for metadata in (None, with_key("wrong"), (("authorization", "Basic all"),), (("x-api-key", ""),)):
            found = said(refused(call, asked, metadata=metadata))
            assert found == (grpc.StatusCode.UNAUTHENTICATED, "unauthorised")


def test_scopes_hold(keyed: AppClient) -> None:
    stub = stub_of(keyed)
    assert stub.ModelInfer(message(), metadata=with_key("infer")).model_name == "trivial"
    assert stub.ModelInfer(message(), metadata=(("x-api-key", "all"),)).model_name == "trivial"
    assert stub.ModelMetadata(service_pb2.ModelMetadataRequest(name="trivial"), metadata=with_key("ct")).name
    forbidden = (grpc.StatusCode.PERMISSION_DENIED, "forbidden")
    assert said(refused(lambda: stub.ModelInfer(message(), metadata=with_key("ct")))) == forbidden
    index = service_pb2.RepositoryIndexRequest()
    assert said(refused(lambda: stub.RepositoryIndex(index, metadata=with_key("infer")))) == forbidden
    assert stub.RepositoryIndex(index, metadata=with_key("all")).models
    emergency = (*with_key("infer"), ("maskgate-priority", "emergency"))
    assert said(refused(lambda: stub.ModelInfer(message(), metadata=emergency))) == forbidden


def test_quotas_are_those_of_http(keyed: AppClient) -> None:
    stub = stub_of(keyed)
    assert stub.ModelInfer(message(), metadata=with_key("once")).model_name == "trivial"
    error = refused(lambda: stub.ModelInfer(message(), metadata=with_key("once")))
    assert said(error) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "quota-exceeded")
    assert int(dict(error.trailing_metadata())["retry-after"]) > 0
    by_http = keyed.post("/v2/models/trivial/infer", json={}, headers={"X-API-Key": "once"})
    assert by_http.status_code == 429


def test_a_refused_message_is_not_read(keyed: AppClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "gateway.audit"):
        refused(lambda: stub_of(keyed).ModelInfer(message()))
    [line] = [record.getMessage() for record in caplog.records if record.name == "gateway.audit"]
    assert f"route={INFER} " in line
    assert "status=401 reason=unauthorised bytes_in=0" in line


def test_calls_are_counted_and_audited(served: AppClient, stub: Any, caplog: pytest.LogCaptureFixture) -> None:
    labels = {"route": INFER, "method": "POST", "status_class": "2xx"}
    before = served.sample("maskgate_http_requests_total", **labels)
    with caplog.at_level(logging.INFO, "gateway.audit"):
        stub.ModelInfer(message())
    idle(served)
    assert served.sample("maskgate_http_requests_total", **labels) == before + 1
    [line] = [record.getMessage() for record in caplog.records if record.name == "gateway.audit"]
    assert "tenant=public scope=infer" in line
    assert "model=trivial status=200" in line


# Time and room


def test_calls_are_traced_and_probes_are_not(repository: Path) -> None:
    with collector() as traces:
        groups: dict[str, Any] = {"server": {"grpc_port": free_port()}, "tracing": {"endpoint": traces.url}}
        with running(create_app(Settings(models={"repository": repository}, **groups))) as client:
            stub = stub_of(client)
            stub.ServerLive(service_pb2.ServerLiveRequest())
            stub.ModelInfer(message(), metadata=[("traceparent", f"00-{'ab' * 16}-{'cd' * 8}-01")])
            refused(stub.ModelInfer, message(model_name="none"))
    calls = [span for span in traces.spans if span.name == "inference.GRPCInferenceService/ModelInfer"]
    served, missing = sorted(calls, key=lambda span: span.start)
    told = {"rpc.system": "grpc", "rpc.service": "inference.GRPCInferenceService", "rpc.method": "ModelInfer"}
    assert (served.trace_id, served.parent_id, served.attributes, served.failed) == ("ab" * 16, "cd" * 8, told, False)
    failed = {"maskgate.problem": "model-not-found", "error.type": "ModelNotFound"}
    assert {span.name for span in children(traces.spans, served)} >= {"receive", "decode", "infer", "encode", "send"}
    assert (missing.attributes, missing.failed) == (told | failed, True)
    assert not [span for span in traces.spans if "ServerLive" in span.name]


def test_deadlines_are_kept(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    client = start(server={"grpc_port": free_port()})
    stub = stub_of(client)
    held = threading.Event()

    async def slow(*arguments: Any) -> Any:
        held.set()
        await asyncio.sleep(30)

    monkeypatch.setattr(client.services.engine, "infer", slow)
    begun = time.monotonic()
    error = refused(lambda: stub.ModelInfer(message(), timeout=0.5))
    assert (error.code(), held.is_set()) == (grpc.StatusCode.DEADLINE_EXCEEDED, True)
    assert time.monotonic() < begun + 5
    idle(client)
    for wrong in ("soon", "0", "-1", "inf", "99999999"):
        metadata = (("maskgate-deadline", wrong),)
        found = said(refused(stub.ModelInfer, message(), metadata=metadata))
        assert found == (grpc.StatusCode.INVALID_ARGUMENT, "parameter-invalid")


def test_a_caller_who_cancels_frees_what_it_held(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    client = start(server={"grpc_port": free_port()})
    stub = stub_of(client)
    begun, ended = threading.Event(), threading.Event()

    async def slow(*arguments: Any) -> Any:
        begun.set()
        try:
            await asyncio.sleep(30)
        finally:
            ended.set()

    monkeypatch.setattr(client.services.engine, "infer", slow)
    calls = [stub.ModelInfer.future(message()) for _ in range(5)]
    assert begun.wait(10)
    for call in calls:
        call.cancel()
    assert ended.wait(10)
    idle(client)
    assert client.sample("maskgate_cancelled_total", stage="infer") >= 1
    monkeypatch.undo()
    assert stub.ModelInfer(message()).model_name == "trivial"


def test_callers_who_cancel_at_any_moment_leave_no_trace(
    served: AppClient, stub: Any, caplog: pytest.LogCaptureFixture
) -> None:
    pauses = np.random.default_rng(0).uniform(0, 0.003, 200)
    for few in np.split(pauses, 10):
        calls = [stub.ModelInfer.future(message()) for _ in few]
        for call, pause in zip(calls, few, strict=True):
            time.sleep(pause)
            call.cancel()
    idle(served)
    assert not [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert stub.ModelInfer(message()).model_name == "trivial"


def test_overload_and_drain_are_unavailable(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    client = start(server={"grpc_port": free_port()}, limits={"inflight_requests": 1})
    stub = stub_of(client)
    client.services.admission._held.requests.add(1)
    error = refused(lambda: stub.ModelInfer(message()))
    assert said(error) == (grpc.StatusCode.UNAVAILABLE, "overloaded")
    client.services.admission._held.requests.add(-1)
    assert stub.ModelInfer(message()).model_name == "trivial"
    client.services.admission.closed = True
    assert said(refused(lambda: stub.ModelInfer(message()))) == (grpc.StatusCode.UNAVAILABLE, "draining")
    idle(client)


def test_a_defect_is_internal_and_says_nothing(served: AppClient, stub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*arguments: Any) -> Any:
        raise RuntimeError("Jane Doe")

    monkeypatch.setattr(served.services.engine, "infer", broken)
    error = refused(lambda: stub.ModelInfer(message()))
    assert said(error) == (grpc.StatusCode.INTERNAL, "internal")
    assert "Jane" not in error.details()
    idle(served)


def silent(over: threading.Event) -> Iterator[Any]:
    over.wait(30)
    yield from ()


def test_who_sends_nothing_is_not_waited_for_and_keeps_nobody(start: Start) -> None:
    client = start(server={"grpc_port": free_port()}, limits={"upload_stall_seconds": 1})
    port = client.services.settings.server.grpc_port
    channel = grpc.insecure_channel(f"127.0.0.1:{port}")
    over = threading.Event()
    calls = [channel.stream_unary(INFER).future(silent(over)) for _ in range(20)]
    time.sleep(0.3)
    held = client.services.admission._held.bytes.total
    assert held <= rpc._RECEIVED_AT_ONCE * client.services.settings.limits.grpc_bytes
    assert client.get("/v2/models/trivial").status_code == 200
    assert stub_of(client).ServerLive(service_pb2.ServerLiveRequest()).live
    for call in calls:
        assert call.exception(timeout=30).code() in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)
    over.set()
    idle(client)
    assert stub_of(client).ModelInfer(message()).model_name == "trivial"


def test_one_tenant_that_sends_nothing_leaves_others_room(start: Start) -> None:
    client = start(server={"grpc_port": free_port()}, auth={"keys": {"one": digest_of("one"), "two": digest_of("two")}})
    channel = grpc.insecure_channel(f"127.0.0.1:{client.services.settings.server.grpc_port}")
    over = threading.Event()
    calls = [channel.stream_unary(INFER).future(silent(over), metadata=with_key("one")) for _ in range(20)]
    time.sleep(0.3)
    begun = time.monotonic()
    assert stub_of(client).ModelInfer(message(), metadata=with_key("two"), timeout=20).model_name == "trivial"
    assert time.monotonic() < begun + 10
    for call in calls:
        call.cancel()
    over.set()
    idle(client)


def test_two_messages_are_one_too_many_and_none_too_few(served: AppClient) -> None:
    channel = grpc.insecure_channel(f"127.0.0.1:{served.services.settings.server.grpc_port}")
    call = channel.stream_unary(INFER)
    data = message().SerializeToString()
    assert said(refused(lambda: call(iter([])))) == (grpc.StatusCode.INVALID_ARGUMENT, "bad-request")
    assert service_pb2.ModelInferResponse.FromString(call(iter([data, data]))).model_name == "trivial"


@pytest.mark.parametrize("value", ["\x7f", "a" * 5000, "é".encode().decode("latin-1")])
def test_odd_metadata_harm_nobody(served: AppClient, stub: Any, value: str) -> None:
    metadata = (("x-request-id", value), ("odd-bin", bytes(range(256))))
    try:
        _, call = stub.ModelInfer.with_call(message(), metadata=metadata)
        assert dict(call.trailing_metadata())["x-request-id"] != value
    except (grpc.RpcError, ValueError):
        pass  # gRPC itself may refuse it
    assert stub.ModelInfer(message()).model_name == "trivial"


def test_models_are_loaded_unloaded_listed_and_counted(start: Start, tmp_path: Path) -> None:
    write_trivial_model(tmp_path, "trivial")
    client = start(server={"grpc_port": free_port()}, models={"repository": tmp_path}, engine={"watch_seconds": 0})
    stub = stub_of(client)
    stub.ModelInfer(message())
    [counted] = stub.ModelStatistics(service_pb2.ModelStatisticsRequest(name="trivial")).model_stats
    assert (counted.inference_count, counted.inference_stats.success.count) == (3, 1)
    load, unload = service_pb2.RepositoryModelLoadRequest, service_pb2.RepositoryModelUnloadRequest
    stub.RepositoryModelUnload(unload(model_name="trivial"))
    assert said(refused(lambda: stub.ModelInfer(message()))) == (grpc.StatusCode.NOT_FOUND, "model-not-found")
    [entry] = stub.RepositoryIndex(service_pb2.RepositoryIndexRequest()).models
    assert (entry.name, entry.state, entry.reason) == ("trivial", "UNAVAILABLE", "unloaded")
    assert not stub.RepositoryIndex(service_pb2.RepositoryIndexRequest(ready=True)).models
    stub.RepositoryModelLoad(load(model_name="trivial"))
    assert stub.ModelInfer(message()).model_name == "trivial"
    asked = load(model_name="trivial")
    asked.parameters["config"].string_param = "{}"
    assert said(refused(lambda: stub.RepositoryModelLoad(asked)))[1] == "unprocessable"
