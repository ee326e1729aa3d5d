"""Recorded traffic beside a spec: what fits, what does not, and what is shown of it."""

import copy
import json
from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest
from polyreel.places import JsonObject, find_value, pointer_parts
from polyreel.providers.base.provider import Provider
from polyreel.verification.exchanges import RecordedExchange
from polyreel.verification.patches import patched
from polyreel.verification.recordings import read_recording
from polyreel.verification.redaction import Redactor, redactor_of
from polyreel.verification.reports import VerificationReport, verify, with_document
from support.deviations import (
    JSON,
    PLANTS,
    PROVIDERS,
    case_of,
    checked,
    each_flat,
    each_vendor,
    extra_header_sent,
    unknown_member,
)
from support.recordings import FORMS, as_json_lines, recorded

# -- what fits -----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.matrix("provider", "form")
@pytest.mark.parametrize("form", FORMS)
@each_vendor
def test_traffic_from_the_simulator_fits(provider: Provider, form: str) -> None:
    """In every form of recording, each call is matched, and nothing differs."""
    exchanges = read_recording(FORMS[form](recorded(provider)), form)
    report = verify(exchanges, PROVIDERS)
    assert report.differences == ()
    assert report.unmatched == ()
    assert report.matched == len(exchanges) > 30
    assert report.fits


@each_vendor
def test_every_form_reads_the_same(provider: Provider) -> None:
    """Method, URL, bodies and status do not depend on the recorder."""
    lines = [
        one for one in recorded(provider) if "encoding" not in {**one["request"], **one["response"]}
    ]
    facts = []
    for form, write in FORMS.items():
        found = read_recording(write(lines), form)
        facts.append(
            [(x.number, x.method, x.url, x.request_body, x.status, x.response_body) for x in found]
        )
    assert facts == [facts[0]] * len(FORMS)


@each_vendor
def test_documented_errors_are_agreement(provider: Provider) -> None:
    """A body that the spec forbids and the vendor refuses is no difference; one that it accepts is
    a note.
    """
    lines = recorded(provider)[:1]
    refused = copy.deepcopy(lines[0])
    name, (status, example) = next(
        (name, (status, body))
        for status, _, name, body in provider.contract.replies(submit(provider))
        if status in {400, 422}
    )
    assert name
    refused["response"] = {"status": status, "headers": JSON, "body": json.dumps(example)}
    accepted = checked([refused])
    assert [one.kind for one in accepted.differences] == ["refused"]
    assert accepted.fits
    refused["request"]["body"] = "{}"
    assert checked([refused]).differences == ()


def submit(provider: Provider) -> Any:
    return next(o for o in provider.contract.operations.values() if o.role == "create")


# -- what does not -------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.matrix("provider", "name")
@pytest.mark.parametrize("name", PLANTS)
@each_flat
def test_a_planted_deviation_is_found_and_healed(provider: Provider, name: str) -> None:
    """It is found exactly, with its place in the traffic and in the spec, and its patch makes the
    traffic fit.
    """
    case = case_of(provider)
    expected = PLANTS[name](case)
    if expected is None:
        pytest.skip("this vendor cannot deviate so")
    report = checked(case.lines)
    assert sorted((one.kind, one.traffic) for one in report.differences) == sorted(
        one[:2] for one in expected
    )
    ends = {place: spec for _, place, spec in expected}
    for one in report.differences:
        assert one.spec.endswith(ends[one.traffic])
        assert find_value(provider.contract.document, pointer_parts(one.spec)[:-1]) is not None
        assert one.patch
        assert one.vendor == provider.id
    assert report.unhealed == ()
    assert_healed(provider, case.lines, report)


def assert_healed(
    provider: Provider, lines: Sequence[JsonObject], report: VerificationReport
) -> None:
    document = patched(provider.contract.document, report.patches[provider.id])
    again = checked(lines, with_document(provider, document))
    assert again.differences == ()
    # A patch only widens: what fitted before still does.
    assert verify(fitting(provider), [with_document(provider, document)]).differences == ()


@cache
def fitting(provider: Provider) -> list[RecordedExchange]:
    """Traffic that fits the vendor's spec."""
    return read_recording(as_json_lines(recorded(provider)), "traffic")


@pytest.mark.slow
@each_flat
def test_all_deviations_at_once_are_healed_by_one_patch(provider: Provider) -> None:
    """Where one hides or contradicts another, the patch still makes all of the traffic fit."""
    lines: list[JsonObject] = []
    for planted in PLANTS.values():
        case = case_of(provider)
        planted(case)
        lines += case.lines
    report = checked(lines)
    assert not report.fits
    assert report.unhealed == ()
    assert_healed(provider, lines, report)


@pytest.mark.parametrize(
    ("body", "kind"),
    [("", "empty"), ('{"id": "x', "unreadable"), ("[" * 2000, "unreadable"), ("NaN", "unreadable")],
)
@each_flat
def test_what_no_spec_can_say_has_no_patch(provider: Provider, body: str, kind: str) -> None:
    """A broken answer is told, and stays where all patches are applied."""
    case = case_of(provider)
    case.side("response")["body"] = body
    report = checked(case.lines)
    assert [(one.kind, one.severity, one.patch) for one in report.differences] == [
        (kind, "breaks", ())
    ]
    assert report.patches == {}
    assert report.unhealed == report.differences


