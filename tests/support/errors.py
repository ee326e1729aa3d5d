"""Every class of error of the package, made with a value for each of its parameters."""

from __future__ import annotations

import inspect
from functools import cache
from importlib import import_module
from pkgutil import walk_packages
from typing import Any, Final

import polyreel
from polyreel import Client
from polyreel.flows import Reply
from polyreel.providers.base.registry import get_provider

VENDOR: Final = next(iter(polyreel.all_providers()))


@cache
def classes() -> list[type]:
    """Every class of the package, private ones too."""
    names = [found.name for found in walk_packages(polyreel.__path__, "polyreel.")]
    modules = [import_module(name) for name in names if not name.endswith("__main__")]
    found = {
        thing
        for module in modules
        for thing in vars(module).values()
        if isinstance(thing, type) and thing.__module__ == module.__name__
    }
    return sorted(found, key=lambda kind: (kind.__module__, kind.__qualname__))


def errors() -> list[type[BaseException]]:
    """Every class of error, private ones too."""
    return [kind for kind in classes() if issubclass(kind, BaseException)]


@cache
def plan() -> polyreel.Plan:
    """A plan."""
    return polyreel.plan({"prompt": "a cat", "duration": 3}, get_provider(VENDOR))


@cache
def job() -> polyreel.Job:
    """A job."""
    return Client().submit(plan())


TEXT: Final = "some text"
SAMPLES: Final[dict[str, Any]] = {
    "str": TEXT,
    "int": 7,
    "float": 1.5,
    "bool": True,
    "Plan": plan,
    "Job": job,
    "Billed": "maybe",
    "Sequence": ["one", "two"],
    "Iterable": ["one", "two"],
    "tuple": ("one", "two"),
    "Mapping": {"one": 1},
    "dict": {"one": 1},
    "Reply": Reply(500, {"x": "y"}, b"text"),
}


def sample(parameter: inspect.Parameter, text: str) -> Any:
    """A value for a parameter, by the first word of its annotation."""
    if parameter.annotation == "Sequence[Violation]":
        return polyreel.plan({"prompt": "a cat", "duration": 3000}, get_provider(VENDOR)).violations
    word = str(parameter.annotation).partition("[")[0].partition(" |")[0]
    value = SAMPLES.get(word, f"a {word}")
    value = value() if callable(value) else value
    return text if value == TEXT else value


def made(kind: type[BaseException], text: str = TEXT) -> BaseException:
    """An error with a value for each parameter, a note, and a fact that was added later.

    `text` is what each parameter that is a text gets.
    """
    if kind.__init__ in {Exception.__init__, BaseException.__init__, ValueError.__init__}:
        error = kind(text)
    else:
        args, named = [], {}
        parameters = list(inspect.signature(kind.__init__).parameters.values())[1:]
        for one in parameters:
            if one.kind is one.KEYWORD_ONLY:
                named[one.name] = sample(one, text)
            elif one.kind is one.POSITIONAL_OR_KEYWORD:
                args.append(sample(one, text))
            elif one.kind is one.VAR_POSITIONAL:
                args.append(text)
        error = kind(*args, **named)
    for name, value in vars(error).items():
        if value is None:  # set by nobody yet, such as `job`
            setattr(error, name, job() if name == "job" else "a fact")
    error.add_note("a note")
    return error
