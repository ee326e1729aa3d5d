"""The command that begins a vendor of one's own: new-vendor."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ..depth import value_problem, yaml_is_deep
from ..errors import MissingExtraError, RequestError
from ..mapping.textfiles import read_bytes
from . import show
from .files import parse
from .options import AsJson

if TYPE_CHECKING:
    from .. import scaffold

MOST_SHOWN: Final = 12
"""How many calls that were left out are shown; with --json, all are."""
ADVICE: Final = "a YAML file needs a parser: pip install pyyaml, or convert the file to JSON"
PLAIN: Final = (
    ("bool", "(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("null", "(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("int", "[-+]?[0-9]+$", "-+0123456789"),
    ("float", r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)(?:[eE][-+]?[0-9]+)?$", "-+.0123456789"),
)
"""What is no text in YAML 1.2's core schema."""


def new_vendor(
    name: Annotated[str, typer.Argument(help="Id of the vendor, as acme-video.")],
    source: Annotated[str, typer.Option("--from", help="OpenAPI 3.x file, JSON or YAML.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder to write to; the vendor's id here, if not given.",
            show_default=False,
        ),
    ] = None,
    paths: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="Look at paths that fit this only, as '/v1/videos*'. May be given several times.",
            show_default=False,
        ),
    ] = None,
    create: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CALL",
            help="A paid call: operation id, path, or 'POST /path'. May be given several times. "
            "Left out: guessed.",
            show_default=False,
        ),
    ] = None,
    get: Annotated[
        str | None,
        typer.Option(
            metavar="CALL", help="The status query, in the same words.", show_default=False
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="Draft models or workflows that fit this only, as 'kling-*' or text-to-video. "
            "May be given several times.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Begin a package for a vendor: its contract, and its tables half filled from its OpenAPI
    document.

    What could not be guessed is marked with TODO, and listed by the tests of the new package.
    """
    from .. import scaffold

    scaffold.check_name(name)
    folder = output or Path(name)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RequestError([f"--output {folder}: it is there already, and not empty"])
    wishes = scaffold.Wishes(paths or (), create or (), get or "", only or ())
    made = scaffold.package(name, load(source), wishes)
    try:
        for place, text in made.files.items():
            path = folder / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RequestError([f"--output {folder}: {error.strerror or error}"]) from None
    _print_package(made, folder, as_json=as_json)


def _print_package(made: scaffold.Package, folder: Path, *, as_json: bool) -> None:
    paths = [str(folder / file) for file in made.files]
    if as_json:
        show.document(
            {
                "vendor": made.name,
                "files": paths,
                "calls": list(made.calls),
                "not_done": list(made.not_done),
                "left_out": list(made.left_out),
            }
        )
    else:
        for path in paths:
            show.line(path)
    for call in made.calls:
        show.note(f"paid call -> status query: {call}")
    for text in made.not_done:
        show.note(f"left to you: {text}")
    if made.left_out:
        shown = made.left_out[:MOST_SHOWN]
        hidden = len(made.left_out) - len(shown)
        more = f" and {hidden} more" if hidden else ""
        show.note(f"left out of the contract: {', '.join(shown)}{more}")
    show.note(f"next: cd {folder} && pip install -e '.[test]' && pytest")
    show.note(
        "The test of the contract lists what is still to be filled in; "
        "docs/add-a-vendor.md tells how."
    )


def load(source: str) -> Any:
    """A spec from a file or standard input: JSON, or YAML where a parser is installed."""
    where = f"--from {source}"
    content = read_bytes(source, where)
    if content.lstrip()[:1] == b"{" or source.endswith(".json"):
        return parse(content, where)
    try:
        import yaml
    except ImportError:
        raise MissingExtraError(f"{where}: {ADVICE}") from None

    class Loader(yaml.SafeLoader):
        """YAML 1.2, as OpenAPI has it: 16:9 is no number, on no switch, and no text a date."""

        yaml_implicit_resolvers = {}  # noqa: RUF012

    for kind, form, starts in PLAIN:
        Loader.add_implicit_resolver(f"tag:yaml.org,2002:{kind}", re.compile(form), list(starts))
    try:
        deep = yaml_is_deep(content, yaml.parse(content, Loader))
        found = None if deep else yaml.load(content, Loader)  # noqa: S506
    except (yaml.YAMLError, UnicodeError, ValueError) as error:
        raise RequestError(
            [f"{where}: not YAML: {str(error).partition(chr(10))[0][:200]}"]
        ) from None
    if problem := "nested too deeply" if deep else value_problem(found):
        raise RequestError([f"{where}: {problem}"])
    return found
