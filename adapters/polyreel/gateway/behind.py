"""The vendors behind a gateway: what they would be sent for a call, and what it loses."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Final

from attrs import Factory, evolve, frozen

from ..hosts import not_public_https
from ..jobs.routing import Preference, ranked
from ..ledger.gateway_tokens import ModelRouting
from ..mapping.media import shown
from ..mapping.reports import Fate
from ..plans.choosing import plan
from ..plans.translation import Translation, translate

if TYPE_CHECKING:
    from ..ledger.gateway_tokens import GatewayToken
    from ..mapping.reports import Allowance
    from ..money.book import PriceBook
    from ..places import Json, JsonObject
    from ..plans.planning import Plan
    from ..plans.reading import Reading
    from ..plans.verdicts import Violation
    from ..providers.base.provider import Provider

CALLBACK: Final = "callback_url"
MOST_VERDICTS: Final = 1500
"""The longest text of verdicts: servers limit the headers of an answer."""
MOST_REASONS: Final = 3000
"""The longest text of refusals."""
NOBODY: Final = (
    "no vendor is behind the gateway that may make jobs of this token: whoever runs it says which "
    "may, with --to when it is started, or when the token is made"
)


@frozen
class Behind:
    """Who serves the calls of clients, and how much may be lost on the way."""

    vendors: tuple[Provider, ...]
    """In the order in which they are asked."""
    prefer: Preference = "order"
    allow: Mapping[str, Allowance] = Factory(dict)
    prices: PriceBook | None = None
    webhooks: Mapping[str, str] = Factory(dict)
    """The gateway's own addresses that vendors are told to call, by vendor id."""
    by_model: Mapping[str, ModelRouting] = Factory(dict)
    """What holds for single model families in the place of the above."""
    others: tuple[Provider, ...] = ()
    """Vendors that serve single model families only."""

    @property
    def every_vendor(self) -> tuple[Provider, ...]:
        """All vendors that serve some call."""
        return (*self.vendors, *self.others)

    def warm_up(self, faces: Iterable[Provider]) -> None:
        """Read what calls need of the contracts of all vendors.

        Otherwise the first clients wait for it, and one with a short timeout would call again.
        """
        for face in faces:
            made = plan({"prompt": "a cat"}, face)
            if made.route is not None:
                path = made.route.path.removeprefix("/")
                for one in self.every_vendor:
                    translate(dict(made.body), face, one, source_model=path)

    def preferences(self, vendor: str) -> JsonObject:
        """What each job at a vendor is to say, where its call has a place for it."""
        return {CALLBACK: self.webhooks[vendor]} if vendor in self.webhooks else {}

    def for_call(self, token: GatewayToken, model: str | None) -> Behind:
        """The same for a call of a client for a model family: with the vendors that may make it
        only, in their order, and what the client allows.
        """
        known = {one.id: one for one in self.every_vendor}
        ours = self.by_model.get(model or "", ModelRouting())
        theirs = token.by_model.get(model or "", ModelRouting())
        mine = ours.vendors or tuple(one.id for one in self.vendors)
        names = theirs.vendors
        if not names:
            names = tuple(one for one in token.vendors if one in mine) if token.vendors else mine
        prefer = theirs.prefer or token.prefer or ours.prefer or self.prefer
        return evolve(
            self,
            vendors=tuple(known[one] for one in names if one in known),
            prefer=prefer,
            allow={**self.allow, **token.allow},
        )

    def offers(
        self, reading: Reading, body: JsonObject, path: str, files: Mapping[str, str]
    ) -> Offers:
        """What each vendor would be sent for the body of a call at a path.

        `files` are files of this machine, by the links that stand for them in the body.
        """
        local = _with_files(body, files)
        made = [
            translate(
                local,
                reading.provider,
                one,
                source_model=path.removeprefix("/"),
                allow=self.allow,
                preferences=self.preferences(one.id),
            )
            for one in self.vendors
        ]
        found = [
            evolve(one, plan=evolve(one.plan, prices=self.prices))
            if one.plan is not None and self.prices is not None
            else one
            for one in made
        ]
        return Offers(tuple(found), self.prefer, files)


def webhook_addresses(
    vendors: Iterable[Provider], public_url: str | None, secrets: Collection[str]
) -> dict[str, str]:
    """The addresses at which the gateway takes the webhooks of vendors, by vendor id.

    They are those of vendors whose calls it can believe, or takes for hints: `secrets` are the ids
    of those whose secret it has. There are none where vendors cannot reach it.
    """
    if public_url is None or not_public_https(public_url) is not None:
        return {}
    return {
        one.id: f"{public_url}/webhooks/{one.id}"
        for one in vendors
        if (webhook := one.webhook) is not None
        and (not webhook.signed or webhook.optional or webhook.published or one.id in secrets)
    }


def _with_files(value: Json, files: Mapping[str, str]) -> Json:
    """A body with the paths of files in the place of the links that stand for them."""
    if not files:
        return value
    if isinstance(value, dict):
        return {name: _with_files(item, files) for name, item in value.items()}
    if isinstance(value, list):
        return [_with_files(item, files) for item in value]
    return files.get(value, value) if isinstance(value, str) else value


@frozen(slots=False)
class Offers:
    """What the vendors behind make of one call."""

    made: tuple[Translation, ...]
    prefer: Preference
    _files: Mapping[str, str]
    """Files of this machine, by the links that clients know them by."""

    @cached_property
    def plans(self) -> list[Plan]:
        """The plans that can be submitted, in the order in which they are tried."""
        usable = [one.plan for one in self.made if one.plan is not None and not one.refused]
        return ranked(usable, self.prefer)

    def refusal(self) -> str:
        """Why no vendor can serve the call: every reason of each, in the words of the client."""
        texts = []
        for one in self.made:
            reasons = dict.fromkeys(
                _in_words_of_body(one, violation) for violation in one.violations
            )
            texts.append(f"{one.target.id}: {'; '.join(reasons)}")
        text = in_words_of_client(" | ".join(texts) or NOBODY, self._files)
        return text if len(text) <= MOST_REASONS else f"{text[:MOST_REASONS]} ..."

    def verdicts(self, vendor: str) -> str:
        """What becomes of the values of the body at a vendor, as far as they do not stay exact."""
        made = next((one for one in self.made if one.target.id == vendor), None)
        found = [] if made is None else made.verdicts
        texts = dict.fromkeys(
            f"{_name(one.source, one.field)}={one.verdict}"
            for one in found
            if one.verdict != Fate.EXACT and one.field != CALLBACK
        )
        return in_header(", ".join(texts))


def _name(source: str, field: str) -> str:
    return source.strip("/").replace("/", ".") or field


def in_words_of_client(text: str, files: Mapping[str, str]) -> str:
    """A text with links in the place of files of this machine, also where it shortens their names.

    `files` are their paths, by link.
    """
    for link, path in files.items():
        text = text.replace(path, link).replace(shown(path), link)
    return text


def in_header(text: str) -> str:
    """A text as a header can have it."""
    plain = json.dumps(text)[1:-1]
    return plain if len(plain) <= MOST_VERDICTS else f"{plain[:MOST_VERDICTS]} ..."


def _in_words_of_body(made: Translation, violation: Violation) -> str:
    """A reason with the name that the client's own body has for the field, where it is another."""
    entries = made.reading.entries if made.reading is not None else ()
    own = next((_name(one.source, "") for one in entries if one.field == violation.field), "")
    if not own or own == violation.field or violation.message.startswith(f"{own}:"):
        return violation.message
    return f"{own}: {violation.message}"
