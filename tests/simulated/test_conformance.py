"""polyreel's own vendors go through the suite that it gives to others; and the suite sees what is
wrong.
"""

import importlib.util
import json
from collections.abc import Callable
from typing import Any, Final

import pytest
from attrs import evolve
from polyreel.flows import Reply
from polyreel.places import JsonObject
from polyreel.providers.base.contract import Contract
from polyreel.providers.base.facts import Facts
from polyreel.providers.base.provider import Provider
from polyreel.providers.base.registry import all_providers
from polyreel.testing import replies
from polyreel.testing.conformance import ProviderConformance
from polyreel.testing.contracts import complaints
from polyreel.testing.examples import submittable
from polyreel.testing.registration import registered
from support.paths import EXAMPLE_VENDOR

EXAMPLES: Final = 5
"""test_laws.py tries the laws with more, and with every table."""

# No vendor is named here: each gets a class of its own, found by pytest as if it were written out.
# What opens a socket is in tests/servers.
for _provider in map(type, all_providers().values()):
    _name = f"Test{_provider.__name__}"
    _own = {"provider": _provider, "examples": EXAMPLES, "test_no_key_is_shown": None}
    globals()[_name] = type(_name, (ProviderConformance,), _own)

for _law in (name for name in vars(ProviderConformance) if name.startswith("test_law_")):
    pytest.mark.matrix("class", "route.workflow")(getattr(ProviderConformance, _law))
pytest.mark.matrix("class+route.workflow", "route.model")(
    ProviderConformance.test_a_job_runs_to_its_end
)
pytest.mark.matrix("class", "fault")(ProviderConformance.test_one_call_is_billed_at_most_once)
pytest.mark.matrix("class", "poll_fault")(ProviderConformance.test_a_bad_poll_harms_nothing)


# -- the suite sees what is wrong ------------------------------------------------------------------

