"""The tools: their names, what is said of them to agents, their arguments and answers."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from functools import cached_property
from typing import Annotated, Any, Final

from attrs import define, frozen
from pydantic import Field, TypeAdapter, ValidationError
from pydantic.json_schema import models_json_schema
from pydantic_core import ArgsKwargs

from ..environment import without_keys
from ..errors import PolyreelError, RequestError
from ..jobs.documents import entry_document, error_facts
from ..jobs.routing import ranked
from ..mapping.media import abridged
from ..mapping.reports import Allowance
from ..mapping.workflows import REQUESTS, WORKFLOWS
from ..places import Json, JsonObject
from ..plans.comparison import matrix
from ..plans.documents import plan_document, sheet_document, translation_document
from ..providers.base.registry import get_provider
from .advice import next_step
from .service import MOST_WAIT, WAIT_SECONDS, AgentService

Request = Annotated[
    JsonObject,
    Field(
        description="What to make: a clip or images, in the shared words of all vendors. Set only "
        "what matters; without a size or sound asked for it is 720p with sound."
    ),
]
Vendors = Annotated[list[str], Field(description="Vendor ids; left out or empty for any vendor.")]
Wait = Annotated[
    float,
    Field(
        ge=0,
        le=MOST_WAIT,
        description="Seconds to wait for the job once it is submitted; it goes on after that, and "
        "can be waited for again.",
    ),
]
Job = Annotated[str, Field(description="The job_name of a job, or its id.")]
PARSED: Final = ("request", "body")
"""Arguments that some clients send as a text of JSON."""

INSTRUCTIONS: Final = """\
Clips and images from any AI video vendor, never billed twice. {kind}

