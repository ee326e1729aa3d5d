"""What the assertions of polyreel.testing say: every charge, what led to it, and what to do."""

from __future__ import annotations

import httpx
import polyreel
import pytest
from polyreel.plans.planning import Plan
from polyreel.providers.base.registry import all_providers, get_provider
from polyreel.simulator import VirtualClock
from polyreel.simulator.transport import SimulatedTransport
from polyreel.testing import (
    WatchedSimulator,
    assert_billed,
    assert_billed_once,
    assert_no_key_shown,
    assert_nothing_billed,
)
from polyreel_generated.contracts.vendors import VendorId
from support.server import key_of
from support.vendors import vendor_id

VENDORS = list(all_providers())
KEY = "a-secret/of mine+"


def header_of(vendor: str) -> str | None:
    """The header by which a vendor knows a repetition."""
    provider = all_providers()[vendor]
    policy = provider.operation(provider.routes[0]).spec.get("x-polyreel-idempotency", {})
    return policy.get("header") if policy.get("mode") == "replay" else None


KEYED = next(vendor for vendor in VENDORS if header_of(vendor))
KEYLESS = next(vendor for vendor in VENDORS if not header_of(vendor))


def submit(simulator: polyreel.Simulator, plan: Plan, **headers: str) -> None:
    """Send a plan's bytes as any httpx client would, and overlook everything."""
    keyed = {**key_of(get_provider(plan.vendor)), **headers}
    with httpx.Client(transport=SimulatedTransport(simulator)) as client:
        try:
            assert plan.url is not None
            client.post(plan.url, json=plan.body, headers=keyed)
        except httpx.TransportError:
            pass


def planned(vendor: VendorId, prompt: str = "a cat") -> Plan:
    """A plan for a vendor."""
    return polyreel.plan({"prompt": prompt, "duration": 5}, vendor)


def reported(subject: object, count: int = 1, vendor: str | None = None) -> str:
    """What the assertion says."""
    with pytest.raises(AssertionError) as caught:
        assert_billed(subject, count, vendor)
    return str(caught.value)


@pytest.fixture
def simulator() -> WatchedSimulator:
    """A watched one."""
    return WatchedSimulator(VirtualClock(), 1)


def test_what_is_as_expected_passes(simulator: WatchedSimulator) -> None:
    """For one vendor or all, for a simulator or whatever has one."""
    assert_nothing_billed(simulator)
    submit(simulator, planned(vendor_id(KEYED)))
    assert_billed_once(simulator)
    assert_billed_once(simulator, KEYED)
    assert_nothing_billed(simulator, KEYLESS)
    with polyreel.Client(simulator=simulator) as client:
        assert_billed_once(client)
        client.submit(client.plan({"prompt": "a dog"}, get_provider(KEYLESS)))
    assert_billed(simulator, 2)


def test_a_job_billed_twice_is_explained(simulator: WatchedSimulator) -> None:
    """Every charge with its time and request, the fault, and advice that fits a vendor without
    idempotency keys.
    """
    simulator.inject("lost-reset")
    submit(simulator, planned(vendor_id(KEYLESS)))
    simulator.clock.advance(2)  # type: ignore[attr-defined]
    submit(simulator, planned(vendor_id(KEYLESS)))
    first, second = (charge.task for charge in simulator.bill.charges)
    path = simulator.journal[0][2]
    text = reported(simulator, vendor=KEYLESS)
    assert text.startswith(f"{KEYLESS} billed 2 jobs, expected 1\n\nbilled:\n")
    assert f"  job 1 at 0.0 s: {KEYLESS}, {first}, 5 credits, by request 1\n" in text
    assert (
        f"  job 2 at 2.0 s: {KEYLESS}, {second}, 5 credits, by request 2, the same body as job 1\n"
        in text
    )
    lost = "the connection was reset (fault lost-reset)"
    assert f"  request 1 at 0.0 s: POST {path}: {lost}, billed as job 1\n" in text
    assert f"  request 2 at 2.0 s: POST {path}: HTTP 200, billed as job 2\n" in text
    assert f"faults that happened: lost-reset ({KEYLESS})" in text
    assert "After lost-reset the vendor has the job" in text
    assert (
        f"{KEYLESS} documents no idempotency key: do not send a submit again by yourself." in text
    )


@pytest.mark.parametrize(
    ("keys", "advice"), [((), "knows the header"), (("one" * 8, "two" * 8), "was sent another")]
)
def test_the_advice_fits_the_keys_that_were_sent(
    simulator: WatchedSimulator, keys: tuple[str, ...], advice: str
) -> None:
    """Send the header, or send the same one."""
    header = header_of(KEYED)
    assert header is not None
    for key in keys or ("", ""):
        submit(simulator, planned(vendor_id(KEYED)), **({header: key} if key else {}))
    text = reported(simulator)
    assert f"{KEYED} {advice} {header}" in text
    assert "faults that happened" not in text


