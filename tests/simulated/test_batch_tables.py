"""Rows as spreadsheets, data frames and people write them; results in the same form."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from polyreel import batch
from polyreel.errors import RequestError
from support.batches import client, run

WANTED = {"prompt": "a caf\u00e9 at night", "duration": 5, "audio": True}
EXCEL = "Prompt;Duration ;Audio;Kunde\r\na caf\u00e9 at night;5;WAHR;M\u00fcller\r\n"
TABLES: dict[str, tuple[str, bytes]] = {
    "german-excel": ("x.csv", EXCEL.encode("cp1252")),
    "excel-utf-8": ("x.csv", EXCEL.encode("utf-8-sig")),
    "excel-unicode-text": ("x.csv", EXCEL.replace(";", "\t").encode("utf-16")),
    "excel-text-with-tabs": ("x.txt", EXCEL.replace(";", "\t").encode("cp1252")),
    "excel-unicode-text-as-txt": ("x.txt", EXCEL.replace(";", "\t").encode("utf-16")),
    "comma-separated-as-txt": ("x.txt", EXCEL.replace(";", ",").encode()),
    "empty-cells-at-the-end": ("x.csv", (EXCEL.rstrip() + ";;\r\n;;;;;;\r\n").encode()),
    "excel-says-its-separator": ("x.csv", ("sep=;\r\n" + EXCEL).encode()),
    "pandas": ("x.csv", "prompt,duration,audio,n_rows\na caf\u00e9 at night,5.0,True,3\n".encode()),
    "tab-separated": ("x.tsv", "PROMPT\tduration\taudio\na caf\u00e9 at night\t5\tyes\n".encode()),
    "decimal-comma": ("x.csv", "prompt;duration;audio\na caf\u00e9 at night;5,0;1\n".encode()),
    "spaced": ("x.csv", "prompt , duration, audio\na caf\u00e9 at night, 5 , on \n".encode()),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_read_as_it_was_meant(tmp_path: Path, name: str) -> None:
    """Whatever its delimiter, encoding, headers and words for yes."""
    file, content = TABLES[name]
    (tmp_path / file).write_bytes(content)
    (row,) = batch.read(tmp_path / file)
    assert row.request == WANTED


def test_what_was_assumed_is_reported(tmp_path: Path) -> None:
    """An encoding that had to be guessed, and columns that are no fields."""
    (tmp_path / "x.csv").write_bytes(EXCEL.encode("cp1252"))
    notes = batch.scan(tmp_path / "x.csv").notes
    assert any("Windows-1252" in note for note in notes)
    assert any("Kunde" in note for note in notes)
    (tmp_path / "y.csv").write_bytes(b"prompt\na\n")
    assert batch.scan(tmp_path / "y.csv").notes == ()


def test_columns_have_other_names(tmp_path: Path) -> None:
    """A column is the field that was named for it, or only passed on."""
    (tmp_path / "x.csv").write_bytes(b"text,seconds,quality\na cat,5,good\n")
    columns = {"text": "prompt", "seconds": "duration", "quality": ""}
    (row,) = batch.read(tmp_path / "x.csv", columns=columns)
    assert row.request == {"prompt": "a cat", "duration": 5}
    for wrong in (
        {"nonesuch": "prompt"},
        {"text": "nonesuch"},
        {"text": "prompt", "quality": "prompt"},
    ):
        with pytest.raises(RequestError):
            batch.read(tmp_path / "x.csv", columns=wrong)
    (tmp_path / "x.jsonl").write_bytes(b'{"prompt": "a"}')
    with pytest.raises(RequestError, match="--column"):
        batch.read(tmp_path / "x.jsonl", columns=columns)


def test_a_mistyped_column_is_asked_about(tmp_path: Path) -> None:
    """Also where it is near to another word for a field; what is near to none is passed on."""
    file = tmp_path / "x.csv"
    for name, field in (
        ("lenght", "duration"),
        ("durration", "duration"),
        ("ratios", "aspect_ratio"),
    ):
        file.write_text(f"prompt,{name}\na cat,x\n")
        with pytest.raises(RequestError, match=f"--column '{name}'={field} if that is meant"):
            batch.read(file)
    file.write_text("prompt,next,notes,colour,rating\na cat,x,x,x,x\n")
    assert batch.read(file)[0].request == {"prompt": "a cat"}


def test_an_empty_prompt_is_refused(tmp_path: Path) -> None:
    """As everywhere: some vendor would be paid for a clip of nothing. An image needs no text."""
    file = tmp_path / "x.csv"
    for cells in (",5,", '"  ",5,'):
        file.write_text(f"prompt,duration,first_frame\na cat,5,\n{cells}\nx,,\n")
        with pytest.raises(RequestError, match="line 3: prompt: the cell is empty"):
            batch.read(file)
    file.write_text("prompt,duration,first_frame\n,5,https://example.com/1.png\n")
    assert batch.read(file)[0].request["duration"] == 5


INPUTS: dict[str, tuple[bytes, list[dict[str, object]]]] = {
    "prompts": (b"a cat\n\na dog, running\n", [{"prompt": "a cat"}, {"prompt": "a dog, running"}]),
    "prompts-of-windows": ("caf\u00e9\r\n".encode("cp1252"), [{"prompt": "caf\u00e9"}]),
    "prompts-in-brackets": (b"[wide] a\n{b} c\n", [{"prompt": "[wide] a"}, {"prompt": "{b} c"}]),
    "json-lines": (b'{"prompt": "a", "duration": 5}\n', [{"prompt": "a", "duration": 5}]),
    "table": (b"Prompt;Duration\na;5\n", [{"prompt": "a", "duration": 5}]),
    "table-of-prompts": (b"prompt\na, b\n", []),
}


@pytest.mark.parametrize("name", INPUTS)
def test_a_text_file_holds_rows_of_any_form(name: str, tmp_path: Path) -> None:
    """Spreadsheets save tables as .txt; no header, and no JSON, becomes a prompt."""
    content, wanted = INPUTS[name]
    (tmp_path / "x.txt").write_bytes(content)
    assert [row.request for row in batch.scan(tmp_path / "x.txt").rows] == wanted


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("file", ["x.txt", "x.csv", "x.jsonl"])
def test_no_bytes_become_prompts(file: str, encoding: str, tmp_path: Path) -> None:
    """Text in an encoding that nothing announces is refused as a whole."""
    (tmp_path / file).write_bytes("prompt\na caf\u00e9\n".encode(encoding))
    with pytest.raises(RequestError, match="save it as UTF-8"):
        batch.scan(tmp_path / file)


@pytest.mark.parametrize("name", INPUTS)
def test_standard_input_holds_rows_of_any_form(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """How it begins says which; the same rows again are the same batch."""
    content, wanted = INPUTS[name]

    def read() -> batch.Scan:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
        return batch.scan("-")

    found = read()
    if wanted:
        assert [row.request for row in found.rows] == wanted
        assert [row.reference for row in found.rows] == [row.reference for row in read().rows]
    else:
        assert found.problems


def test_no_standard_input_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process can be started without one."""
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(RequestError, match="standard input"):
        batch.scan("-")


