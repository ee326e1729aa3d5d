"""The command that checks recorded traffic against a vendor's spec."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from attrs import asdict

from ..client import Client
from ..drivers import run
from ..errors import PolyreelError, RequestError
from ..places import JsonObject
from ..providers.base.provider import Provider
from ..providers.base.registry import all_providers, get_provider
from ..verification.differences import Difference
from ..verification.documents import MAX_BYTES
from ..verification.exchanges import RecordedExchange
from ..verification.probing import ask_all, questions
from ..verification.recordings import read_recording
from ..verification.reports import VerificationReport, verify, with_document
from . import show
from .compare import contract_of
from .options import AsJson, client

DIFFERENT: Final = 5
DIFFERENCE_HEADERS: Final = ("", "what", "where", "spec", "expected", "actual")
VENDOR_HELP: Final = (
    "The vendor whose traffic it is, whatever its host. Left out: by the hosts of the specs."
)
LIVE_HELP: Final = (
    "Ask this vendor now, with the key that is set or stored: read-only calls, never a paid one."
)


def verify_command(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FILE...", help="HAR, cassette or JSON Lines.", show_default=False),
    ] = None,
    *,
    vendor: Annotated[str | None, typer.Option(help=VENDOR_HELP, show_default=False)] = None,
    base_url: Annotated[
        str | None,
        typer.Option(
            help="What stands for the vendor's base URL in the traffic.", show_default=False
        ),
    ] = None,
    spec: Annotated[
        Path | None,
        typer.Option(help="Another spec of the vendor's, JSON or YAML.", show_default=False),
    ] = None,
    patch: Annotated[
        Path | None,
        typer.Option(help="Write the JSON Patch that heals everything here.", show_default=False),
    ] = None,
    live: Annotated[
        str | None, typer.Option(metavar="VENDOR", help=LIVE_HELP, show_default=False)
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(help="With --live: a task id, to ask for its status too.", show_default=False),
    ] = None,
    simulated: Annotated[
        bool, typer.Option("--simulated", help="With --live: ask the embedded simulator.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check recorded traffic against a vendor's spec, in both directions, and propose patches of
    the spec.

    Exits 0 where everything fits, 5 where something differs, 2 where the input cannot be used.
    Secrets are not shown.
    """
    _check_usage(files, vendor, base_url, live, task, simulated=simulated)
    name = vendor or live
    chosen = get_provider(name) if name else None
    providers = [_with_spec(one, spec) for one in ([chosen] if chosen else _all(spec))]
    bases: Mapping[str, str] = {name: base_url} if name and base_url else {}
    if live:
        exchanges, bases = _asked(get_provider(live), task, simulated=simulated)
    else:
        exchanges = [one for file in files or () for one in read_recording(_read(file), str(file))]
    any_host = vendor is not None and base_url is None
    with _blaming(spec):
        report = verify(exchanges, providers, base_urls=bases, any_host=any_host)
    _check_matched(report, chosen)
    if patch is not None:
        _save(report, patch)
    _print(report, as_json=as_json)
    if not report.fits:
        raise typer.Exit(DIFFERENT)


def _check_usage(
    files: Sequence[Path] | None,
    vendor: str | None,
    base_url: str | None,
    live: str | None,
    task: str | None,
    *,
    simulated: bool,
) -> None:
    if live and (files or vendor or base_url):
        raise typer.BadParameter(
            "it makes its own traffic: no files, --vendor or --base-url with it",
            param_hint="--live",
        )
    if not live and not files:
        raise typer.BadParameter("name a recording, or ask a vendor with --live", param_hint="FILE")
    if not live and (task or simulated):
        raise typer.BadParameter("only with --live", param_hint="--task" if task else "--simulated")
    if base_url and not vendor:
        raise typer.BadParameter(
            "whose is it? Name the vendor with --vendor", param_hint="--base-url"
        )


# -- what is checked, and by what ----------------------------------------------------------------


def _all(spec: Path | None) -> list[Provider]:
    """Every vendor; with a spec, the one that it names."""
    if spec is None:
        return [*all_providers().values()]
    named = contract_of(spec).document.get("x-polyreel-vendor")
    known = all_providers()
    if not isinstance(named, str) or named not in known:
        raise typer.BadParameter(
            f"{spec} names no vendor (x-polyreel-vendor): name it with --vendor"
        )
    return [known[named]]


