"""What is pasted into the studio: whose it is, what is left of it, and what is wrong with it."""

from __future__ import annotations

import json
import random
import shlex
from typing import Any, Final

import polyreel
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polyreel.hosts import domain_of
from polyreel.places import JsonObject, leaves
from polyreel.plans.planning import Plan
from polyreel.plans.reading import read
from polyreel.providers.base.calling import key_scheme_of
from polyreel.providers.base.registry import all_providers, get_provider
from polyreel.studio.candidates import PastedCandidate
from polyreel.studio.pasting import MOST_BYTES, Pasted, recognised
from support.cli import CANARY
from support.matrix import drawn
from support.paths import TESTS
from support.snippets import by_kind, served

SEEDS: Final = sorted((TESTS / "seeds").glob("*.txt"))


def best(text: str) -> PastedCandidate:
    """The likeliest meaning of a text with one call."""
    [call] = recognised(text).calls
    assert call.candidates, call.problems
    return call.candidates[0]


def plans() -> list[Plan]:
    """The plans of some examples, of all in the whole matrix."""
    return [polyreel.plan(request, get_provider(vendor)) for request, vendor in drawn(served(), 25)]


def har(*made: Plan) -> JsonObject:
    """The calls of plans, and one that asks about a job, as a browser records them."""
    entries = [
        {
            "request": {
                "method": one.method,
                "url": one.url,
                "headers": [
                    {"name": name, "value": value}
                    for name, value in key_scheme_of(one.provider.contract).headers(CANARY).items()
                ],
                "postData": {"mimeType": "application/json", "text": one.content.decode()},
            },
            "response": {"status": 200, "content": {"text": json.dumps({"token": CANARY})}},
        }
        for one in made
    ]
    query = {"request": {"method": "GET", "url": "https://example.com/x", "headers": []}}
    return {"log": {"entries": [query, *entries]}}


def curl_of(made: Plan, *, key: str = CANARY) -> str:
    """The call of a plan as documentation shows it."""
    headers = key_scheme_of(made.provider.contract).headers(key)
    words = [word for one in headers.items() for word in ("-H", shlex.quote(": ".join(one)))]
    return f"$ curl -sS {made.url} \\\n {' '.join(words)} -d {shlex.quote(made.content.decode())}"


def check_is(found: PastedCandidate, made: Plan) -> None:
    """A candidate is the plan's vendor and model, with the request that the body says."""
    assert made.route is not None
    assert (found.vendor, found.model, found.fits) == (made.vendor, made.model, True)
    reading = read(made.body, made.provider, made.route.path, made.route.model)
    assert found.request == reading.request
    assert not [one for one in found.drift if one.severity != "note"]


# -- whose it is -----------------------------------------------------------------------------------


@pytest.mark.matrix
def test_every_call_is_recognised_by_its_address() -> None:
    """As the studio's own snippet has it, and as documentation does; no key is handed on."""
    for made in plans():
        for text in (by_kind(made.request, made.vendor)["curl"].text, curl_of(made)):
            found = recognised(text)
            assert found.kind == "curl"
            check_is(found.calls[0].candidates[0], made)
            assert CANARY not in repr(found)


@pytest.mark.matrix
def test_other_hosts() -> None:
    """One of the vendor's domain speaks for it, and the path at a stranger's says less than a body.

    A path that nobody documents is none of a vendor that takes any path.
    """
    for made in plans():
        text = curl_of(made)
        for url in (f"https://x.{domain_of(made.url)}/any/path", "https://x.example.com/any/path"):
            [call] = recognised(text.replace(made.url, url)).calls
            assert call.candidates[0].fits
            assert made.vendor in {one.vendor for one in call.candidates}
            strange = "x.example.com is the host of no vendor that is known"
            assert any(strange in one for one in call.problems) is (".example.com" in url)
            if ".example.com" not in url:
                assert {one.vendor for one in call.candidates} == {made.vendor}


