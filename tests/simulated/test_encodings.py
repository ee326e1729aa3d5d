"""Every text of a user is read in every encoding that editors and shells write."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from polyreel import Client
from polyreel.drivers.network_file import read_network
from polyreel.mapping.textfiles import has_mark, text_of
from polyreel.providers.base.registry import all_providers
from polyreel.simulator import faultfile
from support.cli import VENDORS, Command, stranger

every_encoding = pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
SOURCE, MODEL = next(
    (name, f"{name}/{one.routes[0].model}")
    for name, one in all_providers().items()
    if "feature" in one.routes[0].by_place
)
"""A vendor whose bodies do not name the model, and how it is named beside them."""
BODY = {
    "prompt": "日本",
    "first_frame_url": "https://example.com/a.png",
    "feature": "frame-to-video",
}
ROW = json.dumps({"prompt": "日本"}, ensure_ascii=False)


@pytest.fixture
def cli(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Command:
    """Command lines in an empty folder."""
    return stranger(capsys, monkeypatch, tmp_path)


def encoded(text: str, encoding: str) -> bytes:
    """With a mark, as a file in UTF-16 has one."""
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    return (mark + text).encode(encoding)


@every_encoding
def test_a_mark_is_no_part_of_the_text(encoding: str) -> None:
    """And it says the encoding."""
    content = encoded("日本 é", encoding)
    assert text_of(content) == "日本 é"
    assert has_mark(content) is (encoding != "utf-8")


@pytest.mark.parametrize("broken", [b"a\xff", b"\xef\xbb\xbf\xff", b"\xff\xfe\0", b"\xfe\xff\xd8"])
def test_what_is_no_text_is_told_so(broken: bytes) -> None:
    """With a mark or without."""
    with pytest.raises(UnicodeDecodeError):
        text_of(broken)


def command_lines(write: Callable[[str, str], str]) -> dict[str, tuple[str, ...]]:
    """Each command that reads a text of the user, with a file that it takes."""
    target = next(one for one in VENDORS if one != SOURCE)
    body = json.dumps(BODY, ensure_ascii=False)
    price = f'[[price]] # é\nvendor = "{target}"\nmodel = "kling-v3"\nusd_per_second = "0.1"\n'
    return {
        "prompt": ("plan", "-"),
        "request": ("plan", "--request", write("r.json", ROW)),
        "batch": ("batch", write("rows.jsonl", f"{ROW}\n{ROW}\n"), "--dry-run"),
        "prompts": ("batch", write("rows.txt", "日本\n猫\n"), "--dry-run"),
        "body": ("translate", write("b.json", body), "--from", MODEL, "--to", target),
        "bodies": (
            *("translate", write("b.jsonl", f"{body}\n{body}\n"), "--from", MODEL),
            *("--to", target, "--json"),
        ),
        "prices": ("price", "a cat", "--prices-file", write("p.toml", price)),
    }


@every_encoding
@pytest.mark.parametrize(
    "name", ["prompt", "request", "batch", "prompts", "body", "bodies", "prices"]
)
def test_commands_read_it(cli: Command, tmp_path: Path, name: str, encoding: str) -> None:
    """A file or standard input."""

    def write(file: str, text: str) -> str:
        (tmp_path / file).write_bytes(encoded(text, encoding))
        return file

    found = cli(*command_lines(write)[name], stdin=encoded("日本", encoding))
    assert found.code == 0, found.err


@every_encoding
def test_settings_files_are_read(
    encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faults, the network, and a .env file."""
    file = tmp_path / "settings.toml"
    file.write_bytes(encoded("# é\nseed = 7\n", encoding))
    assert faultfile.read(file, [*all_providers()]).seed == 7
    file.write_bytes(encoded('# é\nuser_agent = "Company/1"\n', encoding))
    assert read_network(file).user_agent == "Company/1"
    provider = all_providers()[VENDORS[0]]
    monkeypatch.delenv(provider.key_variable, raising=False)
    (tmp_path / ".env").write_bytes(
        encoded(f"# é\n{provider.key_variable}=sk-123456789\n", encoding)
    )
    with Client.from_env(tmp_path / ".env", ledger=None) as client:
        assert not client.simulated
