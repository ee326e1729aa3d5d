"""Several vendors for one job: which is asked first, when the next may be asked, and who rests for a while.

Only a vendor that is proved to have accepted nothing is followed by another. A lost answer never is: that would be
two bills for one clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

from attrs import Factory, define

from ..errors import AmbiguousError, NeverSentError, RejectedError, RequestError, SubmitError
from ..flows import Flow, now
from ..ledger.events import keep
from ..plans.planning import PlanRefusedError
from .submitting import RATE_LIMITED, submit

if TYPE_CHECKING:
    from polyreel_generated.shared import Job

    from ..plans.planning import Plan

Preference = Literal["order", "cheapest"]
UNPAYABLE: Final = 402
"""The account has no credits there: another vendor's may."""
UNKNOWN_MODEL: Final = frozenset({400, 404})
"""Statuses with which vendors say, by their code, that they do not sell a model."""
FAILURES_IN_A_ROW: Final = 3
"""After so many a vendor rests."""
FIRST_REST: Final = 30.0
LONGEST_REST: Final = 600.0
BUDGET: Final = 10.0
"""Retries that a vendor may get at once; every accepted job earns a tenth of one back."""
EARNED: Final = 0.1


def ranked(plans: Sequence[Plan], prefer: Preference = "order") -> list[Plan]:
    """The plans in the order in which they are tried. An unknown price is never cheap: it comes last."""
    if prefer == "order":
        return list(plans)
    # Stable, so that the caller's order decides among equals.
    return sorted(plans, key=lambda plan: (plan.cost.usd is None, plan.cost.usd or 0))


@define
class _State:
    failures: int = 0
    rests_until: float = 0.0
    rest: float = FIRST_REST
    budget: float = BUDGET


@define
class Health:
    """How vendors are doing, as far as this client has seen."""

    _states: dict[str, _State] = Factory(dict)

    def _of(self, vendor: str) -> _State:
        return self._states.setdefault(vendor, _State())

    def rests(self, vendor: str, seconds: float) -> float:
        """How many more seconds a vendor rests, 0 where it does not. After a rest one failure is enough for another."""
        return max(0.0, self._of(vendor).rests_until - seconds)

    def retries(self, vendor: str, wanted: int) -> int:
        """How many of the wanted retries a vendor may get now."""
        return min(wanted, int(self._of(vendor).budget))

    def worked(self, vendor: str) -> None:
        """A vendor has accepted a job."""
        state = self._of(vendor)
        state.failures, state.rest = 0, FIRST_REST
        state.budget = min(BUDGET, state.budget + EARNED)

    def failed(self, vendor: str, seconds: float, *, retries: int = 0) -> None:
        """A vendor could not be reached, or had no room, and its retries were used up."""
        state = self._of(vendor)
        state.failures += 1
        state.budget = max(0.0, state.budget - retries)
        if state.failures >= FAILURES_IN_A_ROW:
            state.rests_until = seconds + state.rest
            state.rest = min(LONGEST_REST, state.rest * 2)


def goes_elsewhere(plan: Plan, error: SubmitError) -> bool:
    """Whether another vendor may be asked after this outcome."""
    if isinstance(error, NeverSentError):
        return True
    if not isinstance(error, RejectedError):
        return False
    if error.status in {RATE_LIMITED, UNPAYABLE}:
        return True
    return error.status in UNKNOWN_MODEL and error.code in plan.provider.unknown_model_codes


def submit_somewhere(
    plans: Sequence[Plan], health: Health, *, retries: int, **options: Any
) -> Flow[Job]:
    """Submit to the first vendor that takes the job. `job.routing` tells what became of the ones before it.

    Raises what the last vendor that was asked has said; PlanRefusedError where none can express the request.
    """
    if not plans:
        raise RequestError(["no vendor to choose from"])
    steps: list[dict[str, Any]] = []
    last: SubmitError | None = None
    for plan in plans:
        obstacle = yield from _obstacle(plan, health)
        if obstacle is not None:
            steps.append(obstacle)
            continue
        allowed = health.retries(plan.vendor, retries)
        try:
            job = yield from submit(plan, retries=allowed, **options)
        except SubmitError as error:
            yield from _note(plan, error, health, allowed)
            if not goes_elsewhere(plan, error):
                raise
            steps.append(_step(plan, "unpaid", str(error)))
            last = error
            continue
        health.worked(plan.vendor)
        return (yield from keep(_routed(job, [*steps, _step(plan, "taken", f"cost: {plan.cost}")])))
    raise last or _nobody(plans, steps)


def _obstacle(plan: Plan, health: Health) -> Flow[dict[str, Any] | None]:
    """Why a plan is not tried; None where it is."""
    rests = health.rests(plan.vendor, (yield from now()))
    if plan.refused:
        return _step(plan, "refused", "; ".join(violation.message for violation in plan.violations))
    if rests > 0:
        return _step(
            plan, "resting", f"it has failed {FAILURES_IN_A_ROW} times in a row; {rests:.0f} s more"
        )
    return None


def _note(plan: Plan, error: SubmitError, health: Health, retries: int) -> Flow[None]:
    """Failures of the vendor's side count; refusals of this very request do not."""
    seconds = yield from now()
    if isinstance(error, NeverSentError | AmbiguousError) or error.status == RATE_LIMITED:
        health.failed(
            plan.vendor, seconds, retries=0 if isinstance(error, AmbiguousError) else retries
        )


def _step(plan: Plan, result: str, reason: str) -> dict[str, Any]:
    return {"vendor": plan.vendor, "result": result, "reason": reason, "cost": plan.cost.document()}


def _routed(job: Job, steps: list[dict[str, Any]]) -> Job:
    from polyreel_generated.shared import RoutingStep  # noqa: PLC0415

    return job.model_copy(update={"routing": [RoutingStep.model_validate(step) for step in steps]})


def _nobody(
    plans: Sequence[Plan], steps: Sequence[dict[str, Any]]
) -> PlanRefusedError | NeverSentError:
    if all(step["result"] == "refused" for step in steps):
        return PlanRefusedError(plans[0], plans[0].violations)
    told = "; ".join(f"{step['vendor']}: {step['reason']}" for step in steps)
    return NeverSentError(
        f"no vendor was asked ({told}), so nothing was billed. It is safe to try again"
    )