def _with_spec(provider: Provider, spec: Path | None) -> Provider:
    """The vendor, by another spec where one is given; RequestError where that one is not usable."""
    if spec is None:
        return provider
    twin = with_document(provider, json.loads(json.dumps(contract_of(spec).document, default=str)))
    with _blaming(spec):
        # Read here, so that it fails here.
        twin.contract.operations, twin.servers, twin.base_url  # noqa: B018
    return twin


@contextmanager
def _blaming(spec: Path | None) -> Iterator[None]:
    """Say which file is wrong where a stranger's spec is no spec; polyreel's own are."""
    try:
        yield
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        if spec is None or isinstance(error, PolyreelError):
            raise
        raise RequestError([f"{spec}: not an OpenAPI document that can be checked by"]) from None


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise RequestError([f"{file}: {error.strerror or error}"]) from None


def _asked(
    provider: Provider, task: str | None, *, simulated: bool
) -> tuple[list[RecordedExchange], Mapping[str, str]]:
    """What a vendor answers now, and the base URLs it was asked at."""
    if not simulated:
        questions(provider, task)  # before a key is needed
    with client([provider.id], live=not simulated) as made:
        asked = task or (_simulated_task(made, provider) if simulated else None)
        bases = {} if simulated else made.base_urls
        steps = questions(provider, asked, bases.get(provider.id))
        return run(ask_all(provider, steps), made.wire), bases


def _simulated_task(made: Client, provider: Provider) -> str:
    """A task to ask the simulator for, which bills nobody."""
    route = next(
        route for route in provider.routes if route.workflow in {"text-to-video", "generate-image"}
    )
    return made.submit(made.plan({"prompt": "a paper boat", "model": route.model}, provider)).id


def _check_matched(report: VerificationReport, chosen: Provider | None) -> None:
    if report.matched:
        return
    reason = (
        f"no documented call of {chosen.id}"
        if chosen
        else "for no vendor's host; name the vendor with --vendor"
    )
    raise RequestError(
        [f"nothing to check: of {report.exchanges} recorded calls, all are {reason}"]
    )


# -- what is told --------------------------------------------------------------------------------


def _save(report: VerificationReport, file: Path) -> None:
    """The patch of the one vendor's spec; of several, by vendor."""
    patches = {vendor: list(steps) for vendor, steps in report.patches.items()}
    content: Any = next(iter(patches.values()), []) if len(patches) < 2 else patches
    try:
        file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise RequestError([f"--patch {file}: {error.strerror or error}"]) from None


def _print(report: VerificationReport, *, as_json: bool) -> None:
    if as_json:
        show.document(_document(report))
        return
    if report.differences:
        show.table(
            list(DIFFERENCE_HEADERS),
            [difference_row(one) for one in report.differences],
        )
    for vendor, steps in report.patches.items():
        show.line(f"{vendor}: a JSON Patch of its spec")
        show.line(json.dumps(list(steps), indent=2))
    for text in _notes(report):
        show.note(text)


def difference_row(one: Difference) -> list[str]:
    """A difference as a row of a table with DIFFERENCE_HEADERS."""
    entry = f"{one.recording} entry {one.entry}" + (f", {one.count} times" if one.count > 1 else "")
    where = f"{entry}\n{one.vendor} {one.method} {one.path}\n{one.traffic}"
    return [one.severity, one.kind, where, one.spec, one.expected, one.actual]


def _notes(report: VerificationReport) -> Iterator[str]:
    for one in report.unmatched:
        call = f"{one.recording} entry {one.entry}, {one.method} {one.url}"
        yield f"not checked: {call}: {one.reason}"
    for left in report.unhealed:
        if left.severity != "note":
            entry = f"{left.recording} entry {left.entry}"
            yield f"no patch can say it: {left.kind} at {left.traffic} ({entry})"
    found = sum(one.severity != "note" for one in report.differences)
    yield f"{report.matched} of {report.exchanges} calls checked, {found or 'no'} differences"


def _document(report: VerificationReport) -> JsonObject:
    return {
        "status": "fits" if report.fits else "differs",
        "exchanges": report.exchanges,
        "matched": report.matched,
        "differences": [difference_facts(one) for one in report.differences],
        "unmatched": [asdict(one) for one in report.unmatched],
        "patches": {vendor: list(steps) for vendor, steps in report.patches.items()},
        "unhealed": [difference_facts(one) for one in report.unhealed],
    }


def difference_facts(one: Difference) -> JsonObject:
    """A difference as data."""
    return {**asdict(one), "patch": list(one.patch), "entries": list(one.entries)}
