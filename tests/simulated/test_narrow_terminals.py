"""What is printed can be read in few columns: no id, word or command is cut."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import pytest
from polyreel.cli import show, tables
from polyreel.providers.base.registry import all_providers
from support.cli import FIRST, Command, stranger

ROWS: Final = [
    ["5mzdv8vc", "evolves by itself", "accepted, in use", "a reason of several words\nand a line"],
    ["x", "-", "", "task-unified-1795894873-4lm3eejq-which-is-longer-than-many-terminals-are-wide"],
    ["漢字の名前", "猫が雨の中を歩く 猫が雨の中を歩く", "saved", "https://example.com/" + "a" * 70],
]
HEADERS: Final = ["id", "what", "state", "note"]


@pytest.fixture
def cli(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Command:
    """Command lines in an empty folder, with a key for every vendor and no network."""
    return stranger(capsys, monkeypatch, tmp_path)


@pytest.mark.parametrize("columns", [1, 20, 40, 60, 80, 100, 130, 200, 400])
def test_no_word_is_cut(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each word of each cell stands in one line. Only words that are too long go past the edge."""
    monkeypatch.setenv("COLUMNS", str(columns))
    drawn = tables.drawn(HEADERS, ROWS)
    for word in (word for row in ROWS for cell in row for word in cell.split() if word != "-"):
        assert word in drawn
    for line in drawn.splitlines():
        assert tables._width(line) <= columns or len(line.split()) <= 2


def test_what_is_no_terminal_gets_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that reads a table, or a file that keeps it, gets one line for a short row."""
    monkeypatch.delenv("COLUMNS", raising=False)
    long = "a" * 150
    drawn = tables.drawn(["one", "other"], [[long, long], ["b", "c d"]])
    assert any(line.split() == [long, long] for line in drawn.splitlines())
    assert any(line.split() == ["b", "c", "d"] for line in drawn.splitlines())


def test_few_columns_beside_and_the_others_beneath(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a table does not fit, some cells stand below their rows; where that does not fit
    either, there are cards. A word that is longer than its place on a card has its own line.
    """
    headers = ["id", "state", "task", "files", "note"]
    rows = [
        ["9gx7asb3wzy95guv", "saved", "task-1795920925", f"clips/{'a' * 50}.mp4", "-"],
        ["2ayvgp9qx623uryb", "ambiguous", "-", "-", "it may have been billed, or not; " * 4],
    ]
    for columns, expected in ((80, 8), (30, 14)):
        monkeypatch.setenv("COLUMNS", str(columns))
        lines = tables.drawn(headers, rows, ("task", "files", "note")).splitlines()
        assert lines[0] == ""
        assert [line.split() for line in lines if "9gx7asb3wzy95guv" in line] == (
            [["9gx7asb3wzy95guv", "saved"]] if columns == 80 else [["id", "9gx7asb3wzy95guv"]]
        )
        assert "task task-1795920925" in " ".join(" ".join(lines).split())
        assert len([line for line in lines if line]) >= expected
        for line in lines:
            assert len(line) <= columns or len(line.split()) == 1
    monkeypatch.setenv("COLUMNS", "200")
    wide = tables.drawn(headers, rows, ("task", "files", "note"))
    assert wide == tables.drawn(headers, rows)


