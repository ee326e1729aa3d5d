"""Recordings in every form, broken ones, and patches."""

import base64
import gzip
import json
import sys

import pytest
from polyreel.errors import MissingExtraError, PolyreelError, RequestError
from polyreel.places import JsonObject, PlaceError, pointer_parts, pointer_text
from polyreel.providers.base.provider import Provider
from polyreel.verification.patches import patched
from polyreel.verification.recordings import read_recording
from polyreel.verification.reports import verify
from support import matrix
from support.deviations import PROVIDERS, case_of, each_flat
from support.recordings import KEY, as_cassette, as_har, as_json_lines, har, recorded, tape

# -- recordings ----------------------------------------------------------------------------------


GOOD = {"method": "GET", "url": "https://example.com/"}
GOOD_LINE = json.dumps(GOOD).encode()
BOMB = b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n".encode()
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
BROKEN: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "nothing in it"),
    "blank": (b" \n\n", "nothing in it"),
    "not-text": (b"\x00\xff\xfe\x80", "not YAML"),
    "an-image": (b"\x89PNG\r\n\x1a\n", "not YAML"),
    "prose": (b"hello there", "not a recording"),
    "a-list": (b"[1, 2]", "not a recording"),
    "another-object": (b'{"log": 5, "x": 1', "not JSON"),
    "log-is-a-number": (b'{"log": 5}', "log is not an object"),
    "no-entries": (b'{"log": {}}', "log has no entries"),
    "entries-is-text": (b'{"log": {"entries": "x"}}', "entries is not a list"),
    "empty-har": (har(), "no call is recorded"),
    "empty-cassette": (tape(), "no call is recorded"),
    "entry-is-text": (har("x"), "entry 1: the entry is not an object"),
    "second-entry-without-request": (
        har({"request": {**GOOD}}, {}),
        "entry 2: the entry has no request",
    ),
    "no-method": (har({"request": {"url": "https://x.example/"}}), "entry 1: it has no method"),
    "no-url": (tape({"request": {"method": "GET"}}), "entry 1: it has no URL"),
    "url-of-a-file": (
        har({"request": {**GOOD, "url": "file:///etc/passwd"}}),
        "entry 1: its URL is not",
    ),
    "url-broken": (har({"request": {**GOOD, "url": "https://[::1/a"}}), "entry 1: its URL is not"),
    "url-is-a-number": (har({"request": {**GOOD, "url": 5}}), "entry 1: url is not text"),
    "base64": (
        har(
            {
                "request": GOOD,
                "response": {"status": 200, "content": {"text": "!!", "encoding": "base64"}},
            }
        ),
        "entry 1: content is not base64",
    ),
    "encoding": (
        har(
            {
                "request": GOOD,
                "response": {"status": 200, "content": {"text": "x", "encoding": "rot13"}},
            }
        ),
        "entry 1: content has an encoding",
    ),
    **{
        f"encoding-{type(odd).__name__}": (
            har(
                {
                    "request": {**GOOD, side: {"text": "x", "encoding": odd}},
                    "response": {"status": 200, "content": {"text": "x", "encoding": odd}},
                }
            ),
            "has an encoding",
        )
        for side, odd in (("x", ["base64"]), ("postData", {}), ("postData", 5), ("x", True))
    },
    "status-word": (har({"request": GOOD, "response": {"status": "OK"}}), "entry 1: the status"),
    "status-999": (
        tape({"request": {"method": "GET", "uri": GOOD["url"]}, "response": {"status": 999}}),
        "entry 1: the status",
    ),
    "headers-text": (
        har({"request": {**GOOD, "headers": "x"}}),
        "entry 1: headers is not an object",
    ),
    "header-object": (
        har({"request": {**GOOD, "headers": [{"name": "a", "value": {}}]}}),
        "entry 1: a header is not",
    ),
    "params": (
        har({"request": {**GOOD, "postData": {"params": "x"}}}),
        "entry 1: params is not a list",
    ),
    "line-broken": (GOOD_LINE + b"\n{oops\n", "entry 2: not JSON"),
    "line-a-list": (
        GOOD_LINE + b"\n" + GOOD_LINE + b"\n[]\n",
        "entry 3: the line is not an object",
    ),
    "line-without-url": (b'{"method": "GET"}', "entry 1: it has no URL"),
    "not-a-number": (
        b'{"method": "GET", "url": "https://x.example/", "response": NaN}',
        "not JSON",
    ),
    "huge-number": (GOOD_LINE + b'\n{"status": ' + b"9" * 5000 + b"}", "entry 2: not JSON"),
    "deep-json": (b'{"log": ' + b"[" * 100_000, "nested too deeply"),
    "rather-deep-json": (b'{"log": ' + b"[" * 200 + b"]" * 200 + b"}", "nested too deeply"),
    "deep-yaml": (b"interactions: " + b"[" * 100_000, "nested too deeply"),
    "alias-bomb": (BOMB + b"interactions: [*i]", "too much in it"),
    "endless": (b"interactions: &a [*a]", "nested too deeply"),
    "merge-bomb": (b"a: &a {x: 1}\ninteractions:\n- {<<: [*a, *a]}\n", "not YAML that can be read"),
    "python-object": (
        b"interactions: !!python/object/apply:os.system ['true']\n",
        "not YAML that can be read",
    ),
    "undefined-alias": (b"interactions: *secret\n", "not YAML that can be read at line 1"),
    "date": (b"interactions: 2026-99-99\n", "not YAML that can be read"),
    "interactions-text": (b"interactions: x\n", "interactions is not a list"),
    "body-number": (
        tape({"request": {"method": "GET", "uri": GOOD["url"], "body": 5}}),
        "entry 1: the text of body",
    ),
    "too-long": (b" " * 50_000_001, "too many"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_recording_gives_one_clear_message(name: str) -> None:
    """It names the file and the entry, and repeats nothing of what is in it."""
    content, message = BROKEN[name]
    with pytest.raises(RequestError) as failure:
        read_recording(content, "some.har")
    text = str(failure.value)
    assert text.startswith("some.har: ")
    assert message in text
    assert len(text) < 200
    assert "\n" not in text
    assert "secret" not in text


@pytest.mark.matrix
@each_flat
def test_changed_recordings_end_in_a_report_or_one_error(provider: Provider) -> None:
    """Cut anywhere, or with a byte changed, no recording ends in anything else."""
    for write in (as_json_lines, as_har, as_cassette):
        whole = write(case_of(provider).lines)
        for at in matrix.drawn(range(0, len(whole), max(1, len(whole) // 60)), 20):
            for content in (
                whole[:at],
                whole[:at] + b"\x07" + whole[at + 1 :],
                whole[:at] + b'"' + whole[at:],
            ):
                try:
                    verify(read_recording(content, "x"), PROVIDERS)
                except PolyreelError as error:
                    assert str(error).startswith("x: ")  # noqa: PT017


def test_compressed_bodies_are_unpacked() -> None:
    """As vcrpy keeps them; a bomb, an unknown coding and a broken one are bodies that were not
    recorded.
    """
    packed = {
        "gzip": gzip.compress(b'{"a": 1}'),
        "br": b"\x0b\x02\x80",
        "gzip ": gzip.compress(b" " * 60_000_000),
        "deflate": b"junk",
    }
    for encoding, content in packed.items():
        headers = {"content-encoding": encoding, "content-type": "application/json"}
        side = {
            "status": 200,
            "headers": headers,
            "body": base64.b64encode(content).decode(),
            "encoding": "base64",
        }
        found = read_recording(as_json_lines([{**GOOD, "response": side}]), "x")[0]
        assert found.response_body == (b'{"a": 1}' if encoding == "gzip" else None)


def test_har_forms_and_old_cassettes_are_read() -> None:
    """Fields of forms, bodies in base64 below `base64_string`, responses that never came."""
    post = {
        "mimeType": "multipart/form-data",
        "params": [{"name": "a", "value": "1"}, {"name": "f", "fileName": "x"}],
    }
    found = read_recording(
        har({"request": {**GOOD, "postData": post}, "response": {"status": 0}}), "x"
    )[0]
    assert found.status is None
    assert [(field.name, field.text) for field in found.form or ()] == [("a", "1"), ("f", None)]
    old = {"body": {"base64_string": "aGk="}, "headers": None, "status": {"code": 200}}
    request = {"method": "post", "uri": GOOD["url"]}
    assert (
        read_recording(tape({"request": request, "response": old}), "x")[0].response_body == b"hi"
    )


def test_yaml_without_pyyaml_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """JSON needs nothing more."""
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(MissingExtraError, match=r"polyreel\[verify\]"):
        read_recording(b"interactions: []", "x")
    assert read_recording(GOOD_LINE, "x")


# -- patches -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("patch", "result"),
    [
        ([{"op": "add", "path": "/a/-", "value": 3}], {"a": [1, 2, 3]}),
        ([{"op": "add", "path": "/a/0", "value": 0}], {"a": [0, 1, 2]}),
        ([{"op": "add", "path": "/b~1c~0d", "value": {}}], {"a": [1, 2], "b/c~d": {}}),
        ([{"op": "replace", "path": "/a/1", "value": 9}], {"a": [1, 9]}),
        (
            [{"op": "test", "path": "/a/0", "value": 1}, {"op": "remove", "path": "/a/0"}],
            {"a": [2]},
        ),
        ([{"op": "move", "from": "/a", "path": "/b"}], {"b": [1, 2]}),
    ],
)
def test_patches_are_applied_as_rfc_6902_has_it(
    patch: list[JsonObject], result: JsonObject
) -> None:
    document = {"a": [1, 2]}
    assert patched(document, patch) == result
    assert document == {"a": [1, 2]}


@pytest.mark.parametrize(
    "patch",
    [
        {"op": "test", "path": "/a/0", "value": 2},
        {"op": "remove", "path": "/b"},
        {"op": "replace", "path": "/a/7", "value": 1},
        {"op": "add", "path": "/b/c", "value": 1},
        {"op": "add", "path": "/a/7", "value": 1},
        {"op": "add", "path": "", "value": 1},
        {"op": "add", "path": "a", "value": 1},
        {"op": "copy", "from": "/a", "path": "/b"},
    ],
)
def test_a_patch_that_does_not_fit_is_refused(patch: JsonObject) -> None:
    with pytest.raises(PlaceError):
        patched({"a": [1, 2]}, [patch])


def test_pointers_come_back() -> None:
    parts = ("a/b", "~", "", "0", "~1")
    assert pointer_parts(pointer_text(parts)) == parts


def test_the_key_of_the_tests_is_a_key() -> None:
    """So that the recordings hold one to hide."""
    assert all(
        KEY in json.dumps(one["request"]["headers"])
        for provider in PROVIDERS
        for one in recorded(provider)
    )
