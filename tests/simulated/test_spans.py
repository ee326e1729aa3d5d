"""Spans for OpenTelemetry: the names of its conventions, one span for a job, nothing secret."""

from pathlib import Path

import polyreel
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from polyreel import AsyncClient
from polyreel.errors import AmbiguousError
from polyreel.gateway.spans import RequestSpans
from polyreel.ledger.opening import open_ledger
from polyreel_generated.contracts.vendors import VendorId
from support.faults import Clients, Kind, every_kind, every_vendor
from support.gateway import HOST, GatewayStage
from support.server import PROVIDERS, key_of
from support.swaps import first_swap


class Spans:
    """A provider that keeps what it was given."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.hook = polyreel.OpenTelemetryHook(self.provider)

    def of_jobs(self) -> list[ReadableSpan]:
        found = self.exporter.get_finished_spans()
        return [span for span in found if span.name.startswith("generate_content")]


@pytest.mark.matrix("vendor", "kind")
@every_kind
@every_vendor
def test_a_generate_is_one_span_with_its_calls(vendor: str, kind: Kind, tmp_path: Path) -> None:
    """Below the caller's own span, if there is one."""
    spans = Spans()
    with (
        Clients(hooks=[spans.hook]) as pair,
        spans.provider.get_tracer("own").start_as_current_span("own") as own,
    ):
        job = pair.do(kind, "generate", {"prompt": "a cat"}, vendor, output=tmp_path)
    (span,) = spans.of_jobs()
    assert dict(span.attributes or {}) == {
        "gen_ai.operation.name": "generate_content",
        "gen_ai.provider.name": vendor,
        "gen_ai.request.model": job.model,
        "gen_ai.output.type": "video",
        "gen_ai.response.id": job.id,
        "polyreel.workflow": job.workflow,
        "polyreel.simulated": True,
        "polyreel.job.status": "succeeded",
    }
    assert span.name == f"generate_content {job.model}"
    assert span.status.status_code is StatusCode.UNSET
    assert span.parent is not None
    assert span.parent.span_id == own.get_span_context().span_id
    calls = [one for one in spans.exporter.get_finished_spans() if one.name in {"GET", "POST"}]
    assert len(calls) > 2
    for call in calls:
        assert call.parent is not None
        assert call.parent.span_id == span.context.span_id
        assert "?" not in str((call.attributes or {})["url.full"])
    assert "a cat" not in "".join(one.to_json() for one in spans.exporter.get_finished_spans())


@every_kind
def test_a_job_that_is_submitted_and_waited_for_apart_has_two_spans(kind: Kind) -> None:
    """The submit, and the job from its submit to its end."""
    spans = Spans()
    with Clients(hooks=[spans.hook]) as pair:
        job = pair.do(kind, "submit", pair.by_kind[kind].plan({"prompt": "a cat"}))
        pair.do(kind, "wait", job)
    submit, whole = spans.of_jobs()
    assert (submit.attributes or {})["gen_ai.response.id"] == job.id
    assert (whole.attributes or {})["polyreel.job.status"] == "succeeded"
    assert whole.end_time is not None
    assert whole.start_time is not None
    assert whole.end_time - whole.start_time > 10e9


@every_vendor
def test_failures_are_marked(vendor: VendorId, tmp_path: Path) -> None:
    spans = Spans()
    client = polyreel.Client(hooks=[spans.hook])
    assert client.simulator is not None
    client.simulator.inject("500", vendor)
    with pytest.raises(AmbiguousError):
        client.generate({"prompt": "a cat"}, vendor, output=tmp_path)
    (span,) = spans.of_jobs()
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == "AmbiguousError"


def test_a_request_to_a_gateway_is_a_span_of_its_clients_trace(tmp_path: Path) -> None:
    """Above the span of the job that it makes; the span of a refusal says that it is one."""
    spans, swap = Spans(), first_swap(PROVIDERS[0])
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    stage = GatewayStage(tmp_path, (swap.back,))
    ledger = open_ledger(str(tmp_path / "ledger.sqlite3"))
    stage.start(AsyncClient(simulator=stage.simulator, ledger=ledger, hooks=[spans.hook]))
    stage.gateway.spans = RequestSpans(spans.provider)
    try:
        headers = {"traceparent": f"00-{trace}-{parent}-01", **key_of(swap.face)}
        path = swap.made.route.path if swap.made.route is not None else ""
        url = f"{HOST}/{swap.face.id}{path}?signature=secret"
        content = swap.made.content
        kind = {"Content-Type": "application/json"}
        assert stage.call("POST", url, {**headers, **kind}, content).status == 200
        (job,) = spans.of_jobs()
        assert stage.call("POST", url, kind, content).status == 401
    finally:
        stage.close()
    served = [one for one in spans.exporter.get_finished_spans() if one.kind is SpanKind.SERVER]
    assert [one.name for one in served] == [f"{swap.face.id} create"] * 2
    first, second = served
    assert first.parent is not None
    assert job.parent is not None
    assert (f"{first.context.trace_id:032x}", f"{first.parent.span_id:016x}") == (trace, parent)
    assert (job.parent.span_id, job.context.trace_id) == (
        first.context.span_id,
        first.context.trace_id,
    )
    assert second.parent is None
    found = dict(second.attributes or {})
    assert (found["http.response.status_code"], found["polyreel.call"]) == (401, "create")
    assert "secret" not in f"{first.attributes}{second.attributes}"
