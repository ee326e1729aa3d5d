"""Files of rows: what is read, and what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from polyreel import batch
from polyreel.errors import (
    RequestError,
)
from support.batches import FIRST, VENDORS

# --- files that are wrong -------------------------------------------------------------------------

GOOD = b'{"prompt": "a cat"}\n'


BROKEN: dict[str, tuple[str, bytes, str]] = {
    "empty": ("x.jsonl", b"", "line 1: there are no rows"),
    "blank": ("x.jsonl", b"\n \n", "no rows"),
    "not-json": ("x.jsonl", GOOD + b"{prompt}\n", "line 2: not JSON"),
    "cut": ("x.jsonl", GOOD + b'{"prompt": "a', "line 2: not JSON"),
    "array": (
        "x.jsonl",
        b"[1]\n",
        "line 1: a row is a JSON object, on",
    ),
    "null": (
        "x.jsonl",
        b"\nnull\n",
        "own, not null",
    ),
    "text": ("x.jsonl", b'"a cat"\n', "not str"),
    "nothing-asked": ("x.jsonl", b"{}\n", "line 1: prompt"),
    "only-reference": ("x.jsonl", b'{"reference": "a"}\n', "prompt"),
    "unknown-field": (
        "x.jsonl",
        b'{"prompt": "a", "seconds": 5}\n',
        "line 1: seconds: no such field",
    ),
    "null-value": ("x.jsonl", b'{"prompt": "a", "duration": null}\n', "duration: null"),
    "text-number": ("x.jsonl", b'{"prompt": "a", "duration": "5"}\n', "line 1: duration"),
    "nan": ("x.jsonl", b'{"prompt": "a", "guidance_scale": NaN}\n', "NaN is not JSON"),
    "infinite": ("x.jsonl", b'{"prompt": "a", "guidance_scale": 1e999}\n', "guidance_scale"),
    "digits": ("x.jsonl", b'{"duration": ' + b"9" * 5000 + b"}\n", "digits"),
    "twice": ("x.jsonl", b'{"prompt": "a", "prompt": "b"}\n', "'prompt' is there twice"),
    "surrogate": ("x.jsonl", b'{"prompt": "\\ud800"}\n', "prompt: not valid Unicode"),
    "not-utf-8": ("x.jsonl", GOOD + b'{"prompt": "\xff"}\n', "line 2: not UTF-8"),
    "utf-16-cut": ("x.jsonl", b"\xff\xfe{\0}", "neither UTF-8 nor whole UTF-16"),
    "deep": ("x.jsonl", b"[" * 200_000 + b"\n", "nested too deeply"),
    "vendor": (
        "x.jsonl",
        b'{"prompt": "a", "vendor": "nobody"}\n',
        "vendor: no vendor is called 'nobody'",
    ),
    "vendor-number": ("x.jsonl", b'{"prompt": "a", "vendor": 5}\n', "vendor: no vendor"),
    "vendors-text": ("x.jsonl", b'{"prompt": "a", "vendors": "x"}\n', "vendors: a list"),
    "vendors-none": ("x.jsonl", b'{"prompt": "a", "vendors": []}\n', "vendors: a list"),
    "vendors-unknown": ("x.jsonl", b'{"prompt": "a", "vendors": [["x"]]}\n', "vendors: no vendor"),
    "vendor-and-vendors": (
        "x.jsonl",
        json.dumps({"prompt": "a", "vendor": FIRST, "vendors": [FIRST]}).encode(),
        "vendors: there is a vendor already",
    ),
    "vendors-twice": (
        "x.jsonl",
        json.dumps({"prompt": "a", "vendors": [FIRST, FIRST]}).encode(),
        "each once",
    ),
    "reference-object": ("x.jsonl", b'{"prompt": "a", "reference": {}}\n', "reference: a text"),
    "reference-true": ("x.jsonl", b'{"prompt": "a", "reference": true}\n', "reference: a text"),
    "reference-blank": ("x.jsonl", b'{"prompt": "a", "reference": " "}\n', "reference: one to 200"),
    "reference-long": (
        "x.jsonl",
        json.dumps({"prompt": "a", "reference": "x" * 201}).encode(),
        "one to 200",
    ),
    "reference-control": (
        "x.jsonl",
        b'{"prompt": "a", "reference": "a\\u001b[2J"}\n',
        "can be printed",
    ),
    "reference-twice": (
        "x.jsonl",
        b'{"prompt": "a", "reference": "1"}\n' * 2,
        "line 2: reference: '1' is that of line 1",
    ),
    "reference-is-a-number": (
        "x.jsonl",
        GOOD + b'{"prompt": "a", "reference": 1}\n',
        "line 2: reference: '1'",
    ),
    "csv-empty": ("x.csv", b"", "no rows"),
    "csv-header-only": ("x.csv", b"prompt,duration\n", "no rows"),
    "csv-unknown": ("x.csv", b"prompt,seconds\na,5\n", "line 1: header: no field 'seconds'"),
    "csv-near-miss": ("x.csv", b"prompt,aspct ratio\na,b\n", "=aspect_ratio if that is meant"),
    "csv-native": ("x.csv", b"prompt,image_urls\na,b\n", "'image_urls', which is a vendor's own"),
    "csv-nothing-known": ("x.csv", b"customer,order\na,b\n", "header: no field 'customer'"),
    "csv-spreadsheet": ("x.csv", b"PK\x03\x04abc", "save it as CSV"),
    "csv-comma-number": ("x.csv", b'prompt,guidance_scale\na,"0,5"\n', "guidance_scale: a number"),
    "csv-twice": ("x.csv", b"prompt,prompt\na,b\n", "header: prompt is there twice"),
    "csv-shots": ("x.csv", b"prompt,shots\na,b\n", "header: no field 'shots'"),
    "csv-short": ("x.csv", b"prompt,duration\na\n", "line 2: 1 cells, where the header has 2"),
    "csv-long": ("x.csv", b"prompt\na,b\n", "line 2: 2 cells"),
    "csv-number": (
        "x.csv",
        b"prompt,duration\na,5\nb,five\n",
        "line 3: duration: a whole number, not 'five'",
    ),
    "csv-superscript": (
        "x.csv",
        "prompt,duration\na,\u00b2\n".encode(),
        "line 2: duration: a whole number",
    ),
    "csv-fraction": (
        "x.csv",
        b"prompt,guidance_scale\na,nan\n",
        "line 2: guidance_scale: a number",
    ),
    "csv-switch": (
        "x.csv",
        b"prompt,audio\na,maybe\n",
        "line 2: audio: true or false, not 'maybe'",
    ),
    "csv-range": ("x.csv", b"prompt,duration\na,0\n", "line 2: duration"),
    "csv-quote": (
        "x.csv",
        b'prompt,duration\n"a,5\n',
        "line 2: not CSV: a cell's quotes are",
    ),
    "csv-quote-in-cell": ("x.csv", b'prompt\n"big" cat\n', "line 2: not CSV: text follows"),
    "csv-comma-in-cell": ("x.csv", b"prompt\na, b\n", "2 cells, where the header has 1; "),
    "csv-not-utf-8": ("x.csv", b"prompt\na\n\x81\n", "line 3: not UTF-8"),
    "csv-lines": ("x.csv", b'prompt,duration\n"a\nb\nc",5\nd,x\n', "line 5: duration"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_refused(tmp_path: Path, name: str) -> None:
    """With the line and the field."""
    file, content, needle = BROKEN[name]
    (tmp_path / file).write_bytes(content)
    with pytest.raises(RequestError) as refused:
        batch.read(tmp_path / file)
    assert needle in str(refused.value)


def test_all_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    """Twenty in words, the others counted; and those of one row all."""
    (tmp_path / "x.jsonl").write_bytes(b'{"prompt": " ", "duration": 0, "vendor": "x"}\n' * 10)
    with pytest.raises(RequestError) as refused:
        batch.read(tmp_path / "x.jsonl")
    assert len(refused.value.problems) == 21
    assert refused.value.problems[-1] == "and 10 more"
    assert str(refused.value).count("\n- line ") == 20
    for path in (tmp_path / "none.jsonl", tmp_path, tmp_path / "a\0b"):
        with pytest.raises(RequestError, match=re.escape(str(tmp_path))):
            batch.read(path)
    for wrong in ("", " ", "a\nb", "x" * 201):
        with pytest.raises(RequestError, match="name of a batch"):
            batch.read(tmp_path / "x.jsonl", name=wrong)


def test_a_file_that_is_too_long_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In bytes, and in rows."""
    (tmp_path / "x.jsonl").write_bytes(GOOD * 5)
    monkeypatch.setattr(batch.rows, "MAX_ROWS", 3)
    with pytest.raises(RequestError, match="line 4: more than 3 rows"):
        batch.read(tmp_path / "x.jsonl")
    monkeypatch.setattr("polyreel.mapping.textfiles.MAX_BYTES", 10)
    with pytest.raises(RequestError, match="more than 10 bytes"):
        batch.read(tmp_path / "x.jsonl")


