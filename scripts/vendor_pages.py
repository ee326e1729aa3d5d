"""The page of each vendor: all of it is computed from its spec and its provider file."""

import json
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any, get_args

from markdown_text import bullets, code, paragraph, plain, sentence, table
from polyreel.jobs.canceling import NO_WORD
from polyreel.plans.capabilities import extent_of
from polyreel.providers.base.calling import key_scheme_of
from polyreel.providers.base.contract import Operation
from polyreel.providers.base.facts import Status
from polyreel.providers.base.header_signatures import header_signature
from polyreel.providers.base.provider import Provider
from polyreel.providers.base.registry import all_providers
from vendor_answers import answers, errors
from vendor_fields import anchor, fields, media_text
from vendor_prices import prices

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "vendors"
Facts = Mapping[str, Any]


def own_vendors() -> list[Provider]:
    """The vendors of this repository, without those of installed packages."""
    return [
        provider
        for provider in all_providers().values()
        if type(provider).__module__.startswith("polyreel.providers.")
    ]


def pages() -> dict[Path, str]:
    """The content of each page, by its path."""
    return {FOLDER / f"{one.id}.md": page(one) for one in own_vendors()}


def links(folder: str) -> str:
    """The vendors, each with a link to its page, as seen from a page of the documentation."""
    return ", ".join(f"[{one.name}]({folder}{one.id}.md)" for one in own_vendors())


def page(provider: Provider) -> str:
    """One vendor's page."""
    sections = {
        "": head,
        "What the spec says": said,
        "Models and workflows": models,
        "Calls": calls,
        "A job's life": life,
        "Webhooks": webhooks,
        "Files": files,
        "Answers": answers,
        "Errors": errors,
        "Prices": prices,
        "What is inferred": inferred,
        "Fields": fields,
    }
    blocks = [f"# {provider.name}\n"]
    for title, section in sections.items():
        found = list(section(provider))
        if found and title:
            blocks.append(f"## {title}\n")
        blocks += found
    return "\n".join(blocks)


# -- what it is -----------------------------------------------------------------------------------


def head(provider: Provider) -> Iterator[str]:
    """Where the facts stand, and how the vendor is reached."""
    info = provider.contract.document["info"]
    name = provider.id.replace("-", "_")
    source = f"adapters/polyreel/providers/{name}"
    source = source if (ROOT / source).is_dir() else f"{source}.py"
    yield paragraph(
        f"{sentence(info['summary'])} Computed by `scripts/docs` from [the spec]"
        f"(../../specs/{name}.yaml), read {info['version']}, and [the provider's tables]"
        f"(../../{source}). [All vendors](../vendors.md)."
    )
    scheme = key_scheme_of(provider.contract)
    constants = [f"{key}: {value}" for key, value in scheme.constants.items()]
    rows = [
        ["vendor id", f"`{provider.id}`"],
        ["key", f"`{provider.key_variable}`, sent as `{scheme.header}: {scheme.prefix}KEY`"],
        ["sent with each call", code(constants)],
        ["base URL", f"{provider.base_url} (`{provider.base_url_variable}` changes it)"],
        ["other hosts", _other_hosts(provider)],
        ["more headers", f"`{provider.headers_variable}`"],
    ]
    yield table(["what", "value"], [row for row in rows if row[1]])


def _other_hosts(provider: Provider) -> str:
    hosts = ", ".join(provider.servers[1:])
    return f"{hosts} (`{provider.upload_url_variable}` changes it)" if hosts else ""


def said(provider: Provider) -> Iterator[str]:
    """The spec's own description, with its sources."""
    if text := provider.contract.document["info"].get("description"):
        yield f"{plain(text.strip())}\n"


def models(provider: Provider) -> Iterator[str]:
    """What is sold, with links to the field tables."""
    rows = []
    for model in dict.fromkeys(route.model for route in provider.routes):
        routes = [route for route in provider.routes if route.model == model]
        kinds = {route.workflow: f"[{route.workflow}](#{anchor(route)})" for route in routes}
        rows.append([model, ", ".join(kinds.values())])
    yield table(["model", "workflows"], rows)
    if stored := provider.read_only_routes:
        models = ", ".join(dict.fromkeys(route.model for route in stored))
        yield paragraph(
            f"Bodies that are read and translated only, and never sent, are known of {models}."
        )


