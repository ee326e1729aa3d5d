"""Keys that are stored: by `polyreel keys`, in a file of one's own or in the keyring."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import keyring
import keyring.backend
import keyring.backends.null
import keyring.errors
import pytest
from polyreel import Client
from polyreel.cli import options, show
from polyreel.drivers.key_store import KeyStore
from polyreel.errors import KeyMissingError, MissingExtraError
from polyreel.providers.base.registry import all_providers
from support.cli import CANARY, FIRST, KEYS, VENDORS, Command, stranger

OTHER = "sk-canary-of-another-place"
LAST = VENDORS[-1]


@pytest.fixture
def cli(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Command]:
    """Without keys in the environment. What is stored is gone in the end: no file holds a key."""
    made = stranger(capsys, monkeypatch, tmp_path)
    for name in KEYS:
        monkeypatch.delenv(name)
    path = tmp_path / "settings" / "keys.json"
    monkeypatch.setenv("POLYREEL_KEYS", str(path))
    yield made
    with suppress(OSError):
        path.unlink()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "settings" / "keys.json"


def store(cli: Command, vendor: str = FIRST, *options: str, key: str = CANARY) -> None:
    assert cli("keys", "set", vendor, *options, stdin=f"\ufeff {key}\r\n".encode()).code == 0


def used(vendor: str = FIRST) -> str:
    """The key that a live command uses."""
    found: str = options.settings([vendor], live=True, ledger=None)["keys"][vendor]
    return found


def told(cli: Command) -> dict[str, str]:
    """Where keys come from, by vendor."""
    return {row["vendor"]: row["key"] for row in cli("keys", "list", "--json").document}


def test_a_stored_key_is_found(cli: Command, path: Path) -> None:
    """By live commands and `from_env`; in a file that only its owner can read."""
    store(cli)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert used() == CANARY
    with Client.from_env(ledger=None) as client:
        assert not client.simulated
        assert client.vendors == [FIRST]
        assert client.wire.keys[FIRST].reveal() == CANARY
    with Client.from_env(ledger=None, live=False) as client:
        assert client.simulated
    assert told(cli) == {**dict.fromkeys(VENDORS, "not set"), FIRST: str(path)}
    facts = cli("doctor", "--json").document
    assert facts["keys"][KEYS[0]] == f"set in {path}"
    assert facts["with_live"] == f"costs money at {FIRST}"
    assert str(path) in cli("keys", "list").out + cli("doctor").out
    cli("keys", "remove", FIRST)
    assert CANARY not in path.read_text()
    assert told(cli) == dict.fromkeys(VENDORS, "not set")
    cli.fails(4, ("generate", "a cat", "--live"), "polyreel keys set")
    cli.fails(2, ("keys", "remove", FIRST), "no key of")


def test_the_environment_goes_before(
    cli: Command, path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """And so does a `.env` file. A variable that is there and empty hides the stored key."""
    store(cli)
    (tmp_path / ".env").write_text(f"{KEYS[0]}={OTHER}\n")
    with Client.from_env(ledger=None) as client:
        assert client.wire.keys[FIRST].reveal() == OTHER
    (tmp_path / ".env").unlink()
    monkeypatch.setenv(KEYS[0], OTHER)
    assert used() == OTHER
    assert told(cli)[FIRST] == "the environment"
    assert (
        f"{KEYS[0]} is set in the environment"
        in cli("keys", "set", FIRST, stdin=CANARY.encode()).err
    )
    monkeypatch.setenv(KEYS[0], "")
    assert told(cli)[FIRST] == "not set"
    with pytest.raises(KeyMissingError):
        used()
    assert f"{KEYS[0]} is set" not in cli("keys", "remove", FIRST).err


@pytest.mark.skipif(os.name == "nt", reason="modes say nothing there")
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o610])
def test_a_file_that_others_can_open_is_refused(cli: Command, path: Path, mode: int) -> None:
    """By every command that needs a key; it says how to mend it."""
    store(cli)
    path.chmod(mode)
    for arguments in (
        ("generate", "a cat", "--live"),
        ("keys", "list"),
        ("keys", "set", FIRST),
        ("keys", "remove", FIRST),
    ):
        cli.fails(4, arguments, f"chmod 600 {path}")
    with pytest.raises(KeyMissingError, match="others may open it"):
        Client.from_env()
    assert "others may open it" in cli("doctor", "--json").document["keys"][KEYS[0]]
    assert cli("plan", "a cat").code == 0
    path.chmod(0o600)
    assert used() == CANARY


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", '{"keys": []}', '{"keys": {"a": 1}}', '{"b": {}}', "[" * 9999, "\xff"],
)
def test_another_file_is_refused(cli: Command, path: Path, content: str) -> None:
    path.parent.mkdir()
    path.write_text(content + CANARY, encoding="latin-1")
    path.chmod(0o600)
    cli.fails(4, ("keys", "list"), "not a file of `polyreel keys`")
    cli.fails(4, ("keys", "set", FIRST), "not a file of `polyreel keys`")
    assert CANARY in path.read_text(encoding="latin-1")


def test_what_is_no_file_is_refused(cli: Command, path: Path) -> None:
    path.mkdir(parents=True)
    cli.fails(4, ("keys", "list"), str(path))
    path.rmdir()
    path.parent.rmdir()
    path.parent.write_text("a file where the folder should be")
    assert cli("keys", "set", FIRST, stdin=CANARY.encode()).code == 4


@pytest.mark.parametrize(
    ("arguments", "needle"),
    [
        (("set", FIRST, CANARY), "not taken from the command line"),
        (("set", FIRST, "--", CANARY), "not taken from the command line"),
        (("set", CANARY), "there is no such vendor"),
        (("set", f"{FIRST}={CANARY}"), "there is no such vendor"),
        (("set",), "name the vendor"),
        ((CANARY,), "set, list, remove"),
        (("sett", FIRST), "did you mean set?"),
        (("list", CANARY), "too many words"),
        (("remove", CANARY), "there is no such vendor"),
        (("remove", FIRST, CANARY), "too many words"),
        (("set", FIRST, f"--key={CANARY}"), "No such option: --key"),
        (("set", FIRST, "--key", CANARY), "No such option: --key"),
    ],
)
def test_a_key_on_the_command_line_is_refused_and_not_repeated(
    cli: Command, path: Path, arguments: tuple[str, ...], needle: str
) -> None:
    cli.fails(2, ("keys", *arguments), needle)
    assert not path.exists()


@pytest.mark.parametrize("key", ["", "  \n", "sk-canary two", "sk-canary\nsk-canary", "sk-canaryü"])
def test_what_is_no_key_is_refused(cli: Command, path: Path, key: str) -> None:
    assert cli("keys", "set", FIRST, stdin=key.encode()).code == 4
    assert cli("keys", "set", FIRST, stdin=b"\xff\x00").code == 2
    assert not path.exists()


def test_the_file_is_written_whole_or_not_at_all(
    cli: Command, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk: the keys of before stay, and nothing of the new one lies about."""
    store(cli)
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        found = cli("keys", "set", LAST, stdin=OTHER.encode())
    assert (found.code, "nothing was changed" in found.err) == (4, True)
    assert path.read_bytes() == before
    assert {one.name for one in path.parent.iterdir()} <= {path.name, f"{path.name}.lock"}


