"""What a gateway counts, as text for Prometheus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from attrs import Factory, define

BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper limits of the classes of latencies, in seconds."""
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
Labels = tuple[tuple[str, str], ...]
Sample = tuple[str, Labels, float]


@define
class Metrics:
    """The requests of this process."""

    _requests: Counter[Labels] = Factory(Counter)
    _classes: Counter[tuple[Labels, float]] = Factory(Counter)
    _seconds: Counter[Labels] = Factory(Counter)

    def note(self, face: str, role: str, status: int, seconds: float) -> None:
        """Count a request."""
        where = (("face", face), ("call", role))
        self._requests[(*where, ("status", str(status)))] += 1
        self._seconds[where] += seconds  # type: ignore[assignment]
        for limit in (*BUCKETS, float("inf")):
            if seconds <= limit:
                self._classes[where, limit] += 1

    def text(self, gauges: Iterable[tuple[str, str, Iterable[tuple[Labels, float]]]]) -> str:
        """All that was counted, and gauges: name, help, and the value for each set of labels."""
        lines = [*self._counted()]
        for name, help_text, values in gauges:
            lines += [f"# HELP {name} {help_text}", f"# TYPE {name} gauge"]
            lines += [_line(name, labels, value) for labels, value in values]
        return "\n".join([*lines, ""])

    def _counted(self) -> Iterator[str]:
        name = "polyreel_gateway_requests_total"
        yield f"# HELP {name} Requests, by face, call and HTTP status."
        yield f"# TYPE {name} counter"
        for labels, count in sorted(self._requests.items()):
            yield _line(name, labels, count)
        name = "polyreel_gateway_request_seconds"
        yield f"# HELP {name} Seconds until a request was answered, by face and call."
        yield f"# TYPE {name} histogram"
        for (labels, limit), count in sorted(self._classes.items()):
            shown = "+Inf" if limit == float("inf") else f"{limit:g}"
            yield _line(f"{name}_bucket", (*labels, ("le", shown)), count)
        for labels, seconds in sorted(self._seconds.items()):
            yield _line(f"{name}_sum", labels, seconds)
            yield _line(f"{name}_count", labels, self._classes[labels, float("inf")])


def _line(name: str, labels: Labels, value: float) -> str:
    inside = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels)
    return f"{name}{{{inside}}} {value:g}" if inside else f"{name} {value:g}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