def test_different_jobs_are_distinguished(simulator: WatchedSimulator) -> None:
    """Two bodies, two jobs: nothing was repeated."""
    submit(simulator, planned(vendor_id(KEYED), "a cat"))
    submit(simulator, planned(vendor_id(KEYED), "a dog"))
    text = reported(simulator)
    assert "No two bodies are the same" in text
    assert "the same body" not in text


def test_nothing_expected(simulator: WatchedSimulator) -> None:
    """One job where none was expected."""
    submit(simulator, planned(vendor_id(KEYED)))
    with pytest.raises(AssertionError, match="billed 1 job, expected none"):
        assert_nothing_billed(simulator)


def test_nothing_came(simulator: WatchedSimulator) -> None:
    """The usual mistake: the code under test talks to somebody else."""
    assert "No submit reached this simulator" in reported(simulator)


def test_refusals_are_reported(simulator: WatchedSimulator) -> None:
    """What every submit was answered, in the vendor's words."""
    simulator.inject("refused")
    submit(simulator, planned(vendor_id(KEYED)))
    simulator.keys = frozenset({"another"})
    submit(simulator, planned(vendor_id(KEYED)))
    text = reported(simulator)
    assert "request 1 at 0.0 s: POST" in text
    assert ": the connection was refused (fault refused)\n" in text
    assert ": HTTP 401" in text
    assert "Not every submit was accepted" in text


def test_long_bills_are_cut(simulator: WatchedSimulator) -> None:
    """Twenty lines say enough."""
    for number in range(23):
        submit(simulator, planned(vendor_id(KEYED), f"cat {number}"))
    text = reported(simulator, 22)
    assert text.count("... and 3 more") == 2
    assert "job 20 at" in text
    assert "job 21 at" not in text


def test_a_simulator_that_is_not_watched_tells_what_it_knows() -> None:
    """The journal and the bill, without which made which."""
    plain = polyreel.Simulator(seed=1)
    for _ in range(2):
        submit(plain, planned(vendor_id(KEYLESS)))
    text = reported(plain)
    assert "job 2 at" in text
    assert "the same body as job 1" in text
    assert f"request 1: POST {plain.journal[0][2]}\n" in text


def test_a_reset_forgets_the_exchanges(simulator: WatchedSimulator) -> None:
    """With everything else."""
    submit(simulator, planned(vendor_id(KEYED)))
    assert simulator.exchanges[0].headers["content-type"] == "application/json"
    assert "authorization" not in simulator.exchanges[0].headers
    simulator.reset()
    assert simulator.exchanges == []
    assert_nothing_billed(simulator)


def test_what_has_no_bill_is_a_type_error() -> None:
    """Such as a client that is live; and a vendor that there is not is a wrong name, not a passing
    test.
    """
    with (
        polyreel.Client(keys={KEYED: "any"}) as client,
        pytest.raises(TypeError, match="this Client has none"),
    ):
        assert_nothing_billed(client)
    with pytest.raises(LookupError, match="nobody"):
        assert_nothing_billed(polyreel.Simulator(), "nobody")


@pytest.mark.parametrize(
    ("shown", "kind"),
    [
        (f"first\nAuthorization: Bearer {KEY} was sent\n", ""),
        (KEY.encode(), ""),
        (ValueError(f"no {KEY}"), ""),
        ("https://x.example/?key=a-secret%2Fof%20mine%2B", " quoted, as in a URL"),
        ("Basic YS1zZWNyZXQvb2YgbWluZSs=", " in Base64"),
    ],
)
def test_a_shown_key_is_found_and_not_shown_again(shown: object, kind: str) -> None:
    """In texts, bytes and exceptions, as it is or encoded."""
    with pytest.raises(AssertionError) as caught:
        assert_no_key_shown(shown, "another", KEY)
    text = str(caught.value)
    assert text.startswith(f"key 2 of 2 is shown{kind}: ")
    assert "****" in text
    assert KEY not in text
    if isinstance(shown, str) and "\n" in shown:
        assert text == "key 2 of 2 is shown: line 2, ...Authorization: Bearer **** was sent..."


def test_keys_that_are_not_shown_pass() -> None:
    """And asking about no key is a mistake."""
    assert_no_key_shown("Bearer ****", KEY)
    for none in ((), ("",)):
        with pytest.raises(ValueError, match="needs the keys"):
            assert_no_key_shown("text", *none)
