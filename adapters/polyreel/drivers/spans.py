"""OpenTelemetry: a span for each job and for each call (needs `polyreel[otel]`).

    client = polyreel.Client(hooks=[polyreel.OpenTelemetryHook()])

The names of attributes are those of OpenTelemetry's conventions for generative AI and for HTTP
clients, where they have one; the others begin with `polyreel.`. No span has a key, a prompt, or a
link that opens anything.
"""

from __future__ import annotations

import time
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from attrs import frozen

from ..errors import MissingExtraError
from ..jobs.observed import JobEnded, SubmitBegan, SubmitEnded
from ..mapping.workflows import kind_of
from .hooks import CallEnded, FlowEnded, HookEvent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer, TracerProvider

OPERATION: Final = "generate_content"
"""What the conventions call the making of content from a request."""
Value = str | int | bool
"""What an attribute of a span can hold here."""


@frozen
class _OpenSpan:
    """The span of the job that a client's method submits, and how to leave its context."""

    span: Span
    token: Token[Context]


def tracer_of(provider: TracerProvider | None) -> Tracer:
    """What makes the spans of polyreel; without a provider, that of the global one.

    MissingExtraError is raised where OpenTelemetry is not installed.
    """
    try:
        from opentelemetry import trace  # noqa: PLC0415
    except ImportError:
        text = "spans need OpenTelemetry: pip install 'polyreel[otel]'"
        raise MissingExtraError(text) from None
    return trace.get_tracer("polyreel", tracer_provider=provider)


class OpenTelemetryHook:
    """Makes spans of what a client does; pass it in the client's `hooks`.

    The span of a job begins with its submit and ends with the method that submitted it, `generate`
    or `submit`. The calls of that method are its children. Where another method sees the job end,
    the job gets a second span, from its submit to its end. `provider` is OpenTelemetry's; by
    default the global one. MissingExtraError is raised where OpenTelemetry is not installed.
    """

    def __init__(self, provider: TracerProvider | None = None) -> None:
        self._tracer = tracer_of(provider)
        from opentelemetry import context, trace  # noqa: PLC0415

        self._trace, self._context = trace, context
        self._open: ContextVar[_OpenSpan | None] = ContextVar("polyreel_span", default=None)

    def __call__(self, event: HookEvent) -> None:
        """Make or end the spans of one event."""
        match event:
            case CallEnded():
                self._call(event)
            case SubmitBegan():
                self._begin(event)
            case SubmitEnded():
                self._submitted(event)
            case JobEnded():
                self._job_ended(event)
            case FlowEnded(error):
                self._end(error)

    def _start(self, name: str, seconds: float, facts: Mapping[str, Value | None]) -> Span:
        """Start a span that began some seconds ago; facts that are None are left out."""
        known = {key: value for key, value in facts.items() if value is not None}
        return self._tracer.start_span(
            name,
            kind=self._trace.SpanKind.CLIENT,
            attributes=known,
            start_time=time.time_ns() - int(seconds * 1e9),
        )

    def _fail(self, span: Span, kind: str | None) -> None:
        if kind is not None:
            span.set_attribute("error.type", kind)
            span.set_status(self._trace.StatusCode.ERROR)

    def _call(self, event: CallEnded) -> None:
        facts = {
            "http.request.method": event.method,
            "url.full": event.url,
            "server.address": urlsplit(event.url).hostname,
            "http.response.status_code": event.status,
            "gen_ai.provider.name": event.vendor,
            "polyreel.request_id": event.request_id,
        }
        span = self._start(event.method, event.seconds, facts)
        bad_status = str(event.status) if event.status is not None and event.status >= 400 else None
        self._fail(span, event.error or bad_status)
        span.end()

    def _begin(self, event: SubmitBegan) -> None:
        if self._open.get() is not None:
            return  # another attempt of the same submit
        facts = _facts(event.vendor, event.model, event.workflow, simulated=event.simulated)
        span = self._start(f"{OPERATION} {event.model}", 0.0, facts)
        token = self._context.attach(self._trace.set_span_in_context(span))
        self._open.set(_OpenSpan(span, token))

    def _submitted(self, event: SubmitEnded) -> None:
        if (opened := self._open.get()) is None:
            return
        if event.job is not None:
            opened.span.set_attribute("gen_ai.provider.name", event.vendor)
            opened.span.set_attribute("gen_ai.response.id", event.job.id)
        if event.error is not None:
            facts = {"error.type": type(event.error).__name__}
            opened.span.add_event(f"{event.vendor} did not accept it", facts)

    def _job_ended(self, event: JobEnded) -> None:
        job, opened = event.job, self._open.get()
        if opened is None:
            facts = _facts(job.vendor, job.model, job.workflow, simulated=job.simulated)
            named = {**facts, "gen_ai.response.id": job.id}
            span = self._start(f"{OPERATION} {job.model}", event.seconds, named)
        else:
            span = opened.span
        span.set_attribute("polyreel.job.status", job.status)
        self._fail(span, None if job.status == "succeeded" else job.status)
        if opened is None:
            span.end()

    def _end(self, error: str | None) -> None:
        if (opened := self._open.get()) is None:
            return
        self._open.set(None)
        self._context.detach(opened.token)
        self._fail(opened.span, error)
        opened.span.end()


def _facts(
    vendor: str, model: str | None, workflow: str, *, simulated: bool
) -> dict[str, Value | None]:
    return {
        "gen_ai.operation.name": OPERATION,
        "gen_ai.provider.name": vendor,
        "gen_ai.request.model": model,
        "gen_ai.output.type": kind_of(workflow),
        "polyreel.workflow": workflow,
        "polyreel.simulated": simulated,
    }
