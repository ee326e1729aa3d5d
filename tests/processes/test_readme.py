"""The commands and code of README, and of the pages about the command line and Python, are really
run; the table of exit codes is the code's.
"""

import json
import re
import shlex
import shutil
from pathlib import Path

import httpx
import pytest
from PIL import Image
from polyreel.cli import EXIT_CODES, INTERNAL, SOME_FAILED
from polyreel.providers.base.registry import all_providers
from polyreel.simulator import Simulator
from polyreel.simulator.transport import SimulatedTransport
from support.cli import Command, process, stranger, streams
from support.paths import ROOT
from support.recordings import Recorder

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMAND_LINE = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
PYTHON = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")


def blocks(text: str, *kinds: str) -> list[str]:
    """The blocks of code of some kinds."""
    found = re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [block for kind, block in found if kind in kinds]


TYPED = dict.fromkeys(
    line.removeprefix("$ polyreel")
    for text in (README, COMMAND_LINE)
    for block in blocks(text, "console")
    for line in block.splitlines()
    if line.startswith("$ polyreel")
)
COMMANDS = [*{tuple(shlex.split(line, comments=True)): None for line in TYPED}]


def recorded() -> str:
    """Traffic of the simulator, as `polyreel verify` reads it."""
    recorder = Recorder(SimulatedTransport(Simulator()))
    provider = next(iter(all_providers().values()))
    with httpx.Client(transport=recorder) as client:
        client.get(
            f"{provider.base_url}{provider.get_request('nonesuch')['url']}",
            headers={"Authorization": "Bearer x"},
        )
    return "\n".join(map(json.dumps, recorder.lines))


@pytest.fixture
def cli(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Command:
    """Command lines in a folder with the files that the README's examples name."""
    Image.new("RGB", (640, 360)).save(tmp_path / "cat.png")
    shutil.copy(ROOT / "tests" / "requests" / "text_to_video.json", tmp_path / "request.json")
    shutil.copy(ROOT / "docs" / "example-vendor" / "acme_video" / "openapi.json", tmp_path)
    (tmp_path / "prompt.txt").write_text("a cat in the rain\n")
    (tmp_path / "recording.jsonl").write_text(recorded())
    (tmp_path / "jobs.csv").write_text("prompt,duration\na cat,5\na dog,5\n")
    (tmp_path / "jobs.jsonl").write_text('{"prompt": "a cat"}\n{"prompt": "a dog"}\n')
    (tmp_path / "body.json").write_text('{"prompt": "a cat walking through neon rain"}')
    documents = (json.dumps(one.contract.document) for one in all_providers().values())
    shortest = min(documents, key=len)  # they are read as YAML, which takes its time
    for name in ("old.yaml", "new.yaml"):
        (tmp_path / name).write_text(shortest)
    return stranger(capsys, monkeypatch, tmp_path)


def test_the_first_command_makes_a_clip(tmp_path: Path) -> None:
    """What follows the installation, word for word."""
    block = blocks(README, "sh")[0]
    program, *arguments = shlex.split(block.partition("&&")[2])
    assert program == "polyreel"
    found = process(*arguments, cwd=tmp_path)
    assert found.code == 0, found.err
    (path,) = found.out.splitlines()
    seconds, width, height, sounds = streams(str(tmp_path / path))
    assert seconds == pytest.approx(5, abs=0.1)
    assert (width, height, sounds) == (720, 1280, 1)


ELSEWHERE = {"gateway", "listen", "mcp", "simulate", "studio", "torture"}
"""Commands that do not end by themselves, or not soon."""


@pytest.mark.parametrize(
    "arguments", [words for words in COMMANDS if words[0] not in ELSEWHERE], ids=" ".join
)
def test_every_command_works(cli: Command, arguments: tuple[str, ...]) -> None:
    """Every `$ polyreel` line ends as it should; those that serve or take long have tests of their
    own. What asks vendors is answered by simulated ones.
    """
    if "--live" in arguments:
        vendors = SimulatedTransport(Simulator())
        cli.monkeypatch.setattr(
            httpx.HTTPTransport, "handle_request", lambda _, one: vendors.handle_request(one)
        )
    typed, stdin = [*arguments], b""
    if "<" in arguments:
        typed, stdin = typed[:-2], Path(arguments[-1]).read_bytes()
    if "TASK" in typed:  # a task of that vendor
        cli("generate", "a cat", "--vendor", typed[typed.index("TASK") - 1], "--timeout", "0")
        (job,) = cli("jobs", "--json").document
        typed = [job["job"]["id"] if word == "TASK" else word for word in typed]
    found = cli(*typed, stdin=stdin)
    assert found.code == (6 if "--fault" in arguments else 0), found.err
    assert found.out or found.err


@pytest.mark.parametrize("page", [README, PYTHON], ids=["README", "python"])
def test_the_python_code_runs(page: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each Python block, word for word, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    code = blocks(page, "python")
    for block in code:
        exec(compile(block, "a page", "exec"), {})
    assert code
    assert list((tmp_path / "clips").glob("*.mp4"))


def test_the_exit_codes_are_the_codes() -> None:
    """Every exit code of the program is in the table, and no other."""
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", COMMAND_LINE, re.MULTILINE)
    assert [int(code) for code, _ in rows] == sorted(
        {0, INTERNAL, SOME_FAILED, *(code for _, code in EXIT_CODES)}
    )