Work so: `plan` or `price` first (free), then `generate`. Every job has a job_name. A call of \
`generate` with the name of a job goes on with that job and pays nothing, so a call whose answer \
was lost is repeated as it is, with the same arguments. Without a job_name the name is derived \
from the arguments: an equal call is the same job. Who wants a second, different clip of the same \
request gives a new job_name. An answer has `next`, which says what to do; follow it. Never \
generate an ambiguous job anew: the vendor may have billed it."""
SIMULATED: Final = "This server is simulated: nothing is sent to a vendor or paid."
LIVE: Final = (
    "This server is live: `generate` costs real money, at most ${limit} for all its jobs together, "
    "over all calls and restarts."
)


@frozen
class AgentTool:
    """One tool, as it is listed and called."""

    name: str
    description: str
    schema: JsonObject
    arguments: TypeAdapter[Awaitable[JsonObject]]
    """It checks the arguments, and calls."""
    is_read_only: bool


@define(eq=False, slots=False)
class AgentTools:
    """The tools of a service. Each answer is one JSON object without any key in it."""

    service: AgentService

    @property
    def instructions(self) -> str:
        """What an agent should know before its first call."""
        limit = self.service.max_cost
        kind = SIMULATED if self.service.client.simulated else LIVE.format(limit=limit)
        return INSTRUCTIONS.format(kind=kind)

    @cached_property
    def by_name(self) -> Mapping[str, AgentTool]:
        """All tools."""
        looking = (self.plan, self.price, self.jobs, self.job, self.translate, self.matrix)
        working = (self.generate, self.resume, self.reconcile)
        return {one.__name__: _tool(one, one in looking) for one in (*looking, *working)}

    async def answer(self, name: str, arguments: JsonObject) -> tuple[JsonObject, bool]:
        """Call a tool; the answer, and whether it tells of an error. Nothing is raised."""
        try:
            tool = self.by_name.get(name)
            if tool is None:
                raise RequestError([f"no tool is called {name!r}: {', '.join(self.by_name)}"])
            answer = await _called(tool, arguments)
        except PolyreelError as error:
            kind = {"type": type(error).__name__, "message": str(error)}
            answer = {"error": {**kind, **error_facts(error)}, "next": next_step(None, error)}
        except Exception as error:  # its text is left out, since it may quote anything
            text = f"internal error ({type(error).__name__}); please report it"
            answer = {"error": {"type": "InternalError", "message": text, "billed": "maybe"}}
        shown: JsonObject = self.without_keys(answer)
        return shown, "error" in shown

    def without_keys(self, value: Json) -> Any:
        """A JSON value without the keys of the client and the environment, and with files cut."""
        client = self.service.client
        for secret in () if client.simulated else client.wire.keys.values():
            value = secret.redact_value(value)
        return _printed(value)

    # -- the tools ---------------------------------------------------------------------------------

    async def plan(self, request: Request, vendors: Vendors = []) -> JsonObject:  # noqa: B006
        """Show what would be sent to each vendor, and what becomes of every field of the request.

        Sends nothing and costs nothing. `violations` says why a vendor cannot serve it.
        """
        plans = self.service.plans(request, vendors)
        return {"plans": [{"refused": one.refused, **plan_document(one)} for one in plans]}

    async def price(self, request: Request, vendors: Vendors = []) -> JsonObject:  # noqa: B006
        """Show what a request costs at each vendor that can serve it, the cheapest first.

        Sends nothing and costs nothing. A price that no vendor publishes is unknown, not free.
        """
        plans = ranked(self.service.plans(request, vendors), "cheapest")
        return {
            "prices": [
                {"vendor": one.vendor, "model": one.model, "cost": one.cost.document()}
                for one in plans
                if not one.refused
            ],
            "refused": {
                one.vendor: [violation.message for violation in one.violations]
                for one in plans
                if one.refused
            },
            "budget": self.service.budget.document(),
        }

    async def generate(
        self,
        request: Request,
        vendors: Vendors = [],  # noqa: B006
        cheapest: Annotated[
            bool, Field(description="Ask the cheapest of the vendors first.")
        ] = False,
        job_name: Annotated[
            str | None,
            Field(
                description="Your name of the job: it is paid once, however often you call. Left "
                "out: derived from the other arguments, so that an equal call is the same job."
            ),
        ] = None,
        wait_seconds: Wait = WAIT_SECONDS,
    ) -> JsonObject:
        """Make a clip or images, and save the files. Costs money on a live server.

        It also makes a subject, whose id is `element` of the job: cite it in `elements`.
        Repeat a call whose answer was lost as it is, with the same arguments: a call with the name
        of a job goes on with that job, and is never billed again. Without a job_name, an equal call
        is the same job; for another clip of the same request give a new job_name. Of several
        vendors the next is asked only where the one before is proved unpaid. Where the job is still
        under way, call again. Do what `next` says; never repeat an ambiguous job under a new name.
        """
        name, error = await self.service.generate(
            request, vendors, cheapest=cheapest, job_name=job_name, wait_seconds=wait_seconds
        )
        return {"job_name": name, **self.service.job_report(self.service.of_name(name), error)}

    async def jobs(
        self,
        states: Annotated[
            list[str], Field(description="Only jobs in these states, such as ambiguous.")
        ] = [],  # noqa: B006
        last: Annotated[int, Field(ge=1, le=200, description="How many, the newest.")] = 20,
    ) -> JsonObject:
        """List the jobs in the ledger: what was paid, what may have been, what is still to be done.

        Asks no vendor and costs nothing.
        """
        entries, named = self.service.entries(states, last), self.service.ledger.named
        return {
            "jobs": [
                {**entry_document(one), "next": next_step(one, None, named)} for one in entries
            ],
            "budget": self.service.budget.document(),
        }

    async def job(self, job: Job) -> JsonObject:
        """Look at one job as the ledger has it. Asks no vendor and costs nothing."""
        entry = self.service.entry(job)
        return {
            "job": entry_document(entry),
            "next": next_step(entry, None, self.service.ledger.named),
        }

    async def resume(self, job: Job, wait_seconds: Wait = WAIT_SECONDS) -> JsonObject:
        """Wait for a job that was accepted, and save its files. Submits and costs nothing."""
        error = await self.service.resume(job, wait_seconds)
        return self.service.job_report(self.service.entry(job), error)

    async def reconcile(
        self,
        jobs: Annotated[
            list[str], Field(description="Names or ids of ambiguous jobs; empty for all.")
        ] = [],  # noqa: B006
    ) -> JsonObject:
        """Find out at the vendor what became of jobs whose answer was lost. Costs nothing.

        It never makes a second job. What stays unsolved is for the person to decide.
        """
        return {"findings": await self.service.reconcile(jobs)}

    async def translate(
        self,
        body: Annotated[JsonObject, Field(description="A vendor's native body.")],
        source: Annotated[str, Field(description="The vendor that the body is for.")],
        target: Annotated[str, Field(description="The vendor to write it for.")],
        source_model: Annotated[
            str | None, Field(description="Model family, where the body does not tell.")
        ] = None,
        target_model: Annotated[
            str | None, Field(description="To accept another model family.")
        ] = None,
        allow: Annotated[
            dict[str, Allowance],
            Field(description="By field: what may be dropped or brought to the nearest value."),
        ] = {},  # noqa: B006
    ) -> JsonObject:
        """Write one vendor's body for another, with a verdict for every value.

        Sends nothing and costs nothing. `violations` says why it cannot be done.
        """
        models = (source_model, target_model)
        return translation_document(self.service.translation(body, source, target, models, allow))

    async def matrix(
        self,
        workflow: Annotated[
            str | None, Field(description=f"One of {', '.join(WORKFLOWS)}; left out for all.")
        ] = None,
        vendors: Vendors = [],  # noqa: B006
    ) -> JsonObject:
        """Show what every vendor makes of every field, with limits and defaults. Costs nothing.

        All workflows at once are long: name the one that you need.
        """
        if workflow is not None and workflow not in WORKFLOWS:
            raise RequestError([f"workflow: {workflow!r} is none of {', '.join(WORKFLOWS)}"])
        chosen = [get_provider(name) for name in vendors] or None
        return {"workflows": [sheet_document(sheet) for sheet in matrix(workflow, chosen)]}


# -- arguments and answers -------------------------------------------------------------------------


def _tool(function: Callable[..., Awaitable[JsonObject]], is_read_only: bool) -> AgentTool:
    """The tool of a method, with the JSON schema of a request in that of its arguments."""
    from polyreel_generated import shared  # noqa: PLC0415

    arguments: TypeAdapter[Awaitable[JsonObject]] = TypeAdapter(function)  # type: ignore[arg-type]
    schema = arguments.json_schema()
    if "request" in schema["properties"]:
        names = REQUESTS.values()
        models = [(getattr(shared, name), "validation") for name in names]
        _, definitions = models_json_schema(models)  # type: ignore[arg-type]
        schema |= definitions
        schema["properties"]["request"] = {
            "description": schema["properties"]["request"]["description"],
            "anyOf": [{"$ref": f"#/$defs/{name}"} for name in names],
        }
    text = " ".join((function.__doc__ or "").split())
    return AgentTool(function.__name__, text, schema, arguments, is_read_only)


async def _called(tool: AgentTool, arguments: JsonObject) -> JsonObject:
    """Check the arguments of a call, and call; RequestError names every bad argument."""
    given = {name: _parsed(name, value) for name, value in arguments.items()}
    try:
        answer = tool.arguments.validate_python(ArgsKwargs((), given))
    except ValidationError as error:
        raise RequestError(
            [
                f"{'.'.join(map(str, one['loc']))}: {one['msg']}"
                for one in error.errors(include_input=False, include_url=False)
            ]
        ) from None
    found: JsonObject = await answer
    return found


def _parsed(name: str, value: Json) -> Json:
    if name not in PARSED or not isinstance(value, str):
        return value
    try:
        found: Json = json.loads(value)
    except (ValueError, RecursionError):
        return value
    return found


def _printed(value: Json) -> Any:
    if isinstance(value, dict):
        return {without_keys(str(name)): _printed(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_printed(item) for item in value]
    return abridged(without_keys(value)) if isinstance(value, str) else value
