"""OpenTelemetry: a span for each request to a gateway (needs `polyreel[otel]`).

It goes on with the trace that the client's `traceparent` header names, and the spans of
`polyreel.OpenTelemetryHook` are its children: those of the job, and of the calls to its vendor. No
span has a key, a query or a prompt.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from ..drivers.spans import tracer_of

if TYPE_CHECKING:
    from opentelemetry.trace import Span, TracerProvider

BROKEN: Final = 500
"""From this HTTP status on, it is the gateway that failed."""


class RequestSpans:
    """Makes the spans of requests; `provider` is OpenTelemetry's, by default the global one.

    MissingExtraError is raised where OpenTelemetry is not installed.
    """

    def __init__(self, provider: TracerProvider | None = None) -> None:
        self._tracer = tracer_of(provider)
        from opentelemetry import propagate, trace  # noqa: PLC0415

        self._trace, self._propagate = trace, propagate

    @contextmanager
    def request(self, method: str, path: str, headers: Mapping[str, str]) -> Iterator[Span]:
        """The span of a request while the block runs; `headers` are by lower-case names."""
        facts = {"http.request.method": method, "url.path": path}
        with self._tracer.start_as_current_span(
            method,
            context=self._propagate.extract(headers),
            kind=self._trace.SpanKind.SERVER,
            attributes=facts,
            record_exception=False,
        ) as span:
            yield span

    def answered(self, span: Span, status: int, seen: Mapping[str, str]) -> None:
        """Note the answer, and what was found out about the request: see `FaceRequest.seen`."""
        span.set_attribute("http.response.status_code", status)
        for name, text in seen.items():
            span.set_attribute(f"polyreel.{name}", text)
        if "call" in seen:
            span.update_name(f"{seen.get('face', '')} {seen['call']}".strip())
        if status >= BROKEN:
            span.set_attribute("error.type", str(status))
            span.set_status(self._trace.StatusCode.ERROR)