@pytest.mark.matrix
def test_every_body_is_recognised_by_itself() -> None:
    """Its vendor is among the likeliest, and first where the body names a model of its own."""
    for made in plans():
        [call] = recognised(json.dumps(made.body)).calls
        assert call.candidates[0].fits
        assert made.route is not None
        if any(row.names_route(made.body) for row in made.route.constants):
            assert call.candidates[0].vendor == made.vendor


def test_a_body_that_fits_many_names_one_of_each_vendor_first() -> None:
    """However many models the first vendor sells by such a body, the others are not hidden."""
    fitting = {
        vendor
        for vendor, provider in all_providers().items()
        if any(
            not provider.contract.accepts(route.schema, {"prompt": "a harbour at dawn"})
            and not any(route.strangeness({"prompt": "a harbour at dawn"}, provider.contract))
            for route in provider.routes
        )
    }
    [call] = recognised('{"prompt": "a harbour at dawn"}').calls
    first = [one.vendor for one in call.candidates[: len(fitting)]]
    assert len(fitting) > 1
    assert sorted(first) == sorted(fitting)


@pytest.mark.matrix
def test_the_calls_of_a_recording() -> None:
    """Those that make jobs; without the keys in their headers and answers."""
    made = plans()[:5]
    found = recognised(json.dumps(har(*made)))
    assert (found.kind, found.message) == ("recording", "5 of 6 calls can make a job")
    for call, one in zip(found.calls, made, strict=True):
        check_is(call.candidates[0], one)
    assert CANARY not in repr(found)


@pytest.mark.parametrize("page", SEEDS, ids=lambda page: page.stem)
def test_the_commands_of_vendors_pages(page: Any) -> None:
    """Also where the page leaves the host open."""
    found = recognised(page.read_text(encoding="utf-8"))
    assert found.kind == "curl"
    for call in found.calls:
        vendor = call.candidates[0].vendor.replace("-", "_")
        assert page.stem.startswith(vendor)


@pytest.mark.matrix
def test_a_body_for_others() -> None:
    """A candidate is written for any other vendor, with a verdict for every leaf."""
    made = next(one for one in plans() if len(one.body) > 3)
    found = best(curl_of(made))
    for target in polyreel.all_providers().values():
        done = found.translated(target)
        assert {one.source for one in done.verdicts if one.source} >= {
            at for at, _ in leaves(made.body)
        }


# -- how it is written -----------------------------------------------------------------------------

PROMPT: Final = 'it\'s a "cat" — 🐈\nin $HOME'
MADE: Final = next(
    found
    for one in polyreel.all_providers().values()
    for found in [polyreel.plan({"prompt": PROMPT, "duration": 5}, one)]
    if found.route and any(row.native == "model" for row in found.route.constants)
)
"""A body with what shells and browsers escape."""


def test_how_commands_are_written() -> None:
    """Browsers, PowerShell, the command prompt, here-documents, options in one word."""
    body, url = MADE.content.decode(), MADE.url
    ansi = json.dumps(body)[1:-1].replace("'", "\\'")
    prompt = body.replace("\\", "\\\\").replace('"', '\\"').replace('"', '^"')
    for text in (
        f"curl '{url}' -X POST -H 'accept: */*' --data-raw $'{ansi}' --compressed",
        f"curl -sXPOST {url} --json @- <<'END'\n{body}\nEND\necho done",
        f"JOB=$(curl --silent --url={url} -d {shlex.quote(body)} | jq .id)\necho $JOB",
        f'curl.exe ^\r\n  --request POST ^"{url}^" ^\r\n  -H ^"a: b^" --data-raw ^"{prompt}^"\r\n',
        f"# a comment\ncurl `\n  {url} `\n  -d {shlex.quote(body)}",
        f"export A=1; curl -m 5 -u me:{CANARY} -b 'a={CANARY}' {url} -d{shlex.quote(body)} && ls",
    ):
        found = recognised(text)
        assert found.kind == "curl", found
        assert found.calls[0].body == MADE.body, text
        assert CANARY not in repr(found)