EXAMPLE = EXAMPLE_VENDOR / "__init__.py"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> type[Provider]:
    """The worked example."""
    folder = tmp_path_factory.mktemp("example") / "worked_example"
    folder.mkdir()
    for path in EXAMPLE.parent.glob("*.*"):
        (folder / path.name).write_bytes(path.read_bytes())
    spec = importlib.util.spec_from_file_location("worked_example", folder / "__init__.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder.parent))
        spec.loader.exec_module(module)
    found: type[Provider] = module.AcmeVideo
    return found


def paths(document: JsonObject) -> tuple[JsonObject, JsonObject]:
    """The create and the status query."""
    return document["paths"]["/v2/clips"]["post"], document["paths"]["/v2/clips/{ref}"]["get"]


def replies_of(call: JsonObject, status: str = "200") -> JsonObject:
    """The examples of a reply."""
    found: JsonObject = call["responses"][status]["content"]["application/json"]["examples"]
    return found


def phase(document: JsonObject) -> JsonObject:
    """The schema of the status word."""
    found: JsonObject = document["components"]["schemas"]["ClipReply"]["properties"]["clip"][
        "properties"
    ]["phase"]
    return found


BROKEN: Final[dict[str, Callable[[JsonObject], Any]]] = {
    "polyreel reads 3.1": lambda d: d.update(openapi="3.0.0"),
    "must be an https URL": lambda d: d.update(servers=[{"url": "http://x.example"}]),
    "no operation has x-polyreel-role get": lambda d: paths(d)[1].update(
        {"x-polyreel-role": "list"}
    ),
    "'fetch' is none of": lambda d: paths(d)[1].update({"x-polyreel-role": "fetch"}),
    "has the task id, and nothing else": lambda d: d["paths"]["/v2/clips"]["get"].update(
        {"x-polyreel-role": "get"}
    ),
    "does a repeated call pay again": lambda d: paths(d)[0].pop("x-polyreel-idempotency"),
    "a key travels in a header": lambda d: paths(d)[0]["x-polyreel-idempotency"].pop("header"),
    "x-polyreel-not-accepted [500]": lambda d: paths(d)[0].update(
        {"x-polyreel-not-accepted": [500]}
    ),
    "no example reply is called running": lambda d: replies_of(paths(d)[1]).pop("running"),
    "no example reply is called queued": lambda d: replies_of(paths(d)[0]).pop("queued"),
    "no example of the error not_found": lambda d: paths(d)[1]["responses"].pop("404"),
    "the 429 has no example called": lambda d: replies_of(paths(d)[0], "429").update(
        slow=replies_of(paths(d)[0], "429").pop("rate_limited")
    ),
    "HTTP 500 has a body and no example": lambda d: replies_of(paths(d)[0], "500").clear(),
    '"ref" is a required property': lambda d: replies_of(paths(d)[1])["failed"]["value"][
        "clip"
    ].pop("ref"),
    "clip.phase is a closed list": lambda d: phase(d).update(enum=["waiting"]),
    "no example body can be sent as ImageClip": lambda d: paths(d)[0]["requestBody"]["content"][
        "application/json"
    ]["examples"].pop("image"),
    "fits no schema": lambda d: paths(d)[0]["requestBody"]["content"]["application/json"][
        "examples"
    ].update(odd={"value": {}}),
    "has no named schema": lambda d: paths(d)[0]["requestBody"]["content"][
        "application/json"
    ].update(schema={}),
    "which createClip does not take": lambda d: paths(d)[0]["requestBody"]["content"][
        "application/json"
    ]["schema"].update(oneOf=[{"$ref": "#/components/schemas/TextClip"}]),
    "has not the role create": lambda d: paths(d)[0].update({"x-polyreel-role": "upload"}),
    "to do: openapi.json /info/title: a better one": lambda d: d["info"].update(
        title="TODO: a better one"
    ),
}


def test_the_worked_example_has_no_fault(good: type[Provider]) -> None:
    """So that each complaint below is about what was broken."""
    assert list(complaints(good())) == []


@pytest.mark.parametrize("reported", BROKEN)
def test_a_broken_contract_is_complained_about(good: type[Provider], reported: str) -> None:
    """In words that say what to do."""
    provider = good()
    document = json.loads(json.dumps(provider.contract.document))
    BROKEN[reported](document)
    provider.__dict__["contract"] = Contract(document)
    assert any(reported in complaint for complaint in complaints(provider)), list(
        complaints(provider)
    )


def test_what_is_left_to_do_is_reported(good: type[Provider]) -> None:
    """Also in the tables."""
    provider = good()
    route = evolve(good.routes[0], ignored={"options.seed": "TODO: what is it?"})
    provider.routes = (route,)  # type: ignore[misc]
    assert "to do: TextClip options.seed: what is it?" in list(complaints(provider))


def test_wrong_status_words_are_seen(good: type[Provider]) -> None:
    """A word that means another state than the example it stands in, or is not spelled as words are
    looked up.
    """
    suite = ProviderConformance()
    for change in ({"rendering": "succeeded"}, {"Ready": "succeeded"}, {"ready": "done"}):
        provider = good()
        provider.statuses = {**good.statuses, **change}  # type: ignore[misc, dict-item]
        with pytest.raises(AssertionError):
            suite.test_status_words_mean_something(provider)


def test_a_reader_that_believes_everything_is_seen(good: type[Provider]) -> None:
    """One that takes any reply for a success, and one that stumbles."""

    class Believer(good):  # type: ignore[misc, valid-type]
        """A vendor."""

        def read(self, reply: Reply, webhook: Any = None) -> Facts:
            """Always a success."""
            return Facts(None, "succeeded", None, (), None, None, None, None, None, {})

    class Stumbler(good):  # type: ignore[misc, valid-type]
        """A vendor."""

        def read(self, reply: Reply, webhook: Any = None) -> Facts:
            """Without looking."""
            word = reply.json()["clip"]["phase"].lower()
            return Facts(None, good.statuses[word], word, (), None, None, None, None, None, {})

    with pytest.raises(AssertionError):
        replies.not_a_success(Believer(), b"<html>")
    with pytest.raises((KeyError, TypeError, AttributeError)):
        replies.readable(Stumbler(), {"clip": {"phase": 3}})


def test_an_unsafe_status_query_is_seen(good: type[Provider]) -> None:
    """One that goes to another address than the contract's."""

    class Astray(good):  # type: ignore[misc, valid-type]
        """A vendor."""

        def get_request(self, task_id: str) -> Any:
            """Elsewhere."""
            return {"method": "get", "url": f"/v1/clips/{task_id}"}

    replies.asked_for(good(), "clip_1")
    with pytest.raises(AssertionError):
        replies.asked_for(Astray(), "clip_1")


def test_a_vendor_with_the_id_of_another_is_not_taken_for_it() -> None:
    """An installed vendor is found as it is; its name is nobody else's."""
    provider = next(iter(all_providers().values()))
    assert registered(type(provider)) is provider
    with pytest.raises(AssertionError, match="another vendor"):
        registered(type("Other", (type(provider),), {}))


def test_a_route_that_nothing_asks_for_is_reported(good: type[Provider]) -> None:
    """With the reasons."""
    provider = good()
    document = json.loads(json.dumps(provider.contract.document))
    del paths(document)[0]["requestBody"]["content"]["application/json"]["examples"]
    provider.__dict__["contract"] = Contract(document)
    route = evolve(good.routes[0], rows=good.routes[0].rows[:2])
    asked = {"prompt": "a cat"}
    assert submittable(provider, good.routes[0], [asked]).request == asked
    with pytest.raises(AssertionError, match="no request asks for acme-one text-to-video"):
        submittable(provider, route)
