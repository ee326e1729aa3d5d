"""What faces say of accounts, as far as somebody here knows it: credits, and lists of models."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from attrs import evolve

from ..flows import Reply
from ..mapping.rows import Constant
from ..places import put
from ..providers.base.limits import reading_of
from ..serving import answers
from .creating import untold_header
from .listing import only_known

if TYPE_CHECKING:
    from ..ledger.gateway_tokens import GatewayToken
    from ..providers.base.provider import Provider
    from ..serving.calls import Call
    from .creating import Creator

LEFT: Final = "x-polyreel-dollars-left"
"""The header with what jobs of a token may still cost today, where its money is limited."""


async def credits_reply(call: Call, token: GatewayToken, creator: Creator) -> Reply:
    """Answer a query for credits: of those of the face's vendor nobody here knows any.

    What is left of the token's budget is in a header, in dollars.
    """
    reply, untold = only_known(call, answers.first_success(call), lambda _at, _value: False)
    left = await asyncio.to_thread(creator.budgets.left, token)
    known = {} if left is None else {LEFT: format(left, "f")}
    headers = {**reply.headers, **untold_header(dict.fromkeys(untold)), **known}
    return evolve(reply, headers=headers)


def models_reply(call: Call, token: GatewayToken, creator: Creator) -> Reply:
    """List the models of a face that the vendors behind can make for a client, by their ids alone.

    What the vendor of the face lets each take is not said: others make the clips.
    """
    how = reading_of(call.provider.contract)
    served = [
        name
        for name, family in _families(call.provider).items()
        if (not token.models or family in token.models)
        and any(
            family == route.model
            for vendor in creator.behind.for_call(token, family).vendors
            for route in vendor.routes
        )
    ]
    status, shown = answers.example(call.provider, call.operation, "models")
    sample = answers.here(call, shown)
    put(sample, how["models"], [{how["id"]: name} for name in served])
    return answers.reply(call, status, sample)


def _families(provider: Provider) -> dict[str, str]:
    """The model family of each name of a model that the bodies of a vendor have."""
    place = reading_of(provider.contract)["model"]
    return {
        row.value: route.model
        for route in provider.routes
        for row in route.rows
        if isinstance(row, Constant) and place in row.places
    }