def test_forms_and_files() -> None:
    """The parts of a form are the members of a body; a file that was not pasted is asked for."""
    request, vendor = next(
        one for one in served() if get_provider(one[1]).files == "multipart" and len(one[0]) > 1
    )
    made = polyreel.plan(request, get_provider(vendor))
    form = [f"-F {shlex.quote(f'{name}={text}')}" for name, text in made.body.items()]
    texts = {name: text for name, text in made.body.items() if isinstance(text, str)}
    [call] = recognised(f"curl {made.url} {' '.join(form)} -F 'image=@\"a b.png\";type=x'").calls
    assert call.candidates[0].vendor == vendor
    assert call.body == {**call.body, **texts, "image": "a b.png"}
    [call] = recognised(f"curl {made.url} -d @body.json").calls
    assert "paste its content" in call.problems[0]


def test_python() -> None:
    """A literal, and a call with requests as pages show it."""
    assert best(repr(MADE.body)).body == MADE.body
    text = (
        f"import requests\nurl = {MADE.url!r}\nseconds = 5\n"
        f"payload = {repr({**MADE.body, 'duration': 0}).replace(' 0', ' seconds')}\n"
        f"headers = {{'Authorization': 'Bearer {CANARY}', 'Content-Type': 'application/json'}}\n"
        "print(requests.post(url, headers=headers, json=payload).json())"
    )
    found = recognised(text)
    assert found.kind == "python"
    check_is(found.calls[0].candidates[0], MADE)
    assert CANARY not in repr(found)
    for text, name in (
        ("requests.post(url, json={'prompt': prompt})", "prompt"),
        ("payload = {'prompt': text}\nrequests.post(url, json=payload)", "text"),
        ("payload = {'prompt': f'{x}'}\nrequests.post(url, json=payload)", "payload"),
        ("requests.post(url, json=payload)", "payload"),
    ):
        assert recognised(text).message.startswith(f"{name} has no value that can be read here")


def test_shared_requests() -> None:
    """Alone, as a call to a gateway, and with mistakes."""
    request = {"prompt": "a cat", "model": "kling-v3", "aspect_ratio": "9:16", "shots": []}
    del request["shots"]
    for text in (json.dumps(request), json.dumps({"request": request, "vendors": ["x"]})):
        found = recognised(text)
        assert (found.kind, found.request) == ("request", request)
    found = recognised(json.dumps({**request, "reference_images": "x", "durationn": 5}))
    assert found.kind == "request"
    assert any("did you mean duration?" in one for one in found.problems)


# -- what is wrong with it -------------------------------------------------------------------------


def test_what_is_left_and_what_drifts() -> None:
    """An unknown member has near ones; a value outside the spec is a difference."""
    found = best(json.dumps({**MADE.body, "duratoin": 5, "duration": 99}))
    assert found.vendor == MADE.vendor
    assert not found.fits
    [left] = found.left
    assert (left.place, left.is_known, left.near) == ("/duratoin", False, ("duration",))
    drift = {(one.kind, one.traffic) for one in found.drift}
    assert drift == {("maximum", "/request/body/duration"), ("member", "/request/body/duratoin")}