def test_results_come_back_as_the_table_that_was_given(tmp_path: Path) -> None:
    """With the columns that are no fields, in the same delimiter and for the same spreadsheet."""
    (tmp_path / "x.csv").write_bytes(
        "Prompt;Duration;State\r\ncaf\u00e9;3;done\r\na dog;3;\r\n".encode("cp1252")
    )
    rows = batch.read(tmp_path / "x.csv", columns={"State": ""})
    assert [one.state for one in run(client(tmp_path), rows, tmp_path)] == ["saved", "saved"]
    content = (tmp_path / "out" / "results.csv").read_bytes()
    assert content.startswith(b"\xef\xbb\xbf")
    text = content.decode("utf-8-sig")
    header, *lines = csv.reader(io.StringIO(text, newline=""), delimiter=";")
    assert header[:4] == ["Prompt", "Duration", "State", "result_state"]
    cells = [dict(zip(header, line, strict=True)) for line in lines]
    assert [one["Prompt"] for one in cells] == ["caf\u00e9", "a dog"]
    assert [(one["State"], one["result_state"]) for one in cells] == [
        ("done", "saved"),
        ("", "saved"),
    ]
    for one in cells:
        assert Path(one["files"]).is_file()
        assert (one["billed"], one["simulated"]) == ("yes", "yes")


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_header_without_any_field_has_its_delimiter(tmp_path: Path, delimiter: str) -> None:
    """Its columns are named by hand, however they are written; without that they are asked for."""
    lines = [["Text ", "Dauer (s)", "Notiz"], ["a cat", "5", "x"]]
    (tmp_path / "x.csv").write_text("\n".join(map(delimiter.join, lines)))
    for columns in (
        {"Text": "prompt", "Dauer (s)": "duration"},
        {"text": "prompt", "dauer (S)": "duration"},
    ):
        (row,) = batch.read(tmp_path / "x.csv", columns=columns)
        assert row.request == {"prompt": "a cat", "duration": 5}
    with pytest.raises(RequestError, match="no field 'Text'; --column 'Text'=prompt"):
        batch.read(tmp_path / "x.csv")
