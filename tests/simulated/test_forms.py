"""Submits as forms: the simulated vendors check them as they check JSON, before anything is
billed.
"""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from polyreel.providers.base.contract import Operation
from polyreel.providers.base.provider import Provider
from polyreel.providers.base.registry import all_providers
from polyreel.simulator import Simulator
from polyreel.simulator.transport import SimulatedTransport
from support.forms import shortest_form
from support.server import key_of

FORMS = [
    (provider, operation)
    for provider in all_providers().values()
    for operation in provider.contract.operations.values()
    if operation.role == "create" and operation.takes_files
]
WRONG = [
    ("duration", "-58800"),
    ("duration", "soon"),
    ("aspect_ratio", "1:17"),
    ("quality", "best"),
    ("n", "99"),
]


def test_some_vendor_takes_forms() -> None:
    """Or the test below would test nothing."""
    assert FORMS


@pytest.mark.parametrize(
    ("provider", "operation"), FORMS, ids=[operation.id for _, operation in FORMS]
)
def test_a_form_is_checked_like_json(provider: Provider, operation: Operation) -> None:
    """What the schema of the body refuses is refused in a form too, and costs nothing; what it
    takes is billed.
    """
    simulator, url = Simulator(seed=1), operation.server + operation.path
    known = {
        name
        for schema in operation.request_schemas
        for name in provider.contract.properties(schema)
    }
    wrong = [(name, value) for name, value in WRONG if name in known]
    right = shortest_form(provider, operation)
    assert len(wrong) >= 2
    with httpx.Client(
        transport=SimulatedTransport(simulator), headers={"Authorization": "Bearer x"}
    ) as client:
        for name, value in wrong:
            answer = client.post(url, files={**right, name: (None, value)})
            assert 400 <= answer.status_code < 500, (name, value, answer.text)
        assert simulator.bill.count() == 0
        assert client.post(url, files=right).status_code < 300
    assert simulator.bill.count() == 1


UPLOADS = [
    (provider, operation)
    for provider in all_providers().values()
    for operation in provider.contract.operations.values()
    if operation.role == "upload" and operation.takes_files
]


@pytest.mark.parametrize(
    ("provider", "operation"), UPLOADS, ids=[operation.id for _, operation in UPLOADS]
)
def test_a_strangers_field_is_not_repeated(provider: Provider, operation: Operation) -> None:
    """An upload's answer keeps to its schema, whatever else a form holds.

    (Schemathesis found it, 2026-11-21.)
    """
    form: dict[str, Any] = {
        "file": ("a.png", b"\x89PNG\r\n\x1a\n", "image/png"),
        "code": (None, "zero"),
        "success": (None, "maybe"),
    }
    with httpx.Client(
        transport=SimulatedTransport(Simulator()), headers=key_of(provider)
    ) as client:
        answer = client.post(operation.server + operation.path, files=form)
    schema = provider.contract.reply_schema(operation, 200)
    assert schema
    assert (answer.status_code, provider.contract.fits(schema, answer.json())) == (200, [])


LISTS = [
    (provider, operation)
    for provider in all_providers().values()
    for operation in provider.contract.operations.values()
    if operation.role == "list" and operation.method == "GET"
]


@pytest.mark.parametrize(
    ("provider", "operation"), LISTS, ids=[operation.id for _, operation in LISTS]
)
@pytest.mark.parametrize("page", [10**20, -(10**20), 10**60])
def test_a_number_beyond_all_pages_is_a_number(
    provider: Provider, operation: Operation, page: int
) -> None:
    """However many digits it has. (Schemathesis found it, 2026-11-21.)"""
    with httpx.Client(
        transport=SimulatedTransport(Simulator()), headers={"Authorization": "Bearer x"}
    ) as client:
        answer = client.get(
            operation.server + operation.path, params={"page": page, "page_size": abs(page)}
        )
    assert answer.status_code == 200
