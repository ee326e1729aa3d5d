"""Hints: which jobs to ask about because somebody said so, and when.

Anybody can send a hint. So however many there are about a job, its vendor is asked once in a while.
"""

from __future__ import annotations

from typing import Final

from attrs import define, field

MAX_HINTS: Final = 1000
"""How many jobs may wait to be asked about. Further hints are dropped, as polling asks too."""
HINT_PAUSE: Final = 10.0
"""The least seconds between two queries about one job."""

Hinted = tuple[str, str]
"""A vendor, and one of its tasks."""


@define
class Hints:
    """The jobs that wait to be asked about. All moments are in seconds of one clock."""

    pause: float = HINT_PAUSE
    _due: dict[Hinted, float] = field(factory=dict, init=False)
    _asked: dict[Hinted, float] = field(factory=dict, init=False)
    """When jobs were asked about last, where that is less than a pause ago."""

    def __contains__(self, job: Hinted) -> bool:
        return job in self._due

    def add(self, job: Hinted, now: float) -> bool:
        """Note a hint; the result is False where too many jobs wait.

        A job that waits already is asked about once, for all its hints together.
        """
        if job in self._due:
            return True
        if len(self._due) >= MAX_HINTS:
            return False
        self._forget(now)
        self._due[job] = self._asked[job] + self.pause if job in self._asked else now
        return True

    def take(self, now: float) -> Hinted | None:
        """Take out a job that is to be asked about now; None where none is."""
        for job, due in self._due.items():
            if not now < due <= now + self.pause:  # later than that is a clock that was set back
                del self._due[job]
                self._asked[job] = now
                return job
        return None

    def wait(self, now: float) -> float | None:
        """Seconds until a job is to be asked about; None where none waits."""
        return max(0.0, min(self._due.values()) - now) if self._due else None

    def _forget(self, now: float) -> None:
        self._asked = {
            job: asked for job, asked in self._asked.items() if 0 <= now - asked < self.pause
        }
