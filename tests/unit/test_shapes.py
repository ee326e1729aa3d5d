"""What is remembered of the shapes of requests: which there are, for how long, and for whom."""

from threading import Thread
from typing import Any

import pytest
from polyreel.places import JsonObject
from polyreel.plans import choosing, shapes
from polyreel.plans.choosing import plan
from polyreel.plans.planning import Plan
from polyreel.plans.requests import check_request
from polyreel.plans.shapes import AnyValue, LookedAtError, Shape, Shapes, sighted
from polyreel.providers.base.contract import Contract
from polyreel.providers.base.provider import Provider
from polyreel.providers.base.registry import all_providers
from support.requests import EXAMPLES

VENDORS = list(all_providers().values())
VENDOR = VENDORS[0]
REQUEST: JsonObject = {"prompt": "a cat", "duration": 5, "audio": True}


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> Shapes:
    """Each test begins without any."""
    found = Shapes()
    monkeypatch.setattr(choosing, "SHAPES", found)
    return found


def shape(known: Shapes, request: JsonObject, vendor: Provider = VENDOR) -> Any:
    """What is known of a request's shape."""
    found = sighted(request, vendor, None, None, None, override=False, stream=False)
    return found and known._known.get(found[0])


@pytest.mark.parametrize("vendor", VENDORS, ids=lambda vendor: vendor.id)
def test_all_plain_requests_have_a_shape(known: Shapes, vendor: Provider) -> None:
    """No table looks at a text without marks, at what is behind a link's host, or at a seed."""
    seen = 0
    for request in EXAMPLES.values():
        found = sighted(request, vendor, None, None, None, override=False, stream=False)
        made = plan(request, vendor)
        if found is None or made.refused:
            assert shape(known, request, vendor) is None
            continue
        assert shape(known, request, vendor) == "once"
        plan(request, vendor)
        assert isinstance(shape(known, request, vendor), Shape), request
        again = known.plan(*found)
        assert again == made
        assert again.content == made.content
        seen += 1
    assert seen


def test_values_that_are_equal_are_not_the_same(known: Shapes) -> None:
    """True, 1 and 1.0 are equal in Python, and -0.0 is 0.0."""
    for _ in range(3):
        assert plan(REQUEST, VENDOR).request["audio"] is True
        for odd in (1, 1.0, "1"):
            with pytest.raises(ValueError, match="audio"):
                plan({**REQUEST, "audio": odd}, VENDOR)
        with pytest.raises(ValueError, match="allow"):
            plan(REQUEST, VENDOR, allow={"audio": 1})  # type: ignore[dict-item]
    assert len(known) == 1


def test_plans_share_nothing_that_can_be_changed(known: Shapes) -> None:
    """Whoever changes a plan's request or body changes that of no other plan."""
    link = "https://example.com/a.png"
    request = {"prompt": "a cat", "reference_images": [link, link]}
    expected = plan(request, VENDOR)
    for _ in range(4):
        made = plan(request, VENDOR)
        assert made == expected
        for part in (made.request, made.body, made.query):
            for value in part.values():
                if isinstance(value, list | dict):
                    value.clear()
            part["spoiled"] = 1  # type: ignore[index]
    assert isinstance(shape(known, request), Shape)
    assert request["reference_images"] == [link, link]


