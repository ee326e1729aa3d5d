"""The option for labels of a job."""

from __future__ import annotations

from typing import Annotated

import typer

Labels = Annotated[
    list[str] | None,
    typer.Option(
        "--label",
        metavar="NAME=VALUE",
        help="A label of yours, such as team=ads, several times. No vendor sees it.",
        show_default=False,
    ),
]


def read_labels(given: list[str] | None) -> dict[str, str]:
    """The labels by their names; BadParameter where one has no name or comes twice."""
    found: dict[str, str] = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise typer.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--label")
        if name in found:
            raise typer.BadParameter(f"{name} comes twice", param_hint="--label")
        found[name] = value
    return found
