"""Fault files: good ones are read whole, broken ones are one clear message."""

from __future__ import annotations

from pathlib import Path

import pytest
from polyreel.simulator import FAULTS, Simulator, VirtualClock, faultfile
from support.cli import Command, stranger
from support.server import PROVIDERS

VENDORS = [provider.id for provider in PROVIDERS]
FIRST, OTHER = VENDORS[:2]

FAULT = '[[fault]]\nname = "lost-reset"\n'
BROKEN: dict[str, tuple[str | bytes, str]] = {
    "no-toml": ("seed = ", "is not TOML: Invalid value (at "),
    "json": ('{"seed": 1}', "is not TOML: "),
    "twice": ("seed = 1\nseed = 2\n", "is not TOML: Cannot overwrite a value (at line 2"),
    "half-header": ("[[fault]\nname = 1", "is not TOML: "),
    "not-utf-8": (b"seed = \xff", "is not UTF-8"),
    "deep": ("keys = " + "[" * 5000, "nested too deeply"),
    "large": ("# " + "x" * 1_000_001, "larger than 1000000 bytes"),
    "huge-number": ("seed = " + "9" * 5000, "is not TOML: "),
    "unknown-field": (
        "\nsede = 1",
        "line 2: sede: there is no such field; there are fault, vendors, seed, balance",
    ),
    "unknown-table": ("[server]\nport = 1", "line 1: server: there is no such field"),
    "one-bracket": (
        '[fault]\nname = "500"',
        "line 1: fault: must be tables, each below a line [[fault]]",
    ),
    "fault-text": ('fault = "500"', "line 1: fault: must be tables"),
    "seed-text": ('seed = "7"', "line 1: seed: must be a whole number of at most 63 bits, not '7'"),
    "seed-true": ("seed = true", "seed: must be a whole number"),
    "balance-negative": (
        "balance = -1",
        "line 1: balance: must be a number of credits, 0 or more, not -1",
    ),
    "balance-nan": ("balance = nan", "balance: must be a number of credits"),
    "link-text": ("link_seconds = 'x'", "link_seconds: must be a number of seconds"),
    "keys-text": ("keys = 'k'", "keys: must be a list of texts"),
    "keys-blank": ("keys = ['', 'k']", "keys: must be a list of texts without blanks"),
    "latency-backwards": ("latency = '2-1'", "latency: must be seconds from 0 to 600"),
    "latency-negative": ("latency = -1", "latency: must be seconds"),
    "latency-endless": ("latency = inf", "latency: must be seconds"),
    "vendors-text": (f"vendors = '{FIRST}'", "vendors: must be a list of at least one vendor"),
    "vendors-unknown": (
        "vendors = ['nonesuch']",
        f"there is no vendor 'nonesuch'; there are {', '.join(VENDORS)}",
    ),
    "fault-nameless": (
        "seed = 1\n[[fault]]\nshare = 1",
        "line 2: fault 1, name: which fault? There are lost-reset",
    ),
    "fault-unknown": (
        '[[fault]]\nname = "lost"',
        "line 2: fault 1, name: there is no fault 'lost'; there are lost-reset",
    ),
    "second-fault": (
        FAULT + "\n" + FAULT + "share = 2",
        "line 6: fault 2, share: must be a number from 0 to 1, not 2",
    ),
    "fault-field": (
        FAULT + "chance = 1",
        "line 3: fault 1, chance: there is no such field; there are name, vendor, share",
    ),
    "fault-vendor": (
        FAULT + "vendor = 'nonesuch'",
        "line 3: fault 1, vendor: there is no vendor 'nonesuch'",
    ),
    "fault-elsewhere": (
        f"vendors = ['{FIRST}']\n{FAULT}vendor = '{OTHER}'",
        f"line 4: fault 1, vendor: there is no vendor '{OTHER}'; there are {FIRST}",
    ),
    "times-zero": (
        FAULT + "times = 0",
        'line 3: fault 1, times: must be a whole number from 1 on, or "always"',
    ),
    "times-fraction": (FAULT + "times = 1.5", "fault 1, times: "),
    "share-true": (
        FAULT + "share = true",
        "fault 1, share: must be a number from 0 to 1, not True",
    ),
}


@pytest.fixture
def cli(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Command:
    return stranger(capsys, monkeypatch, tmp_path)


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_fault_file_is_one_clear_message(cli: Command, name: str) -> None:
    """It names the file, the line and the field, and the names that there are; nothing is
    served.
    """
    content, needle = BROKEN[name]
    Path("f.toml").write_bytes(content if isinstance(content, bytes) else content.encode())
    cli.fails(2, ("simulate", "--faults", "f.toml"), needle)
    found = cli("simulate", "--faults", "f.toml")
    assert found.err.startswith("error: Invalid value for --faults: f.toml")
    assert len(found.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "needle"),
    [
        (("--faults", "none.toml"), "none.toml cannot be read: No such file"),
        (("--faults", "."), "cannot be read: Is a directory"),
        (("--latency", "soon"), "--latency: must be seconds from 0 to 600 such as 0.2"),
        (("--latency", "-1"), "--latency"),
        (("--latency", "601"), "--latency"),
        (("--latency", "1-"), "--latency"),
        (("--latency", "nan"), "--latency"),
        (
            ("--vendor", "nonesuch"),
            f"no vendor is called 'nonesuch'; there are {', '.join(VENDORS)}",
        ),
        (("--remember", "."), "is a folder"),
        (("--seed", "x"), "--seed"),
    ],
)
def test_wrong_options_are_reported(cli: Command, arguments: tuple[str, ...], needle: str) -> None:
    """Before anything is served."""
    cli.fails(2, ("simulate", *arguments), needle)


def test_a_fault_at_a_vendor_that_does_not_answer(cli: Command) -> None:
    """The option decides who answers, so it decides what the file may say."""
    Path("f.toml").write_text(f"{FAULT}vendor = '{OTHER}'", encoding="utf-8")
    cli.fails(
        2, ("simulate", "--faults", "f.toml", "--vendor", FIRST), f"there is no vendor '{OTHER}'"
    )


def test_a_good_file_is_read_whole(tmp_path: Path) -> None:
    """Every field, every fault, and ways to write them."""
    file = tmp_path / "f.toml"
    lines = [f'[[fault]]\r\nname = "{name}"\r\nshare = 0.25\r\ntimes = "always"' for name in FAULTS]
    head = (
        '\ufeffseed = -3\r\nbalance = inf\r\nkeys = []\r\nlatency = ".1-.2"\r\nvendors ='
        f' ["{FIRST}", "{FIRST}"]'
    )
    file.write_bytes("\r\n".join([head, *lines]).encode())
    setup = faultfile.read(file, VENDORS)
    assert [fault.name for fault in setup.faults] == list(FAULTS)
    assert (setup.seed, setup.balance, setup.keys, setup.latency) == (
        -3,
        float("inf"),
        frozenset(),
        (0.1, 0.2),
    )
    assert (setup.vendors, setup.link_seconds) == ((FIRST,), None)
    simulator = Simulator(clock=VirtualClock(), seed=1)
    for fault in setup.faults:
        fault.into(simulator)
    assert [rule.fault.name for rule in simulator.active] == list(FAULTS)
    assert {(rule.share, rule.left) for rule in simulator.active} == {(0.25, None)}
