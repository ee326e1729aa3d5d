"""The command that begins a vendor of one's own: new-vendor."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from ..depth import value_problem, yaml_is_deep
from ..errors import MissingExtraError, RequestError
from . import show
from .files import parse, read
from .options import AsJson

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
    made = scaffold.package(name, load(source))
    try:
        for place, text in made.files.items():
            path = folder / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RequestError([f"--output {folder}: {error.strerror or error}"]) from None
    _tell(made.name, folder, list(made.files), made.left_out, as_json=as_json)


def _tell(
    name: str, folder: Path, files: list[str], left_out: tuple[str, ...], *, as_json: bool
) -> None:
    paths = [str(folder / file) for file in files]
    if as_json:
        show.document({"vendor": name, "files": paths, "left_out": list(left_out)})
    else:
        for path in paths:
            show.line(path)
    if left_out:
        show.note(f"left out of the contract: {', '.join(left_out)}")
    show.note(f"next: cd {folder} && pip install -e '.[test]' && pytest")
    show.note(
        "The test of the contract lists what is still to be filled in; "
        "docs/add-a-vendor.md tells how."
    )


def load(source: str) -> Any:
    """A spec from a file or standard input: JSON, or YAML where a parser is installed."""
    where = f"--from {source}"
    content = read(source, where)
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