@pytest.mark.parametrize("columns", ["60", "80"])
def test_commands_in_few_columns(
    cli: Command, columns: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Jobs with whole ids and tasks, the matrix with all vendors, a plan with its reasons."""
    monkeypatch.setenv("COLUMNS", columns)
    cli("generate", "a cat", "--duration", "3")
    cli("generate", "a dog", "--vendor", FIRST, "--fault", "lost-reset")
    for entry in cli("jobs", "--json").document:
        listed = cli("jobs")
        words = listed.out.split()
        assert {entry["id"], entry["vendor"], entry["workflow"], entry["state"]} <= {*words}
        if "job" in entry:
            assert entry["job"]["id"] in words
        assert (f"\n {entry['id']}  " in listed.out) == (columns == "80")  # a table where it fits
    assert "next: polyreel reconcile" in listed.err
    Path("rows.txt").write_text("a cat\na dog\n")
    lines = (
        ("jobs",),
        ("matrix",),
        ("models",),
        ("doctor",),
        ("price", "a cat"),
        ("diff", *list(all_providers())[:2]),
        ("batch", "rows.txt", "--dry-run"),
        ("plan", "a @Image1 cat", "--vendor", "all"),
    )
    for line in lines:
        for shown in cli(*line).out.splitlines():
            is_code = shown.lstrip().startswith(('"', "POST "))
            assert len(shown) <= int(columns) or is_code or len(shown.split()) <= 2, (line, shown)


def test_the_models_are_a_table_in_few_columns(
    cli: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The path, which nobody types, stands below."""
    monkeypatch.setenv("COLUMNS", "80")
    rows = cli("models", "--json").document
    lines = cli("models").out.splitlines()
    assert len(lines) <= 2 * len(rows) + 4
    for row in rows:
        assert any(row["vendor"] in one and row["workflow"] in one for one in lines)


def test_a_command_to_copy_stays_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever stands before it in the message."""
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    step = "next: polyreel resume 4f0c --live --ledger jobs.sqlite3"
    other = "  polyreel adopt 4f0c TASK --live  (it is that task)"
    show.note(f"no job is in the ledger yet\n{step}\n{other}")
    assert capsys.readouterr().err.splitlines()[-2:] == [step, other]


def test_a_mark_that_cites_nothing_is_reported(cli: Command) -> None:
    """Before anything is paid: `@Image1` without an image."""
    found = cli("plan", "a @Image1 cat", "--vendor", FIRST)
    assert "warning: prompt: @Image1 cites nothing" in found.err
    assert "@Image1 cites nothing" in found.out


class Terminal:
    """A stream that is a terminal, or none."""

    def __init__(self, *, terminal: bool) -> None:
        self.isatty = lambda: terminal


@pytest.mark.parametrize(
    ("terminal", "variables", "coloured"),
    [
        (True, {}, True),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"NO_COLOR": ""}, True),
        (True, {"TERM": "dumb"}, False),
        (False, {}, False),
        (False, {"FORCE_COLOR": "1"}, False),
    ],
)
def test_colours_are_for_terminals(
    terminal: bool, variables: dict[str, str], coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Verdicts and states have colours on a terminal, where NO_COLOR does not forbid them."""
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    stream = Terminal(terminal=terminal)
    painted = tables.painted("refused", "refused", stream)  # type: ignore[arg-type]
    assert painted == ("\x1b[31mrefused\x1b[0m" if coloured else "refused")
    assert tables.painted("a word", "a word", stream) == "a word"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("content", "prompt"),
    [
        (b"a cat\nin the rain\n", "a cat\nin the rain"),
        ("\ufeffeine Katze im Schnee, müde\r\n".encode(), "eine Katze im Schnee, müde"),
        ("猫".encode("utf-16"), "猫"),
        (b"-", "-"),
    ],
)
def test_a_prompt_on_standard_input(cli: Command, content: bytes, prompt: str) -> None:
    """`-` reads it, in every command that takes a request, with flags beside it."""
    for command in ("generate", "plan"):
        found = cli(command, "-", "--duration", "5", "--vendor", FIRST, "--json", stdin=content)
        assert found.code == 0, found.err
        if command == "plan":
            assert found.document["body"]["prompt"] == prompt
            assert found.document["body"]["duration"] == 5
    assert cli("price", "-", stdin=content).code == 0


@pytest.mark.parametrize(
    ("content", "more", "needle"),
    [
        (b"", (), "prompt: there is nothing on standard input"),
        (b" \n", (), "prompt: there is nothing on standard input"),
        (b"caf\xe9", (), "prompt: standard input is not UTF-8 text"),
        (b'{"prompt": "a"}', (), "--request -"),
        (b'{"prompt": "a"}', ("--request", "-"), "PROMPT"),
    ],
)
def test_no_prompt_on_standard_input(
    cli: Command, content: bytes, more: tuple[str, ...], needle: str
) -> None:
    """What is no prompt is refused before anything is made."""
    found = cli("generate", "-", *more, stdin=content)
    assert (found.code, needle in found.err) == (2, True), found.err
