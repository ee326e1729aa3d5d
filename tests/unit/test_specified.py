"""Calls and bodies made at run time: what a generated client gives, without one."""

import json
from typing import Any

import pytest
from attrs import evolve
from polyreel.providers.base.calling import PLACEHOLDER, task_place
from polyreel.providers.base.contract import Contract
from polyreel.providers.base.facts import Reads, SimulatedTask
from polyreel.providers.base.registry import all_providers
from polyreel.providers.base.specified import (
    OutsideContractError,
    SpecifiedProvider,
    body,
    filled_in,
    load,
    operation,
    snake,
)
from support.loops import in_one_test
from support.paths import EXAMPLE_VENDOR

DOCUMENT = EXAMPLE_VENDOR / "openapi.json"
CONTRACT = Contract(json.loads(DOCUMENT.read_bytes()))


def test_a_request_is_built_from_the_contract() -> None:
    """Paths are quoted, parameters go where the contract has them, under either spelling of their
    names.
    """
    assert operation(CONTRACT, "getClip").build_request("a/b") == {
        "method": "get",
        "url": "/v2/clips/a%2Fb",
    }
    listed = operation(CONTRACT, "listClips")
    assert listed.build_request(page_size=3) == listed.build_request(pageSize=3)
    assert listed.build_request(page_size=3)["params"] == {"pageSize": 3}
    made = body(CONTRACT, "TextClip").from_dict({"text": "a cat"})
    sent = operation(CONTRACT, "createClip").build_request(body=made, acme_request_key="k")
    assert sent["json"] == {"text": "a cat"}
    assert sent["headers"] == {"Acme-Request-Key": "k"}


@pytest.mark.parametrize(
    ("call", "path", "options"),
    [("getClip", (), {}), ("getClip", ("a", "b"), {}), ("listClips", (), {"pages": 1})],
)
def test_a_request_that_the_contract_does_not_have_is_refused(
    call: str, path: Any, options: Any
) -> None:
    """As a generated function refuses arguments it does not have."""
    with pytest.raises(TypeError):
        operation(CONTRACT, call).build_request(*path, **options)


def test_a_query_that_is_needed_is_asked_for() -> None:
    """A header may be added later; a query may not."""
    document = json.loads(DOCUMENT.read_bytes())
    document["paths"]["/v2/clips"]["get"]["parameters"][0]["required"] = True
    with pytest.raises(TypeError, match="page_size"):
        operation(Contract(document), "listClips").build_request()


def test_names_are_looked_up() -> None:
    """A wrong name is told with the right ones."""
    with pytest.raises(LookupError, match="createClip"):
        operation(CONTRACT, "makeClip")
    with pytest.raises(LookupError, match="TextClip"):
        body(CONTRACT, "VideoClip")
    assert snake("X-Request-Id") == snake("xRequestId") == "x_request_id"


def test_replies_are_never_lost() -> None:
    """What does not fit the contract comes back with the reason; what has no contract, as it is."""
    call = operation(CONTRACT, "getClip")
    for _, _, _, value in CONTRACT.replies(call.described):
        assert call.parse_response(200, json.dumps(value).encode(), {}).content
    good = next(
        value for _, _, name, value in CONTRACT.replies(call.described) if name == "running"
    )
    assert call.parse_response(200, json.dumps(good).encode(), {}).parsed == good
    bad = call.parse_response(200, b'{"clip": {}}', {})
    assert isinstance(bad.parse_error, OutsideContractError)
    assert bad.parse_error.violations
    assert isinstance(call.parse_response(200, b"<html>", {}).parse_error, ValueError)
    assert call.parse_response(418, b"tea", {}) == call.parse_response(418, b"tea", {})
    assert call.parse_response(418, b"tea", {}).parse_error is None


