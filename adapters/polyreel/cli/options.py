"""Options that several commands share, and the client they ask for.

What not every command needs is imported where it is used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, cast, get_args

import typer

from .. import environment
from ..errors import LedgerError, PolyreelError, RequestError, did_you_mean
from ..mapping.textfiles import read_bytes, text_of
from . import show
from .network import given
from .steps import advise

if TYPE_CHECKING:
    from ..client import AsyncClient, Client
    from ..ledger.store import LedgerStore
    from ..mapping.reports import Allowance
    from ..money.book import PriceBook


def finite(value: float) -> float:
    """A number, not NaN."""
    if math.isnan(value):
        raise typer.BadParameter("not a number")
    return value


Speed = Annotated[
    float,
    typer.Option(
        min=0.01, max=1e6, callback=finite, help="How many times faster than life jobs run."
    ),
]
SimulatedSpeed = Annotated[
    float,
    typer.Option(
        min=0.01, max=1e6, callback=finite, help="How many times faster simulated jobs run."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Live = Annotated[
    bool,
    typer.Option(
        "--live", help="Call the real vendor, with the key that is set or stored. Costs money."
    ),
]
LiveJobs = Annotated[
    bool, typer.Option("--live", help="The live jobs, with the keys that are set or stored.")
]
LedgerPlace = Annotated[
    str | None,
    typer.Option(
        "--ledger",
        metavar="FILE|URL",
        help="The ledger: a file, or postgresql://...; else POLYREEL_LEDGER, or a file in your "
        "data folder.",
        show_default=False,
    ),
]
Timeout = Annotated[
    float,
    typer.Option(
        min=0, callback=finite, help="Seconds to wait; the job itself goes on after that."
    ),
]
PricesFile = Annotated[
    Path | None,
    typer.Option(
        "--prices-file",
        help="TOML file with prices of yours, for vendors that publish none.",
        show_default=False,
    ),
]
VendorDefaults = Annotated[
    bool,
    typer.Option(
        "--vendor-defaults", help="Leave size and sound to the vendor where no flag asks."
    ),
]
Stream = Annotated[
    bool,
    typer.Option(
        "--stream",
        help="Follow the job over an event stream instead of polling, where it is offered.",
    ),
]
Filename = Annotated[
    str | None,
    typer.Option(
        metavar="PATTERN",
        help="Names of the files, such as {name}-{n}.{ext}; also {vendor}, {model} and {id}.",
        show_default=False,
    ),
]
Allow = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FIELD=WHAT",
        help="What may become of a field: drop, nearest (the nearest value that is taken), or send "
        "(although an inferred fact speaks against it). May be given several times.",
        show_default=False,
    ),
]
VENDOR_HELP: Final = (
    "Vendor id; of several, the next is asked where the one before it is proved unpaid. "
    "Left out: the first that can serve the request, in the order of POLYREEL_VENDORS."
)


def known_vendors(incomplete: str) -> list[str]:
    """The ids of vendors that begin so, for the completion of the shell."""
    from ..providers.base.registry import all_providers

    return [vendor for vendor in all_providers() if vendor.startswith(incomplete)]


def allowances(texts: Sequence[str] | None) -> dict[str, Allowance]:
    """What --allow says, by field."""
    from ..mapping.flags import ROWS_ONLY
    from ..mapping.reports import Allowance
    from .flags import fields

    found: dict[str, Allowance] = {}
    for text in texts or ():
        name, _, what = (part.strip() for part in text.partition("="))
        if what not in get_args(Allowance):
            words = ", ".join(f"FIELD={one}" for one in get_args(Allowance))
            raise typer.BadParameter(f"--allow {text}: write {words}")
        if name not in (known := {*fields(), *ROWS_ONLY}):
            problem = f"no such field{did_you_mean(name, known)}"
            raise typer.BadParameter(f"--allow {text}: {problem}")
        found[name] = cast("Allowance", what)
    return found


def prices(file: Path | None, as_of: str | None = None) -> PriceBook:
    """The user's prices and the date that is meant."""
    import tomllib

    from attrs import evolve

    from ..depth import toml_is_deep, value_problem
    from ..money.book import PriceBook, read_prices
    from ..providers.base.registry import all_providers

    if file is None:
        return PriceBook(as_of=as_of)
    where = f"--prices-file {file}"
    try:
        text = text_of(read_bytes(str(file), where))
        if toml_is_deep(text):
            raise RequestError([f"{where}: nested too deeply"])
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RequestError([f"{where}: not TOML: {str(error)[:200]}"]) from None
    if problem := value_problem(data):
        raise RequestError([f"{where}: {problem}"])
    return evolve(read_prices(data, where, all_providers()), as_of=as_of)


