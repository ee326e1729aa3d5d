"""The form of the studio: every field of the shared request, typed and read back."""

import json
from pathlib import Path
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from polyreel.errors import RequestError
from polyreel.mapping.workflows import REQUESTS, WORKFLOWS, kind_of
from polyreel.plans.requests import check_request
from polyreel.providers.base.contract import Contract
from polyreel.providers.base.registry import all_providers
from polyreel.simulator import FAULTS
from polyreel.studio.forms import MOST_PAIRS, TABS, controls, pairs_of, read_form
from polyreel.studio.uploads import UPLOAD, UploadFolder
from support.loops import in_one_test
from support.paths import ROOT

PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)


def test_every_workflow_has_a_tab() -> None:
    assert sorted(TABS) == sorted(WORKFLOWS)


def test_every_field_can_be_typed_somewhere() -> None:
    """A field that the shared spec gets is in the form without a line of code."""
    for kind, name in REQUESTS.items():
        typed = {one.name for tab in TABS if kind_of(tab) == kind for one in controls(tab)}
        assert typed == set(Contract.load("polyreel").schema(name)["properties"])


@in_one_test(
    lambda: ((one.stem, (one,)) for one in sorted((ROOT / "tests/requests").glob("*.json")))
)
def test_a_request_is_typed_and_read_back(path: Path) -> None:
    """So that a link, a reload, "again" and "edit" mean the same request."""
    checked = check_request(json.loads(path.read_text("utf-8")))
    form = read_form(list(pairs_of(checked.fields, checked.workflow)))
    assert form.problems == {}
    assert form.checked == checked


def _names(workflow: str) -> set[str]:
    return {one.name for one in controls(workflow)}


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                sorted(_names("text-to-video") | {"vendor", "allow", "workflow", "shown"})
            ),
            st.text(),
        )
    )
)
def test_whatever_a_link_says_is_read(pairs: list[tuple[str, str]]) -> None:
    """Nothing that is typed is an exception, and the address of the page says it all."""
    form = read_form(pairs)
    again = read_form(parse_qsl(form.query, keep_blank_values=True))
    assert again.workflow == form.workflow
    assert again.fields == form.fields
    assert again.problems == form.problems


def test_too_many_pairs_are_cut() -> None:
    assert len(read_form([("reference_audio", "https://a.example/b.mp3")] * 9999).texts) == 1
    pairs = [("reference_audio", "https://a.example/b.mp3")] * 9999
    assert len(read_form(pairs).texts["reference_audio"]) == MOST_PAIRS


def test_what_is_wrong_is_said_of_its_field() -> None:
    form = read_form([("prompt", "a cat"), ("duration", "five"), ("seed", "1.5")])
    assert form.checked is None
    assert form.problems["duration"] == "a whole number, not 'five'"
    assert form.problems["seed"] == "a whole number, not '1.5'"
    assert "aspect_ratio" in read_form([("aspect_ratio", "wide")]).problems


def test_only_files_that_were_given_are_read(tmp_path: Path) -> None:
    """Else a link could have files of the user's sent to a vendor."""
    uploads = UploadFolder(tmp_path / "uploads")
    secret = tmp_path / "secret.png"
    secret.write_bytes(PNG)
    for text in (str(secret), "../secret.png", f"{UPLOAD}../secret.png", f"file://{secret}"):
        form = read_form([("workflow", "image-to-video"), ("first_frame", text)], uploads)
        assert form.checked is None, text
        assert "first_frame" in form.problems, text
    described = json.dumps({"front_image": str(secret)})
    assert read_form([("elements", described)], uploads).problems
    name = uploads.keep(PNG)
    form = read_form([("workflow", "image-to-video"), ("first_frame", name)], uploads)
    assert form.fields["first_frame"] == str(uploads.path(name))
    assert uploads.name(form.fields["first_frame"]) == name
    assert uploads.name(str(secret)) is None


def test_bytes_that_are_no_media_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="its bytes are none of"):
        UploadFolder(tmp_path).keep(b"<script>alert(1)</script>")
    assert list(tmp_path.iterdir()) == []


def test_vendors_and_allowances_come_from_the_form() -> None:
    form = read_form(
        [("prompt", "a cat"), ("vendor", "nobody"), ("allow", "seed=drop"), ("allow", "seed=boo")]
    )
    assert form.vendors == tuple(all_providers())  # as where none is named, and that is said
    assert form.strangers == ("There is no vendor 'nobody'",)
    assert form.allow == {"seed": "drop"}
    assert read_form([]).vendors == tuple(all_providers())


def test_the_address_keeps_what_is_to_go_wrong() -> None:
    fault = next(iter(FAULTS))
    form = read_form([("prompt", "a cat"), ("fault", fault), ("times", "3")])
    assert (form.fault, form.times) == (fault, 3)
    assert read_form(parse_qsl(form.query)) == form
    other = read_form([("fault", "<script>"), ("times", "1000")])
    assert (other.fault, other.times, other.query) == ("", 1, "workflow=text-to-video")
