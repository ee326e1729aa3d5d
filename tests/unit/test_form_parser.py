"""Forms as values: their parts, what is refused, and the JSON object that they stand for."""

from __future__ import annotations

import pytest
from polyreel.places import JsonObject
from polyreel.serving import forms

FORM_TYPE = "multipart/form-data; boundary=x"
TEXT = b'--x\r\nContent-Disposition: form-data; name="prompt"\r\n\r\na cat\r\n'
FILE = (
    b'--x\r\ncontent-disposition: form-data; filename="a;b.png"; name=image\r\n'
    b"Content-Type: image/png; q=1\r\n\r\n\xff\r\n--xy\r\n\r\n"
)
END = b"--x--\r\n"


def test_a_form_is_read_in_parts() -> None:
    """Names and types come from the headers. What only looks like a boundary is content."""
    text, file = forms.parse(TEXT + FILE + END, FORM_TYPE)
    assert (text.name, text.filename, text.content_type) == ("prompt", None, "text/plain")
    assert text.text == "a cat"
    assert (file.name, file.filename, file.content_type) == ("image", "a;b.png", "image/png")
    assert file.content == b"\xff\r\n--xy\r\n"
    assert forms.parse(END, FORM_TYPE) == []


@pytest.mark.parametrize(
    ("content", "kind", "message"),
    [
        (TEXT + END, "multipart/form-data", "no boundary"),
        (TEXT + END, "multipart/form-data; boundary=y", "malformed"),
        (TEXT, FORM_TYPE, "cut off"),
        (TEXT + b"--x", FORM_TYPE, "cut off"),
        (TEXT.replace(b"name=", b"nom="), FORM_TYPE, "cut off"),
        (TEXT.replace(b"name=", b"nom=") + END, FORM_TYPE, "no name"),
        (TEXT.replace(b"\r\n\r\n", b"\r\n") + END, FORM_TYPE, "malformed"),
        (TEXT.replace(b"cat", b"\xff") + END, FORM_TYPE, "not UTF-8"),
        (TEXT * 1001 + END, FORM_TYPE, "too many parts"),
    ],
)
def test_a_form_that_breaks_a_rule_is_refused(content: bytes, kind: str, message: str) -> None:
    """With one of our messages."""
    with pytest.raises(ValueError, match=message):
        forms.parse(content, kind)


def test_a_form_becomes_an_object() -> None:
    """Text becomes what the schema says; repeated fields and fields that are lists become lists."""
    types = [{"type": "integer"}, {"type": "null"}]
    schemas: dict[str, JsonObject] = {"n": {"anyOf": types}, "tags": {"type": "array"}}
    fields = [("n", "2"), ("tags", "a"), ("more", "1"), ("more", "2"), ("text", "3")]
    assert forms.object_of(fields, lambda name: schemas.get(name, {})) == {
        "n": 2,
        "tags": ["a"],
        "more": ["1", "2"],
        "text": "3",
    }