def calls(provider: Provider) -> Iterator[str]:
    """Every call of the contract, with what the spec says of it."""
    rows = []
    for one in provider.contract.operations.values():
        text = " ".join(filter(None, [one.spec.get("summary"), one.spec.get("description")]))
        host = "" if one.server == provider.base_url else f" at {one.server}"
        rows.append([one.role or "-", f"`{one.method} {one.path}`{host}", text])
    yield table(["role", "call", "what the spec says"], rows)


# -- a job ----------------------------------------------------------------------------------------


def life(provider: Provider) -> Iterator[str]:
    """Status words, queries, repeats of a submit, cancel, and how long files are kept."""
    states: dict[str, list[str]] = {}
    for word, status in provider.statuses.items():
        states.setdefault(status, []).append(word)
    order = [status for status in get_args(Status) if status in states]
    yield table(["state", "the vendor's words"], [[one, code(states[one])] for one in order])
    yield bullets([*_asking(provider), *_repeating(provider), _canceling(provider)])


def _asking(provider: Provider) -> Iterator[str]:
    text = f"A job is asked about with {_call(provider, 'get')}, at most every"
    text += f" {provider.poll_floor:g} s."
    if provider.survey is not None:
        what = "lists what runs," if provider.survey.running_only else "asks about"
        text += f" One call {what} up to {provider.survey.size} jobs."
    yield text
    if provider.contract.operation("result"):
        yield f"Its result is fetched by a call of its own, {_call(provider, 'result')}."
    if streams := provider.contract.streams:
        yield (
            f"{len(streams)} calls have a twin that streams the states of the job (`--stream`): "
            + code(one.path for one in streams.values())
            + "."
        )
    yield f"Links to files work for {_seconds(provider.output_seconds)}."
    roles = [role for role in ("list", "list-running") if provider.contract.operation(role)]
    lists = " and ".join(_call(provider, role) for role in roles)
    yield f"A lost job is looked for in {lists}." if lists else "No list of jobs is documented."


def _repeating(provider: Provider) -> Iterator[str]:
    """What a repeated submit means, for each group of calls of which the same is known."""
    creates = [one for one in provider.contract.operations.values() if one.role == "create"]

    def policy(one: Operation) -> str:
        return json.dumps(_policy(one) | {"source": ""}, sort_keys=True)

    for _, found in groupby(sorted(creates, key=policy), policy):
        group = list(found)
        facts = _policy(group[0])
        sources = dict.fromkeys(_policy(one).get("source", "") for one in group)
        match facts.get("mode"):
            case "own-id":
                text = (
                    f"polyreel puts an id of its own at `{facts['place']}`: after a lost answer "
                    "the job is found by it"
                )
            case "replay":
                text = f"A submit repeated with the same `{facts['header']}` gives the first job"
            case _:
                text = "A submit that is repeated is a second job: no key makes a repeat safe"
        beside = "" if len(group) == len(creates) else f"{code(one.path for one in group)}: "
        yield f"{beside}{text} (source: {'; '.join(filter(None, sources))})."


def _policy(operation: Operation) -> dict[str, Any]:
    return dict(operation.spec.get("x-polyreel-idempotency", {}))


def _canceling(provider: Provider) -> str:
    call = provider.contract.operation("cancel")
    if call is None:
        note = provider.contract.document["info"].get("x-polyreel-cancel")
        reason = f" ({note})" if note else ""
        return f"No call cancels a job{reason}: it goes on, and is billed like any other."
    facts = call.spec.get("x-polyreel-cancel", {})
    words = {**facts.get("words", {}), **facts.get("statuses", {})}
    means = (f"`{word}` means {meaning.replace('-', ' ')}" for word, meaning in words.items())
    meanings = "; ".join(means)
    bill = facts.get("bill") or f"{provider.id} {NO_WORD}"
    text = f"`polyreel cancel` asks with {_call(provider, 'cancel')}."
    deleted = "The job is deleted with it, and its files are lost." if facts.get("deletes") else ""
    return " ".join(filter(None, [text, sentence(meanings), deleted, f"The bill: {bill}."]))


def _call(provider: Provider, role: str) -> str:
    found = provider.contract.operation(role)
    assert found is not None
    return f"`{found.method} {found.path}`"


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return "an unknown time: the vendor does not say how long"
    for size, unit in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


# -- webhooks and files ---------------------------------------------------------------------------