def test_a_link_to_the_file_stays_one(cli: Command, path: Path, tmp_path: Path) -> None:
    path.parent.mkdir()
    real = tmp_path / "elsewhere.json"
    path.symlink_to(real)
    store(cli)
    assert path.is_symlink()
    assert used() == CANARY
    cli("keys", "remove", FIRST)


def test_keys_that_are_set_at_once_all_stay(cli: Command, path: Path) -> None:
    """Also those of vendors that are not installed, which can be seen and removed."""
    names = [f"vendor-{number}" for number in range(16)]
    with ThreadPoolExecutor(8) as pool:
        assert {*pool.map(lambda name: KeyStore(path).set(name, CANARY), names)} == {str(path)}
    assert KeyStore(path).vendors() == sorted(names)
    assert told(cli)[names[0]] == "stored, and no such vendor is installed"
    for name in names:
        assert cli("keys", "remove", name).code == 0
    assert CANARY not in path.read_text()
    assert CANARY not in repr(KeyStore(path))


def test_a_stored_key_is_kept_out_of_all_output(
    cli: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    """As those of the environment are, once it was read."""
    store(cli)
    used()
    show.line(f"the vendor said {CANARY} and {CANARY.replace('-', '%2D')}")
    assert capsys.readouterr().out == "the vendor said **** and ****\n"
    found = KeyStore(Path(os.environ["POLYREEL_KEYS"])).find(FIRST)
    assert CANARY not in f"{found!r} {found}"


# --- the keyring ----------------------------------------------------------------------------------


class MemoryKeyring(keyring.backend.KeyringBackend):
    """A keyring that forgets everything with the process."""

    priority = 1

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[service, username]


@pytest.fixture
def ring() -> Iterator[MemoryKeyring]:
    """Nobody asks for the system's own, before or after."""
    made = MemoryKeyring()
    keyring.set_keyring(made)
    yield made
    keyring.set_keyring(keyring.backends.null.Keyring())  # type: ignore[no-untyped-call]


def test_a_key_in_the_keyring(cli: Command, path: Path, ring: MemoryKeyring) -> None:
    """The file only says that it is there. A key moves from one place to the other."""
    store(cli)
    store(cli, FIRST, "--keyring")
    assert ring.kept == {("polyreel", FIRST): CANARY}
    assert json.loads(path.read_text()) == {"keys": {}, "keyring": [FIRST]}
    assert used() == CANARY
    assert told(cli)[FIRST] == "the keyring"
    store(cli, key=OTHER)
    assert ring.kept == {}
    assert used() == OTHER
    store(cli, FIRST, "--keyring")
    ring.kept.clear()  # by another program
    assert "the keyring is empty" in told(cli)[FIRST]
    assert cli("keys", "remove", FIRST).code == 0
    assert told(cli)[FIRST] == "not set"


def test_a_keyring_that_cannot_be_used(
    cli: Command, ring: MemoryKeyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(cli, FIRST, "--keyring")

    def locked(*_: str) -> Any:
        raise keyring.errors.KeyringLocked(f"the secret is {CANARY}")

    for name in ("get_password", "set_password"):
        monkeypatch.setattr(MemoryKeyring, name, locked)
    cli.fails(4, ("generate", "a cat", "--live"), "cannot be used (KeyringLocked)")
    assert cli("keys", "set", LAST, "--keyring", stdin=OTHER.encode()).code == 4
    monkeypatch.setitem(sys.modules, "keyring", None)
    cli.fails(2, ("generate", "a cat", "--live"), "polyreel[keyring]")
    with pytest.raises(MissingExtraError):
        used()
    assert "polyreel[keyring]" in cli("doctor", "--json").document["keys"][KEYS[0]]


def test_every_vendor_can_have_one(cli: Command) -> None:
    """Also from a shell that writes UTF-16."""
    for vendor in all_providers():
        assert cli("keys", "set", vendor, stdin=f"{CANARY}\r\n".encode("utf-16")).code == 0
        assert used(vendor) == CANARY
    cli("keys", "list")