def test_csv_and_json_lines_say_the_same(tmp_path: Path) -> None:
    """Empty cells are not set, numbers and switches are read by the shared schema, lists have a bar
    between.
    """
    (tmp_path / "x.csv").write_bytes(
        "\ufeffreference,vendors,prompt,duration,audio,guidance_scale,reference_images\r\n"
        f'a,{VENDORS[0]}|{VENDORS[1]},"a, ""cat""\r\nat night",5,TRUE,,\r\n\r\n'
        ",,b,,,0.5,https://example.com/1.png | https://example.com/2.png\r\n".encode()
    )
    first, second = batch.read(tmp_path / "x.csv", name="spring")
    assert first.request == {"prompt": 'a, "cat"\r\nat night', "duration": 5, "audio": True}
    assert (first.vendors, first.reference, first.line) == (tuple(VENDORS[:2]), "spring/a", 2)
    images = ["https://example.com/1.png", "https://example.com/2.png"]
    assert second.request == {"prompt": "b", "guidance_scale": 0.5, "reference_images": images}
    assert (second.vendors, second.reference, second.line, second.number) == ((), "spring/2", 5, 2)
    lines = [{"reference": "a", "vendors": VENDORS[:2], **first.request}, second.request]
    (tmp_path / "x.jsonl").write_bytes(
        b"\xef\xbb\xbf" + b"\r\n\n".join(json.dumps(one).encode() for one in lines)
    )
    found = batch.read(tmp_path / "x.jsonl", name="spring")
    assert [(one.request, one.vendors, one.reference) for one in found] == [
        (one.request, one.vendors, one.reference) for one in (first, second)
    ]
    other = batch.read(tmp_path / "x.jsonl")[0].reference
    assert re.fullmatch(r"x-[0-9a-f]{8}/a", other)