def test_other_vendors_and_other_contracts_are_looked_at_anew(
    known: Shapes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was learned before does not outlive them."""
    request = {**REQUEST, "model": plan(REQUEST, VENDOR).model}
    for _ in range(3):
        made = plan(request, VENDOR)
        assert not made.refused
    assert made.route is not None
    learned = shape(known, request)
    with monkeypatch.context() as patched:
        document = Contract({**VENDOR.contract.document}).closed_document
        document["components"]["schemas"][made.route.schema]["properties"]["prompt"] = {
            "maxLength": 2
        }
        patched.setitem(vars(VENDOR), "contract", Contract(document))
        assert plan(request, VENDOR).refused
    assert shape(known, request) is learned
    all_providers.cache_clear()
    assert not plan(request, VENDOR).refused
    assert shape(known, request) is not learned
    assert shape(known, request).vendors is all_providers()


def test_options_are_part_of_a_shape(known: Shapes) -> None:
    """Another address, other allowances and other preferences are planned for themselves."""
    there = "https://example.com/v1"
    options: list[Any] = [
        {},
        {"base_url": there},
        {"allow": {"duration": "nearest"}},
        {"preferences": {"resolution": "720p"}},
        {"preferences": {"resolution": "1080p"}},
        {"stream": True},
    ]
    expected = [plan(REQUEST, VENDOR, **one) for one in options]
    for _ in range(2):
        assert [plan(REQUEST, VENDOR, **one) for one in options] == expected
    assert expected[1].url.startswith(there)
    assert len(known) == len([one for one in expected if not one.refused])


def test_what_comes_once_takes_little_and_what_is_refused_takes_nothing(
    known: Shapes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the oldest shapes make room for others."""
    monkeypatch.setattr(shapes, "MOST", 3)
    for name in ("x" * 99, "\u00e9"):
        with pytest.raises(ValueError, match="no such field"):
            plan({"prompt": "a cat", name: 1}, VENDOR)
        assert plan({"prompt": "a cat", "model": name}, VENDOR).refused
    assert len(known) == 0
    for seconds in range(3, 9):
        plan({**REQUEST, "duration": seconds}, VENDOR)
        assert len(known) <= 3
    assert shape(known, {**REQUEST, "duration": 8}) == "once"
    assert shape(known, {**REQUEST, "duration": 3}) is None


def test_threads_share_what_is_known(known: Shapes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a lock, and without a wrong plan."""
    monkeypatch.setattr(shapes, "MOST", 2)
    wrong: list[Plan | BaseException] = []

    def work(start: int) -> None:
        try:
            for at in range(60):
                prompt, seconds = f"cat {start} {at}", 3 + (start + at // 3) % 5
                made = plan({"prompt": prompt, "duration": seconds}, VENDOR)
                if made.body["prompt"] != prompt or made.body["duration"] != seconds:
                    wrong.append(made)
        except BaseException as error:
            wrong.append(error)

    threads = [Thread(target=work, args=(start,)) for start in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert wrong == []
    assert len(known) <= 2 + len(threads)


def test_a_value_that_may_be_any_cannot_be_looked_at() -> None:
    """It can be handed on, and asked for its type, and what is in it is no secret kept."""
    absent: list[tuple[str, str]] = []
    value: Any = AnyValue(str, absent, "prompt")
    assert isinstance(value, str)
    assert not isinstance(value, list | dict | int)
    assert [value][0] is value
    nested: Any = [[], {}]
    assert value not in nested
    assert "@" not in value
    assert absent == [("prompt", "@")]
    looks: list[Any] = [
        *(len, bool, str, repr, hash, list, int, sorted, iter),
        *(lambda one: one + "x", lambda one: "x" + one, lambda one: one == "x"),
        *(lambda one: one < "x", lambda one: one[0], lambda one: one.strip(), lambda one: f"{one}"),
        *(lambda one: one in ("x", "y"), lambda one: {one: 1}, lambda one: {"x": 1}[one]),
        *(lambda one: one % 1, lambda one: 1 in one),
    ]
    for look in looks:
        with pytest.raises(LookedAtError):
            look(value)


def test_the_schema_of_requests_says_nothing_of_several_fields() -> None:
    """So each value of a request can be checked for itself."""
    told = {"type", "additionalProperties", "properties", "description", "customBasePath"}
    for name in ("VideoRequest", "ImageRequest", "ElementRequest"):
        assert Contract.load("polyreel").schema(name).keys() <= told


def test_a_checked_request_has_the_same_shape_as_its_fields(known: Shapes) -> None:
    """But its kind is said."""
    checked = check_request(REQUEST)
    for _ in range(3):
        made = choosing.choose(checked, VENDORS)
        assert made == plan(REQUEST, VENDOR)
    assert len(known) == 2
