"""The command line: what it refuses, in one clear message, before anything is sent."""

from pathlib import Path

import pytest
import typer
from PIL import Image
from polyreel.cli import failures
from polyreel.providers.base.registry import all_providers
from support.cli import FIRST, KEYS, REFUSED, Command, stranger


@pytest.fixture
def cli(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Command:
    """Command lines in an empty folder, with a key for every vendor and no way out to the
    network.
    """
    return stranger(capsys, monkeypatch, tmp_path)


@pytest.mark.slow
@pytest.mark.matrix("case", "live")
@pytest.mark.parametrize("live", [(), ("--live",)], ids=["simulated", "live"])
@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_request_is_refused_before_anything_is_sent(
    cli: Command, case: str, live: tuple[str, ...], tmp_path: Path
) -> None:
    """Exit code 2 and one clear message; nothing is sent, paid or written."""
    arguments, content, needle = REFUSED[case]
    (tmp_path / "r.json").write_bytes(content)
    Image.new("RGB", (640, 360)).save(tmp_path / "cat.png")
    cli.fails(2, ("generate", *arguments, *live), needle)
    assert not (tmp_path / "clips").exists()


@pytest.mark.parametrize(
    "key", ["", "  ", "sk has-blank", "sk-schlüssel", "sk-two\nlines", "sk-\udcff"]
)
def test_a_live_call_needs_a_usable_key(
    cli: Command, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    """Exit code 4, the variable is named and the key is not shown."""
    variable = all_providers()[FIRST].key_variable
    monkeypatch.setenv(variable, key)
    cli.fails(4, ("generate", "a cat", "--live", "--vendor", FIRST), variable)
    assert not key.strip() or key not in "".join(cli.seen)
    state = cli("doctor", "--json").document["keys"]
    assert state[variable] != "set"
    assert [state[name] for name in KEYS if name != variable] == ["set"] * (len(KEYS) - 1)


def test_doctor_says_what_is_simulated(cli: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a command does with and without --live, by the keys that are there."""
    facts = cli("doctor", "--json").document
    assert facts["without_live"].startswith("simulated")
    assert all(vendor in facts["with_live"] for vendor in all_providers())
    for name in KEYS[1:]:
        monkeypatch.delenv(name)
    assert cli("doctor", "--json").document["with_live"] == f"costs money at {FIRST}"
    monkeypatch.delenv(KEYS[0])
    assert cli("doctor", "--json").document["with_live"] == "refused: no key is set"


def test_a_live_call_without_any_key_names_them_all(
    cli: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a vendor, any of the keys would do."""
    for name in KEYS:
        monkeypatch.delenv(name)
    cli.fails(4, ("generate", "a cat", "--live"), " or ".join(KEYS))


@pytest.mark.parametrize(
    "value",
    ["nonesuch", "ftp://x", "http://u:sk-canary-0123456789abcdef@x", "http://[", "http://x?y"],
)
def test_a_wrong_environment_is_reported(
    cli: Command, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    """A bad setting refuses the call and names the variable; doctor goes on and names it too."""
    bases = [
        provider.base_url_variable
        for provider in all_providers().values()
        if provider.base_url_variable
    ]
    for variable in ["POLYREEL_VENDORS", *bases]:
        monkeypatch.setenv(variable, value)
        cli.fails(2, ("generate", "a cat"), variable)
        assert variable in cli("doctor").out
        monkeypatch.delenv(variable)


@pytest.mark.parametrize(
    ("arguments", "code", "needle"),
    [
        (("generate", "a", "--output", "cat.txt"), 9, "--output cat.txt"),
        (("generate", "a", "--output", "cat.txt/x", "--live"), 9, "--output cat.txt/x"),
        (("generate", "a", "--output", "/proc"), 9, "--output /proc"),
        (("plan", "a", "--vendor", "all", "--vendor", "nonesuch"), 2, "nonesuch"),
        (("plan", "a", "--output", "x"), 2, "--output"),
        (("nonesuch",), 2, "nonesuch"),
        (("--nonesuch",), 2, "--nonesuch"),
        (("models", "all"), 2, "all"),
        (("simulate", "--port", "99999"), 2, "--port"),
        (("simulate", "--port", "http"), 2, "--port"),
        (("simulate", "--allow-host", "simulator:8765"), 2, "without a scheme and a port"),
        (("simulate", "--allow-host", "*"), 2, "--allow-host"),
        (("simulate", "--allow-origin", "*"), 2, "http://localhost:3000"),
        (("simulate", "--allow-origin", "http://localhost:3000/app"), 2, "--allow-origin"),
        (("simulate", "--key", " a"), 2, "--key"),
        (("simulate", "--speed", "nan"), 2, "--speed"),
        (("simulate", "--speed", "0"), 2, "--speed"),
    ],
)
def test_wrong_usage(
    cli: Command, tmp_path: Path, arguments: tuple[str, ...], code: int, needle: str
) -> None:
    """What cannot work is told before anything is paid."""
    (tmp_path / "cat.txt").write_text("a file")
    cli.fails(code, arguments, needle)
    assert (tmp_path / "cat.txt").read_text() == "a file"


def test_a_prompt_in_the_wrong_place_is_answered_with_the_right_one(cli: Command) -> None:
    """Without quotes, and without a command."""
    for words in (("generate", "a", "cat", "in", "rain"), ("plan", "a", "cat")):
        found = cli(*words)
        assert (found.code, "stands in quotes" in found.err) == (2, True), found.err
    assert "quotes" not in cli("models", "a", "cat").err
    found = cli("a cat in the rain")
    assert found.code == 2
    assert 'did you mean polyreel generate "a cat in the rain"?' in found.err


@pytest.mark.parametrize("before", ["", "Value error, "])
def test_a_choice_is_refused_in_the_words_of_any_typer(
    before: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whose newer versions tell the choices in the text of the error only."""
    error = typer.BadParameter(f"{before}'1080P' is not one of '720p', '1080p'.")
    assert failures.report(error, as_json=False) == 2
    found = capsys.readouterr().err
    assert found.startswith("error: Invalid value: '1080P' is not one of")
    assert "; did you mean 1080p? See" in found