def test_keys_in_a_body_are_hidden() -> None:
    """By their names, and where they are those of the headers."""
    body = {**MADE.body, "api_key": "something", "note": f"my key is {CANARY}", "prompt": "a"}
    address = f"{MADE.url}?key=very-secret-123 -H 'Authorization: Bearer {CANARY}'"
    found = recognised(f"curl {address} -d '{json.dumps(body)}'")
    assert found.calls[0].candidates
    shown = repr(found)
    assert CANARY not in shown
    assert "something" not in shown
    assert "very-secret-123" not in shown


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "nothing was pasted"),
        ("  \n", "nothing was pasted"),
        ("a cat in the rain", "not recognised"),
        ("x" * (MOST_BYTES + 1), "too many"),
        ("[" * 500_000, "nested too deeply"),
        ('{"a":' * 40 + "1" + "}" * 40, "nested too deeply"),
        ('{"prompt": NaN}', "NaN is not JSON"),
        ('{"seed": ' + "9" * 5000 + "}", "too large"),
        ('{"prompt": "a", "seed": 1e999}', "too large"),
        ("[]", "no object"),
        ("[1, 2]", "no object"),
        ("{}", "empty"),
        ('{"prompt": ', "not JSON"),
        (json.dumps({f"m{number}": 1 for number in range(300)}), "more than 200 members"),
        (json.dumps({"n" * 201: 1}), "more than 200 characters"),
        ("{" + "-" * 90_000, "not JSON"),
        ("curl 'https://example.com", "a quote is opened"),
        ("curl https://example.com/", "sends no body"),
        ("curl https://example.com/ -d 'a=b'", "not JSON"),
        (json.dumps({"log": {"entries": []}}), "no call is recorded"),
        (json.dumps({"log": 5}), "log is not an object"),
        ("\ud800", "not recognised"),
        (r"r.post('https://example.com/\ud800', json={'a': 1})", "no vendor has a body like this"),
    ],
)
def test_what_cannot_be_read_is_said(text: str, message: str) -> None:
    """In one sentence; nothing is raised."""
    found = recognised(text)
    said = " ".join([found.message, *(one for call in found.calls for one in call.problems)])
    assert message in said
    assert len(said) < 1000


def test_a_mistyped_model() -> None:
    """The nearest name that some vendor has is asked for."""
    model = MADE.body["model"]
    [call] = recognised(json.dumps({"model": f"{model}x", "nothing": 1})).calls
    assert any(model in one for one in call.problems)


ODD: Final[list[Any]] = [
    *(None, True, -1, 1e308, "", "x", [], {}, [None], [[]], [{}], {"a": {"b": [1]}}, 10**30),
    *({"": ""}, [1, "x", {}], "\x00", "auto", "9" * 50, {"$ref": "#/x"}),
]
PIECES: Final = [
    *("null", "1e999", "NaN", '""', "\\ud800", "\0", "'", '"', "\\", "$(", "`", "^\n", "\r\n"),
    *("<<EOF\n", "{", "[", "}", "]", ",", ":", "@", " --json ", " -F a=@b ", "#", "-d", "\u2028"),
    *("http://[::1/", "https://x:99999999/", "{BASE_URL}", "(", ")", "'''", "requests.post("),
]


def altered(text: str, drawing: random.Random) -> str:
    """A text with something wrong in it: in the values of its JSON, or anywhere."""
    if text[:2] == '{"' and drawing.random() < 0.6:
        return json.dumps(altered_value(json.loads(text), drawing))
    for _ in range(drawing.randint(1, 4)):
        begin = drawing.randrange(len(text) + 1)
        end = begin + drawing.choice([0, 1, 1, 2, 5, 40])
        text = text[:begin] + drawing.choice([*PIECES, "", text[begin:end] * 2]) + text[end:]
    return text


def altered_value(value: Any, drawing: random.Random) -> Any:
    """A JSON value, with one of its parts gone, renamed, or something else."""
    if isinstance(value, dict) and value and drawing.random() < 0.8:
        rest, name = dict(value), drawing.choice([*value])
        part = rest.pop(name)
        change = drawing.random()
        if change < 0.2:
            return rest
        return {**rest, name + "x" * (change < 0.4): altered_value(part, drawing)}
    if isinstance(value, list) and value and drawing.random() < 0.7:
        return [altered_value(value[0], drawing), *value[1:]]
    return drawing.choice(ODD)


@given(number=st.integers(0), drawing=st.randoms(use_true_random=False))
def test_whatever_is_pasted_has_an_answer(number: int, drawing: random.Random) -> None:
    """Nothing is raised and no key is shown, however broken it is."""
    cases = served()
    request, vendor = cases[number % len(cases)]
    made = polyreel.plan(request, get_provider(vendor))
    for text in (curl_of(made), json.dumps(har(made)), json.dumps(made.body), repr(made.body)):
        found = recognised(altered(text, drawing))
        assert isinstance(found, Pasted)
        assert found.message
        for call in found.calls[:1]:
            for one in call.candidates[:1]:
                assert one.translated(get_provider(vendor)).verdicts is not None
