"""The laws of test_laws.py at full strength, for every route.

Not collected by itself; `scripts/laws` runs it.
"""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from polyreel.providers.base.provider import Provider
from polyreel.providers.base.routes import Route
from polyreel.testing import laws
from polyreel.testing.bodies import bodies, malformed
from polyreel.testing.requests import requests_for
from support.laws import hold_for_body, hold_for_request, vendors
from support.requests import ROUTE_IDS, ROUTES

every_route = pytest.mark.parametrize(("provider", "route"), ROUTES, ids=ROUTE_IDS)
others = st.sampled_from(vendors())


@every_route
@given(data=st.data(), policy=st.sampled_from(["drop", "nearest"]))
def test_laws_of_requests(
    provider: Provider, route: Route, data: st.DataObject, policy: Any
) -> None:
    """Laws 1, 3, 5 and 6, and what planning and checking leave out to be quick."""
    request = data.draw(requests_for(route, provider.contract))
    hold_for_request(request, provider, route)
    laws.lenience_is_idle(request, provider, dict.fromkeys(request, policy))


@every_route
@given(data=st.data(), middle=others, target=others)
def test_laws_of_bodies(
    provider: Provider, route: Route, data: st.DataObject, middle: Provider, target: Provider
) -> None:
    """Laws 2 and 8, A -> B -> A, and law 3 for bodies."""
    hold_for_body(data.draw(bodies(provider, route)), provider, route, middle, target)


@every_route
@given(data=st.data(), target=others)
def test_malformed_bodies(
    provider: Provider, route: Route, data: st.DataObject, target: Provider
) -> None:
    """Law 3, however malformed a body is."""
    laws.accounted(data.draw(malformed(provider, route)), provider, target)