def webhooks(provider: Provider) -> Iterator[str]:
    """How the vendor calls back, and how that is proved to be the vendor."""
    webhook = provider.webhook
    if webhook is None:
        yield "None is known: jobs are asked about.\n"
        return
    facts = [_signed(provider)]
    if webhook.secret_variable:
        facts.append(f"The secret is read from `{webhook.secret_variable}`.")
    if webhook.optional:
        facts.append("Without a secret at the vendor nothing is signed: a delivery is then a hint.")
    if webhook.statuses:
        words = (f"`{word}` is {status}" for word, status in webhook.statuses.items())
        facts.append(sentence(f"its words for states: {', '.join(words)}"))
    yield bullets(facts)
    for item in provider.contract.document.get("webhooks", {}).values():
        for one in item.values():
            yield f"{one['summary']}\n"
            if text := one.get("description"):
                yield f"{plain(text.strip())}\n"


def _signed(provider: Provider) -> str:
    webhook = provider.webhook
    assert webhook is not None
    if webhook.published is not None:
        call = _call(provider, "webhook-keys")
        return f"Signed with Ed25519 in `{webhook.published.signature}`; the keys come from {call}."
    if (header := header_signature(provider.contract)) is not None:
        return f"Signed with HMAC-SHA256 in `{header.header}`; `{header.id}` names a delivery."
    if webhook.signed:
        return "Signed as Standard Webhooks has it."
    return "Not signed: a delivery is a hint to ask, and proves nothing."


def files(provider: Provider) -> Iterator[str]:
    """How local files get to the vendor."""
    kinds = ", ".join(sorted(provider.file_kinds))
    if provider.files == "multipart":
        facts = [f"Local files ({kinds}) go along with the request, as a form."]
    elif provider.files == "upload":
        facts = [
            f"Local files ({kinds}) are uploaded first, with {_call(provider, 'upload')}.",
            f"An uploaded file is kept for {_seconds(provider.upload_seconds)}.",
        ]
    else:
        facts = ["Local files cannot be sent: the vendor takes links."]
    for doubt in dict.fromkeys(provider.file_doubts.values()):
        kinds = ", ".join(kind for kind, one in provider.file_doubts.items() if one == doubt)
        facts.append(sentence(f"{kinds}: {doubt}"))
    if provider.file_note:
        facts.append(sentence(f"others are refused: {provider.file_note}"))
    if limits := media_text(provider.contract.upload_facts):
        facts.append(sentence(f"limits of an upload: {limits}"))
    yield bullets(facts)


# -- marks ----------------------------------------------------------------------------------------


def inferred(provider: Provider) -> Iterator[str]:
    """What the spec marks as said by no page of the vendor."""
    document = provider.contract.document
    texts: dict[str, list[str]] = {}
    for path, node, parent in _nodes(document, (), {}):
        if node.get("x-polyreel-mark") == "inferred":
            texts.setdefault(_fact(path, node, parent), []).append(_place(path))
    if not texts:
        yield "Nothing is marked beside what the description and the notes say.\n"
        return
    rows = [[code(dict.fromkeys(places)), text] for text, places in texts.items()]
    yield "Beside what the description, and the notes of fields and limits, say:\n"
    yield table(["where", "what no page says"], rows)


def _nodes(
    node: Any, path: tuple[str, ...], parent: Facts
) -> Iterator[tuple[tuple[str, ...], Facts, Facts]]:
    """Every object of a document, with its place and the object or list that it stands in."""
    if isinstance(node, dict):
        yield path, node, parent
        for name, child in node.items():
            yield from _nodes(child, (*path, str(name)), node)
    elif isinstance(node, list):
        for index, child in enumerate(node):
            yield from _nodes(child, (*path, str(index)), {})


def _place(path: tuple[str, ...]) -> str:
    """A place in the spec without the words that say what kind of place it is."""
    known = {"components", "schemas", "properties", "paths", "webhooks", "headers"}
    return ".".join(part for part in path if part not in known)


def _fact(path: tuple[str, ...], node: Facts, parent: Facts) -> str:
    """What a marked node says: its description and limits, or else its own keywords."""
    if text := node.get("description"):
        return " ".join(filter(None, [str(text), sentence(str(extent_of(dict(node))))]))
    keywords = {key: value for key, value in node.items() if not key.startswith("x-polyreel-")}
    if path[-1] in {"then", "else"} and "if" in parent:
        keywords = {"if": parent["if"], path[-1]: keywords}
    return f"`{json.dumps(keywords)}`"
