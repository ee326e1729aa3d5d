"""Several vendors for one job: which is tried first, when the next is tried, and which one rests.

The next vendor is tried only where the one before is proved to have accepted nothing. After a lost
answer no other vendor is tried: there could be two bills for one clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Literal, Unpack

from attrs import Factory, define

from ..errors import AmbiguousError, NeverSentError, RejectedError, RequestError, SubmitError
from ..flows import Flow, now
from ..plans.planning import PlanRefusedError
from .submitting import SubmitOptions, submit

if TYPE_CHECKING:
    from polyreel_generated.shared import Job, RoutingStep

    from ..plans.planning import Plan

Preference = Literal["order", "cheapest"]
Result = Literal["taken", "refused", "resting", "unpaid"]
FAILURES_IN_A_ROW: Final = 3
"""After this many failures a vendor rests: it is not tried for some time."""
FIRST_REST: Final = 30.0
"""Seconds of the first rest; each further one is twice as long."""
LONGEST_REST: Final = 600.0
BUDGET: Final = 10.0
"""How many retries a vendor may get in a row."""
EARNED: Final = 0.1
"""How much of a retry each accepted job adds to the budget again."""


def ranked(plans: Sequence[Plan], prefer: Preference = "order") -> list[Plan]:
    """Order the plans as they are tried. A plan of unknown price is never cheap: it comes last."""
    if prefer == "order":
        return list(plans)
    # Stable, so that the caller's order decides among equals.
    return sorted(plans, key=lambda plan: (plan.cost.usd is None, plan.cost.usd or 0))


@define
class _VendorHealth:
    failures: int = 0
    rests_until: float = 0.0
    rest: float = FIRST_REST
    budget: float = BUDGET


@define
class Health:
    """How reliable vendors are, as far as this client has seen. Moments are seconds since 1970."""

    _vendors: dict[str, _VendorHealth] = Factory(dict)

    def _of(self, vendor: str) -> _VendorHealth:
        return self._vendors.setdefault(vendor, _VendorHealth())

    def rests(self, vendor: str, seconds: float) -> float:
        """How many more seconds a vendor rests; 0 where it does not rest.

        After a rest, a single failure leads to the next rest.
        """
        return max(0.0, self._of(vendor).rests_until - seconds)

    def retries(self, vendor: str, wanted: int) -> int:
        """How many of the wanted retries a vendor may get now."""
        return min(wanted, int(self._of(vendor).budget))

    def worked(self, vendor: str) -> None:
        """Note that a vendor has accepted a job."""
        health = self._of(vendor)
        health.failures, health.rest = 0, FIRST_REST
        health.budget = min(BUDGET, health.budget + EARNED)

    def failed(self, vendor: str, seconds: float, *, retries: int = 0) -> None:
        """Note that a vendor could not be reached, or was too busy, and its retries are used up."""
        health = self._of(vendor)
        health.failures += 1
        health.budget = max(0.0, health.budget - retries)
        if health.failures >= FAILURES_IN_A_ROW:
            health.rests_until = seconds + health.rest
            health.rest = min(LONGEST_REST, health.rest * 2)


def goes_elsewhere(plan: Plan, error: SubmitError) -> bool:
    """Whether another vendor may be tried after this outcome."""
    if isinstance(error, NeverSentError):
        return True
    if not isinstance(error, RejectedError):
        return False
    if error.is_busy or error.unpayable:
        return True
    return error.code in plan.provider.unknown_model_codes


def submit_somewhere(
    plans: Sequence[Plan],
    health: Health,
    *,
    retries: int,
    **options: Unpack[SubmitOptions],
) -> Flow[Job]:
    """Submit to the first vendor that accepts the job; see `submit` for the arguments.

    `job.routing` says what happened at each vendor before. The error of the last vendor that was
    tried is raised where none accepts; PlanRefusedError where none can express the request.
    """
    if not plans:
        raise RequestError(["no vendor to choose from"])
    steps: list[RoutingStep] = []
    last: SubmitError | None = None
    for plan in plans:
        obstacle = yield from _obstacle(plan, health)
        if obstacle is not None:
            steps.append(obstacle)
            continue
        allowed = health.retries(plan.vendor, retries)
        try:
            taken = [*steps, _step(plan, "taken", f"cost: {plan.cost}")]
            job = yield from submit(plan, retries=allowed, routing=taken, **options)
        except SubmitError as error:
            yield from _note(plan, error, health, allowed)
            if not goes_elsewhere(plan, error):
                raise
            steps.append(_step(plan, "unpaid", str(error)))
            last = error
            continue
        health.worked(plan.vendor)
        return job
    raise last or _nobody(plans, steps)


def _obstacle(plan: Plan, health: Health) -> Flow[RoutingStep | None]:
    """Why a plan is not tried; None where it is tried."""
    rests = health.rests(plan.vendor, (yield from now()))
    if plan.refused:
        return _step(plan, "refused", "; ".join(violation.message for violation in plan.violations))
    if rests > 0:
        reason = f"it has failed {FAILURES_IN_A_ROW} times in a row; {rests:.0f} s more"
        return _step(plan, "resting", reason)
    return None


def _note(plan: Plan, error: SubmitError, health: Health, retries: int) -> Flow[None]:
    """Note a failure of the vendor. A refusal of this particular request is none."""
    seconds = yield from now()
    is_busy = isinstance(error, RejectedError) and error.is_busy
    if is_busy or isinstance(error, NeverSentError | AmbiguousError):
        used = 0 if isinstance(error, AmbiguousError) else retries
        health.failed(plan.vendor, seconds, retries=used)


def _step(plan: Plan, result: Result, reason: str) -> RoutingStep:
    from polyreel_generated.shared import RoutingStep  # noqa: PLC0415

    cost = plan.cost.document()
    return RoutingStep(vendor=plan.vendor, result=result, reason=reason, cost=cost)


def _nobody(
    plans: Sequence[Plan], steps: Sequence[RoutingStep]
) -> PlanRefusedError | NeverSentError:
    if all(step.result == "refused" for step in steps):
        return PlanRefusedError(plans[0], plans[0].violations)
    reasons = "; ".join(f"{step.vendor}: {step.reason}" for step in steps)
    return NeverSentError(
        f"no vendor was asked ({reasons}), so nothing was billed. It is safe to try again"
    )