@each_flat
def test_equal_differences_are_counted_together(provider: Provider) -> None:
    """One row, with the number of times and the first entries."""
    case = case_of(provider)
    unknown_member(case)
    report = checked(case.lines * 8)
    assert [one.count for one in report.differences] == [8]
    assert report.differences[0].entries == (2, 4, 6, 8, 10)


@each_flat
def test_notes_are_no_differences(provider: Provider) -> None:
    """A header nobody reads does not fail a recording."""
    case = case_of(provider)
    extra_header_sent(case)
    assert checked(case.lines).fits


# -- whose traffic -------------------------------------------------------------------------------


@each_flat
def test_another_host_needs_the_vendors_name(provider: Provider) -> None:
    """A proxy's host is nobody's, any host by `any_host`, or one with a base URL."""
    lines = copy.deepcopy(case_of(provider).lines)
    for one in lines:
        one["url"] = one["url"].replace(provider.base_url, "http://127.0.0.1:9/mount/api")
    assert checked(lines).matched == 0
    assert len(checked(lines).unmatched) == 2
    named = checked(lines, provider, base_urls={provider.id: "http://127.0.0.1:9/mount/api"})
    assert (named.matched, named.differences) == (2, ())


@each_flat
def test_a_mount_is_found_by_its_end(provider: Provider) -> None:
    """With `any_host`, what a proxy puts in front of the path does not matter."""
    lines = copy.deepcopy(case_of(provider).lines)
    for one in lines:
        one["url"] = (
            "http://localhost:1/a/b"
            + one["url"][len("https://") :].partition("/")[1]
            + one["url"][len("https://") :].partition("/")[2]
        )
    report = checked(lines, provider, any_host=True)
    assert (report.matched, report.differences) == (2, ())


@each_vendor
def test_what_both_sides_do_not_know_is_only_listed(provider: Provider) -> None:
    """A 404 for a path that the spec does not have, and hosts that are nobody's."""
    answer = {"status": 404, "headers": JSON, "body": "{}"}
    urls = [
        provider.base_url + "/nonesuch/x/y/z",
        "https://cdn.example.com/a.mp4?X-Amz-Signature=abc",
    ]
    lines = [{"method": "GET", "url": url, "request": {}, "response": answer} for url in urls]
    report = checked(lines)
    assert [one.reason for one in report.unmatched] == [
        "no such call in the spec",
        "no vendor's host",
    ]
    assert "abc" not in report.unmatched[1].url
    assert report.differences == ()


# -- secrets -------------------------------------------------------------------------------------


CANARIES = {
    "header": "sk-canary-header-000001",
    "cookie": "sid=canary0000000002",
    "query": "canary0000000003",
    "member": "canary0000000004",
    "bearer": "Bearer sk-canary-echoed-05",
    "signed": "https://cdn.example.com/a.mp4?Expires=1&Signature=canary0000000006",
    "name": "sk-canary-member-name-07",
}


@each_flat
def test_no_secret_is_shown(provider: Provider) -> None:
    """Not in values, places, patches, or unmatched URLs: by name, by shape, and where a known one
    is repeated.
    """
    case = case_of(provider)
    first, second = case.lines
    headers = {
        "authorization": f"Bearer {CANARIES['header']}",
        "cookie": CANARIES["cookie"],
        "x-echo": "canary0000000003",
    }
    first["request"]["headers"].update(headers)
    first["url"] += f"?api_key={CANARIES['query']}&novel={CANARIES['header']}"
    case.change(
        "request",
        lambda body: body.update(client_secret=CANARIES["member"], aspect_ratio=CANARIES["query"]),
    )
    reported: dict[str, Any] = {
        "id": {"echo": CANARIES["bearer"]},
        "status": CANARIES["header"],
        "link": CANARIES["signed"],
    }
    case.change(
        "response", lambda body: body.update({**reported, CANARIES["name"]: CANARIES["member"]})
    )
    second["response"]["headers"]["set-cookie"] = CANARIES["cookie"]
    elsewhere = {
        "method": "GET",
        "url": f"https://u:{CANARIES['query']}@nobody.example/x?sig=canary0000000008",
    }
    report = checked([first, second, {**elsewhere, "request": {}, "response": {}}])
    shown = repr(report)
    assert "canary" not in shown.replace("canary_", "")
    assert len(report.differences) >= 6
    assert "****" in shown


def test_redaction_keeps_what_is_no_secret() -> None:
    """Words stay words."""
    plain = Redactor()
    texts = [
        "skills are needed",
        "Invalid token (request id: 1)",
        "https://example.com/a.png",
        "task-unified-1-abc",
    ]
    assert [plain.text(text) for text in texts] == texts
    assert plain.shown({"total_tokens": 5, "key": "x", "nested": [{"password": "y"}]}) == (
        '{"total_tokens": 5, "key": "****", "nested": [{"password": "****"}]}'
    )
    assert plain.text("eyJhbGciOi.abc.def") == "****"
    assert len(plain.shown("x" * 500)) == 80


def test_a_form_field_is_a_secret_by_its_name() -> None:
    """Also where a form was recorded as fields."""
    post = {
        "mimeType": "multipart/form-data",
        "params": [{"name": "api_key", "value": "canary-form-1"}],
    }
    request = {"method": "POST", "url": "https://example.com/", "headers": [], "postData": post}
    har = json.dumps({"log": {"entries": [{"request": request}]}}).encode()
    assert "canary-form-1" in redactor_of(read_recording(har, "x")).known