@in_one_test(
    lambda: (
        (f"{p.id} {r.model} {r.workflow} {r.schema}", (p, r))
        for p in all_providers().values()
        for r in p.routes
    )
)
def test_it_builds_what_the_generated_client_builds(provider: Any, route: Any) -> None:
    """For every paid call and every status query of the vendors that have a generated client."""
    described = provider.operation(route)
    ours = operation(provider.contract, described.id)
    assert (ours.METHOD, ours.PATH) == (route.operation.METHOD, route.operation.PATH)
    query = operation(provider.contract, provider.contract.operation("get").id)
    where = task_place(provider.contract, query.described)
    assert where
    values = {**provider.routes[0].path_values, where.name: "task:1"}
    path = PLACEHOLDER.findall(query.PATH)
    asked: dict[str, Any] = {where.name: "task:1"} if where.place == "query" else {}
    built = query.build_request(*(values[name] for name in path), **asked)
    assert built == provider.get_request("task:1")
    assert body(provider.contract, route.schema).__name__ == route.schema


def _task(status: Any) -> SimulatedTask:
    urls = ("https://x.example/1.png", "https://x.example/2.png")
    facts: dict[str, Any] = {
        "id": "task_1",
        "status": status,
        "model": "m",
        "created": 1,
        "elapsed": 2,
        "progress": 7,
    }
    facts |= {
        "duration": 5,
        "width": 1,
        "height": 1,
        "prompt": "p",
        "credits": 5.0,
        "body": {},
        "urls": urls,
    }
    return SimulatedTask(**facts, content_type="image/png")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("https://old.example", "https://x.example/1.png"),
        (["a"], ["https://x.example/1.png", "https://x.example/2.png"]),
        (
            [{"url": "a", "kind": "png"}],
            [{"url": f"https://x.example/{n}.png", "kind": "png"} for n in (1, 2)],
        ),
        ({"url": "a"}, {"url": "https://x.example/1.png"}),
    ],
)
def test_examples_are_filled_in(old: Any, new: Any) -> None:
    """Id, links and progress go where they are read; what is null or elsewhere stays."""
    reads = Reads(id=("id", "data.id"), status=("status",), outputs=("out",), progress=("percent",))
    example = {"id": "x", "data": None, "out": old, "percent": 3, "status": "s"}
    assert filled_in(example, _task("succeeded"), reads) == {**example, "id": "task_1", "out": new}
    assert filled_in(example, _task("running"), reads) == {**example, "id": "task_1", "percent": 7}
    assert filled_in(example, _task("failed"), reads) == {**example, "id": "task_1"}


@pytest.mark.parametrize(("old", "new"), [("1", "12"), (1, 12)])
def test_the_id_of_a_subject_is_filled_in(old: Any, new: Any) -> None:
    """In the form that the example has; without files, its links stay."""
    reads = Reads(id=("id",), status=("status",), outputs=("out",), element=("made.subject",))
    example = {"id": "x", "status": "s", "out": {"url": "a"}, "made": {"subject": old}}
    task = evolve(_task("succeeded"), urls=(), element="12")
    found = filled_in(example, task, reads)
    assert found == {**example, "id": "task_1", "made": {"subject": new}}


def test_a_specified_provider_needs_its_document_only() -> None:
    """The contract, the status query and ids come from it."""

    class Example(SpecifiedProvider):
        """A vendor."""

        id, document = "an-example", CONTRACT

    made = Example()
    assert made.contract is CONTRACT
    assert made.base_url == "https://api.acme.example"
    assert made.get_request("clip_1") == {"method": "get", "url": "/v2/clips/clip_1"}
    assert made.new_task_id(1, 1, "a" * 32) == "task_" + "a" * 16


def test_a_status_query_is_needed() -> None:
    """Without one the provider says so."""

    class Example(SpecifiedProvider):
        """A vendor."""

        id = "an-example"
        document = Contract({"paths": {}, "servers": [{"url": "https://x.example"}]})

    with pytest.raises(LookupError, match="role get"):
        Example().get_request("1")


def test_a_contract_is_loaded_from_its_package() -> None:
    """From the file beside its module."""
    assert load("polyreel_generated.contracts", "polyreel.json").document["info"]
