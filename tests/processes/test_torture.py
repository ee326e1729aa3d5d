"""Torture: the double-bill table of anyone's client, and what it says of programs that it cannot
judge.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from polyreel.errors import RequestError, UnknownNameError
from polyreel.providers.base.registry import all_providers
from polyreel.simulator.faults import FAULTS
from polyreel.testing.torture import KEY, SUBMIT_FAULTS, Torture, TortureReport
from support.cli import CANARY, VENDORS, process
from support.paths import DOCS
from support.server import example
from support.waiting import HANGS, until


def patient(folder: Path, name: str, option: str) -> str:
    """A program of the documentation that waits longer for answers, of which none fails to come
    here.
    """
    text = (SCRIPTS / name).read_text(encoding="utf-8")
    assert text.count(option) == 1
    (folder / name).write_text(text.replace(option, f"timeout={HANGS})"), encoding="utf-8")
    return f"{sys.executable} {folder / name}"


CALM = ["--jobs=4", "--timeout=200"]
"""However slow the machine is, no program is killed."""


SCRIPTS = DOCS / "torture"
FEW = ["lost-reset", "unheard-close", "rate-limited-zero"]
FIRST, SECOND, *_ = (
    vendor for vendor in VENDORS if f'"{vendor}"' in (SCRIPTS / "httpx_retries.py").read_text()
)
PAIR = [f"--vendor={FIRST}", f"--vendor={SECOND}"]
"""Each vendor and each fault is another start of the program."""

SUBMIT = """
import json, os, sys, urllib.request
def submit(url, key):
    body = json.dumps({body!r}).encode()
    headers = {{"Authorization": "Bearer " + key, "Content-Type": "application/json"}}
    urllib.request.urlopen(urllib.request.Request(url + {path!r}, body, headers)).read()
"""


def written(folder: Path, code: str, name: str = "app.py") -> str:
    """A program with a `submit(url, key)` for the first vendor, and the code; the command that runs
    it.
    """
    one = example(all_providers()[FIRST])
    (folder / name).write_text(SUBMIT.format(body=one.body, path=one.path) + code)
    return f"{sys.executable} {folder / name}"


ONCE = 'submit(os.environ["POLYREEL_TORTURE_URL"], os.environ["POLYREEL_TORTURE_KEY"])\n'


def tortured(command: str, *faults: str, **options: Any) -> TortureReport:
    """The table of a program at the first vendor."""
    return Torture(command, [FIRST], faults, **{"timeout": 2 * HANGS, **options}).run()


def test_the_faults_are_all_faults_of_submits() -> None:
    """Nothing that can go wrong with a submit is left out."""
    assert set(SUBMIT_FAULTS) == {name for name, fault in FAULTS.items() if fault.call == "submit"}


def test_a_plain_retry_loop_is_billed_twice(tmp_path: Path) -> None:
    """Exit code 1; the table and the summary name the worst, and the program's last words are
    shown.
    """
    script = patient(tmp_path, "httpx_retries.py", "timeout=1)")
    found = process(
        *("torture", script, *PAIR, *(f"--fault={name}" for name in FEW), *CALM, "--json"),
        cwd=tmp_path,
    )
    assert found.code == 1, found.err
    cells = {
        (cell["vendor"], cell["fault"], cell["stays"]): cell["billed"]
        for cell in found.document["cells"]
    }
    assert {(vendor, name) for vendor, name, _ in cells} == {
        (vendor, name) for vendor in (FIRST, SECOND) for name in FEW
    }
    for vendor in (FIRST, SECOND):
        assert [cells[vendor, "lost-reset", stays] for stays in (False, True)] == [2, 4]
        assert cells[vendor, "unheard-close", True] == 0
    assert found.document["worst"] == 4
    assert "the worst is lost-" in found.err
    assert KEY not in found.out + found.err
    assert CANARY not in found.out + found.err


@pytest.mark.matrix("vendor", "fault")
@pytest.mark.parametrize("vendor", [FIRST, SECOND])
@pytest.mark.parametrize("fault", FEW[:2])
def test_polyreels_own_client_is_never_billed_twice(
    vendor: str, fault: str, tmp_path: Path
) -> None:
    """At most one in every cell; exit code 0."""
    script = patient(tmp_path, "polyreel_client.py", "timeout=2)")
    chosen = (f"--vendor={vendor}", f"--fault={fault}")
    found = process("torture", script, *chosen, *CALM, cwd=tmp_path)
    assert found.code == 0, found.err
    assert "!" not in found.out
    assert vendor in found.out
    assert "no run of 2 was billed more than 1" in found.err


def test_a_callable_is_called_in_a_process_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By `module:function` with the base URL and the key; what it returns may be awaited."""
    again = "async def later(url, key):\n    for _ in range(2):\n        submit(url, key)\n"
    written(tmp_path, again, "tortured_app.py")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    assert [run.billed for run in tortured("tortured_app:submit", "lost-reset").cells] == [1, 1]
    assert [run.billed for run in tortured("tortured_app:later", "503", calls=2).cells] == [0, 0]


@pytest.mark.parametrize(
    ("code", "reason"), [("", "did not reach"), (ONCE * 2, "its own doing"), ("1/0", "ZeroDiv")]
)
def test_a_program_that_cannot_be_judged_is_named(tmp_path: Path, code: str, reason: str) -> None:
    """Nothing billed without a fault, or too much: exit code 2, with the variables that it should
    read.
    """
    found = process(
        "torture", written(tmp_path, code), f"--vendor={FIRST}", "--fault=503", cwd=tmp_path
    )
    assert found.code == 2
    assert reason in found.err
    assert "POLYREEL_TORTURE_URL" in found.err
    assert all_providers()[FIRST].key_variable in found.err