@contextmanager
def open_ledger(place: str | None) -> Iterator[LedgerStore]:
    """The ledger of a command line; LedgerError where it cannot be. What fails meanwhile says what
    to do next.
    """
    from ..ledger import opening

    with opening.open_ledger(place or environment.ledger_place()) as ledger:
        if not place:
            ledger.named = None
        try:
            yield ledger
        except PolyreelError as error:
            advise(error, ledger)
            raise


@contextmanager
def read_ledger(place: str | None, *, required: bool = True) -> Iterator[LedgerStore]:
    """The ledger of a command that is about what is in it. None is made.

    Where there is none in the usual place, or none is `required`, it is an empty one. LedgerError
    is raised where --ledger names a place without one.
    """
    from ..ledger import opening

    text = opening.missing(place or environment.ledger_place())
    if text is None:
        with open_ledger(place) as ledger:
            yield ledger
        return
    if place and required:
        end = "" if text.endswith("?") else "."
        raise LedgerError(
            f"{text}{end} The first job in a ledger makes it; without --ledger, a command uses the "
            "usual one"
        )
    if required:
        show.note(f"{text} yet: the first job makes it")
    from tempfile import TemporaryDirectory

    with TemporaryDirectory(prefix="polyreel-") as folder, open_ledger(f"{folder}/empty") as ledger:
        ledger.named = None
        yield ledger


@contextmanager
def kept(place: str | None, *, live: bool) -> Iterator[LedgerStore | None]:
    """The ledger for a new job. Where the usual place cannot be written, a simulated job does
    without one.
    """
    with ExitStack() as stack:
        try:
            ledger: LedgerStore | None = stack.enter_context(open_ledger(place))
        except LedgerError as error:
            if live or place is not None:
                raise
            show.note(
                f"{error}. Simulated jobs do without a ledger; --ledger FILE takes another place"
            )
            ledger = None
        yield ledger


@contextmanager
def announced(notice: str | None) -> Iterator[None]:
    """Note what simulated files will be like, in the place of Python's own warning."""
    if notice is None:
        yield
        return
    import warnings

    from ..simulator import ReadyMadeWarning

    show.note(notice)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ReadyMadeWarning)
        yield


def files_in_general(*, live: bool) -> str | None:
    """What to announce of the files of many simulated jobs."""
    if live:
        return None
    from ..simulator import ready_made

    return ready_made.general_notice()


def settings(
    vendors: Sequence[str], *, live: bool, ledger: LedgerStore | None, **more: Any
) -> dict[str, Any]:
    """What a client of a command line is made of."""
    order = list(vendors) or environment.vendor_order()
    keys = environment.keys(order) if live else None
    usable = [vendor for vendor in order if keys is None or vendor in keys]
    return {
        "keys": keys,
        "vendors": usable,
        "network": given(),
        "ledger": ledger,
        "limits": environment.kept_limits(usable) if live else None,
        **more,
    }


def client(
    vendors: Sequence[str] = (), *, live: bool, ledger: LedgerStore | None = None, **more: Any
) -> Client:
    """A client for what a command line asks."""
    from ..client import Client

    return Client(**settings(vendors, live=live, ledger=ledger, **more))


def async_client(
    *, live: bool, ledger: LedgerStore, listener: Callable[[Any], None] | None = None
) -> AsyncClient:
    """A client for many jobs at once."""
    from ..client import AsyncClient

    return AsyncClient(**settings((), live=live, ledger=ledger, listener=listener))