def test_vendors_that_are_not_reached_can_be_left_out(tmp_path: Path) -> None:
    """With `keep_going` the others are judged; the report says who is missing."""
    guard = f"if os.environ['POLYREEL_TORTURE_VENDOR'] == {FIRST!r}:\n    {ONCE}"
    found = Torture(written(tmp_path, guard), [FIRST, SECOND], ["lost-reset"]).run(keep_going=True)
    assert [run.vendor for run in found.wrong_baselines] == [SECOND]
    assert {run.vendor for run in found.cells} == {FIRST}
    assert found.exceeding == ()


def test_other_settings_are_filled_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any client's own variables can be used; real keys do not reach the program."""
    for provider in all_providers().values():
        monkeypatch.setenv(provider.key_variable, CANARY)
    others = [
        provider.key_variable for vendor, provider in all_providers().items() if vendor != FIRST
    ]
    honest = (
        f"assert not os.environ.keys() & {set(others)!r}\nkey ="
        f" os.environ[{all_providers()[FIRST].key_variable!r}]\n"
    )
    code = (
        f"{honest}assert key == os.environ['WITH']\nassert os.environ['MINE'] =="
        f" {'{' + FIRST + '}'!r}\n"
    )
    code += "submit(os.environ['AT'], key)\n"
    templates = {"MINE": "{{vendor}}", "AT": "{url}", "WITH": "{key}"}
    (run,) = tortured(written(tmp_path, code), variables=templates).baselines
    assert (run.billed, run.exit_code) == (1, 0)


def test_a_program_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    """After its time, and the bill is read when all of them are dead."""
    sleeping = "import time; time.sleep(600)"
    child = f"import subprocess\nsubprocess.Popen([sys.executable, '-c', '{sleeping}'])\n"
    note = f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpgid(0)))\n"
    code = f"{ONCE}{child}{note}{sleeping}\n"
    for seconds in (8, HANGS, 2 * HANGS):  # until the program has had the time to hang
        (run,) = tortured(written(tmp_path, code), timeout=seconds).baselines
        if (tmp_path / "pid").exists():
            break
    assert run.seconds < 600
    assert (run.billed, run.exit_code) == (1, None)
    group = (tmp_path / "pid").read_text()
    living = subprocess.run(
        ["ps", "-o", "stat=", "-g", group], capture_output=True, text=True, check=False
    ).stdout
    assert all(state.startswith("Z") for state in living.split())


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="it needs /proc")
@pytest.mark.parametrize("end", ["", "os._exit(0)\n"])
def test_a_process_in_a_session_of_its_own_is_killed_too(tmp_path: Path, end: str) -> None:
    """However the program ends, and also a grandchild whose parent has ended."""
    sleeping = "import os, time; open(os.environ['NOTE'] + str(os.getpid()), 'w'); time.sleep(600)"
    leaving = (
        "import os, subprocess, sys\n"
        "options = dict(start_new_session=True, stderr=subprocess.DEVNULL)\n"
        f"subprocess.Popen([sys.executable, '-c', {sleeping!r}], **options)\n"
    )
    (tmp_path / "leaving.py").write_text(leaving)
    notes = tmp_path / "notes"
    notes.mkdir()
    code = (
        f"import subprocess, time\nexec({leaving!r})\n"
        f"subprocess.run([sys.executable, {str(tmp_path / 'leaving.py')!r}])\n"
        f"while len(os.listdir({str(notes)!r})) < 2: time.sleep(0.05)\n{ONCE}{end}"
    )
    variables = {"NOTE": f"{notes}/"}
    (run,) = tortured(written(tmp_path, code), timeout=HANGS, variables=variables).baselines
    assert run.billed == 1
    pids = [int(note.name) for note in notes.iterdir()]
    assert len(pids) == 2
    until(lambda: not any(is_running(pid) for pid in pids))


def is_running(pid: int) -> bool:
    """Whether a process is at work: not gone, and not just waiting to be buried."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_keys_in_complaints_are_hidden(tmp_path: Path) -> None:
    """A program may say its key; the report does not."""
    code = f"{ONCE}print('my key is', os.environ['POLYREEL_TORTURE_KEY'], file=sys.stderr)\n"
    (run,) = tortured(written(tmp_path, code)).baselines
    assert run.complaint == "my key is ****"


@pytest.mark.parametrize("command", ["", "no-such-program-anywhere", '"', "  "])
def test_a_command_that_cannot_run_is_a_wrong_request(command: str) -> None:
    """Before or at the first run."""
    with pytest.raises(RequestError):
        tortured(command)


def test_unknown_names_are_named(tmp_path: Path) -> None:
    """A vendor, or a fault that is not one of submits."""
    for vendors, faults in ((["nobody"], []), ([FIRST], ["nothing"]), ([FIRST], ["poll-500"])):
        with pytest.raises(UnknownNameError):
            Torture("true", vendors, faults).run()
    found = process("torture", "true", "--env", "nonsense", cwd=tmp_path)
    assert found.code == 2
    assert "NAME=TEMPLATE" in found.err


def test_the_report_is_data(tmp_path: Path) -> None:
    """With --json, one document with every run."""
    found = process(
        "torture", written(tmp_path, ONCE), "--vendor", FIRST, "--fault=503", "--json", cwd=tmp_path
    )
    assert found.code == 0, found.err
    assert json.loads(found.out)["exceeding"] == 0
    assert [cell["met"] for cell in found.document["cells"]] == [1, 1]
