"""Tools for agents, called by the client of the protocol's own SDK, which repeats and loses."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from mcp import Client, MCPError
from mcp.types import BlobResourceContents
from polyreel import AsyncClient, Simulator
from polyreel.agents.server import build
from polyreel.agents.service import AgentService
from polyreel.agents.tools import AgentTools
from polyreel.errors import MissingExtraError
from polyreel.ledger.commands import command
from polyreel.ledger.sqlite import Ledger
from polyreel.places import JsonObject
from support.agents import (
    CLIP,
    JOBS,
    TIMES,
    VENDORS,
    billed,
    call,
    lost,
    repeated,
    served,
)
from support.cli import CANARY
from support.pictures import picture
from support.prices import SELLER
from support.server import new_simulator

# -- repeated calls --------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_client_that_loses_and_repeats_every_call_is_billed_once_each(tmp_path: Path) -> None:
    """28 jobs, each call made three times, its first answer lost: 28 bills, with names and without.

    The client goes away at another moment each time: before the submit, in it, and after it.
    """

    async def run(simulator: Simulator) -> list[JsonObject]:
        answers: list[JsonObject] = []
        async with served(tmp_path, simulator) as (client, _):
            for number in range(JOBS):
                wanted = {**CLIP, "prompt": f"cat {number}"}
                vendor = VENDORS[number % len(VENDORS)]
                arguments: JsonObject = {"request": wanted, "vendors": [vendor]}
                if number % 2:
                    arguments["job_name"] = f"clip {number}"
                await repeated(client, "price", number % 5, request=wanted)
                found = await repeated(client, "generate", number * 3, **arguments)
                own = found[0]["job"]["id"]
                found += await repeated(client, "resume", number, job=own)
                assert [one["job"]["id"] for one in found] == [own] * len(found)
                await repeated(client, "reconcile", number)
                answers += found
        return answers

    simulator = new_simulator()
    answers = asyncio.run(run(simulator))
    assert {answer["job"]["state"] for answer in answers} == {"saved"}
    assert len({answer["job"]["id"] for answer in answers}) == billed(simulator) == JOBS


def test_a_restarted_server_goes_on_with_the_job(tmp_path: Path) -> None:
    """The name is in the ledger: not in the memory of a process, nor in that of a session."""
    simulator, names = new_simulator(), set()
    for _ in range(TIMES):

        async def run() -> None:
            async with served(tmp_path, simulator) as (client, _):
                names.add((await call(client, "generate", request=CLIP))["job_name"])

        asyncio.run(run())
    assert len(names) == billed(simulator) == 1


def test_equal_calls_at_once_are_one_job(tmp_path: Path) -> None:
    """Also of several clients, in another order of fields, and with fields that are null."""

    async def run(simulator: Simulator) -> list[JsonObject]:
        async with (
            served(tmp_path, simulator) as (client, service),
            Client(build(AgentTools(service))) as other,
        ):
            turned = {**dict(reversed(CLIP.items())), "seed": None}
            calls = [call(client, "generate", request=CLIP) for _ in range(5)]
            calls += [call(other, "generate", request=turned) for _ in range(5)]
            return await asyncio.gather(*calls)

    simulator = new_simulator()
    answers = asyncio.run(run(simulator))
    assert len({answer["job"]["id"] for answer in answers}) == billed(simulator) == 1


def test_a_name_belongs_to_one_request(tmp_path: Path) -> None:
    """Another request under it is refused, whether the first job is under way or has ended."""

    async def run(simulator: Simulator) -> None:
        other = {**CLIP, "prompt": "a dog"}
        async with served(tmp_path, simulator) as (client, _):
            first = asyncio.create_task(call(client, "generate", request=CLIP, job_name="mine"))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            during = await call(client, "generate", request=other, job_name="mine", wait_seconds=0)
            assert (await first)["job"]["state"] == "saved"
            after = await call(client, "generate", request=other, job_name="mine")
        for answer in (during, after):
            assert answer["error"]["type"] == "RequestError"
            assert "another request already" in answer["error"]["message"]

    simulator = new_simulator()
    asyncio.run(run(simulator))
    assert billed(simulator) == 1


@pytest.mark.parametrize("vendor", VENDORS)
def test_an_ambiguous_job_is_reported_and_never_made_anew(tmp_path: Path, vendor: str) -> None:
    """The answer says that it may be billed, and what to do; the person's commands are named."""

    async def run(simulator: Simulator) -> tuple[list[JsonObject], JsonObject]:
        async with served(tmp_path, simulator) as (client, _):
            arguments = {"request": CLIP, "vendors": [vendor]}
            answers = [await call(client, "generate", **arguments) for _ in range(TIMES)]
            found = await call(client, "reconcile", jobs=[answers[0]["job_name"]])
        return answers, found

    simulator = new_simulator()
    simulator.inject("lost-reset", vendor)
    answers, found = asyncio.run(run(simulator))
    assert billed(simulator) == 1
    for answer in answers:
        assert answer["job"]["state"] == "ambiguous"
        assert (answer["error"]["type"], answer["error"]["billed"]) == ("AmbiguousError", "maybe")
        assert "Do not generate it anew" in answer["next"]
        assert "`reconcile`" in answer["next"]
        own = command("abandon", answer["job"]["id"], ledger=tmp_path / "ledger.sqlite3")
        assert f"`{own}`" in answer["next"]
    (finding,) = found["findings"]
    assert finding["id"] == answers[0]["job"]["id"]
    assert finding["next"]


def test_what_a_person_has_abandoned_is_not_made_anew_by_a_repeated_call(tmp_path: Path) -> None:
    """It may have been billed, and the agent knows nothing of it: a new job needs a new name."""

    async def run(simulator: Simulator) -> tuple[JsonObject, JsonObject, JsonObject]:
        async with served(tmp_path, simulator) as (client, service):
            arguments = {"request": CLIP, "vendors": [SELLER.id]}
            first = await call(client, "generate", **arguments)
            service.ledger.abandon(first["job"]["id"])
            again = await call(client, "generate", **arguments)
            return first, again, await call(client, "generate", **arguments, job_name="new")

    simulator = new_simulator()
    simulator.inject("lost-reset", SELLER.id)
    first, again, new = asyncio.run(run(simulator))
    assert again["error"]["type"] == "RequestError"
    assert "abandoned" in again["error"]["message"]
    assert again["job"]["id"] == first["job"]["id"] != new["job"]["id"]
    assert (new["job"]["state"], billed(simulator)) == ("saved", 2)


def test_a_server_that_stops_lets_a_submit_come_to_its_end(tmp_path: Path) -> None:
    """Its outcome is in the ledger, and the next server goes on with the job."""

    async def run(simulator: Simulator, moments: int) -> JsonObject:
        async with served(tmp_path, simulator) as (client, _):
            if moments:
                wanted = {**CLIP, "seed": moments}
                await lost(client, "generate", moments, request=wanted)
                return {}
            return await call(client, "jobs", states=["ambiguous", "sending"])

    simulator = new_simulator()
    for moments in (*range(1, 12), 0):
        found = asyncio.run(run(simulator, moments))
    assert found["jobs"] == []


def test_a_call_that_does_not_wait_lets_the_job_go_on(tmp_path: Path) -> None:
    """The job goes on without anybody who waits, and a later call has its files."""

    async def run(simulator: Simulator) -> tuple[JsonObject, JsonObject]:
        async with served(tmp_path, simulator) as (client, _):
            begun = await call(client, "generate", request=CLIP, wait_seconds=0)
            return begun, await call(client, "generate", request=CLIP)

    simulator = new_simulator()
    begun, done = asyncio.run(run(simulator))
    assert begun["job"]["id"] == done["job"]["id"]
    assert (done["job"]["state"], billed(simulator)) == ("saved", 1)


# -- what an agent sees ----------------------------------------------------------------------------


def test_agents_learn_how_to_repeat(tmp_path: Path) -> None:
    """In the instructions and in the tool's text; tools that change nothing say so."""

    async def run() -> None:
        async with served(tmp_path, new_simulator(), max_cost=Decimal(5)) as (client, _):
            assert "an equal call is the same job" in (client.instructions or "")
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            assert "equal call is the same job" in (tools["generate"].description or "")
            looking = {"plan", "price", "jobs", "job", "translate", "matrix"}
            assert {*tools} == looking | {"generate", "resume", "reconcile"}
            for name, tool in tools.items():
                assert tool.annotations
                assert tool.annotations.read_only_hint == (name in looking)
                assert tool.input_schema["type"] == "object"
                parts = [tool.input_schema, *tool.input_schema.get("$defs", {}).values()]
                arguments = [one for part in parts for one in part.get("properties", {}).items()]
                assert [
                    argument for argument, said in arguments if not said.get("description")
                ] == []
            fields = tools["plan"].input_schema["$defs"]["VideoRequest"]["properties"]
            assert {"prompt", "duration", "first_frame"} <= {*fields}

    asyncio.run(run())


def test_the_tools_that_cost_nothing_answer(tmp_path: Path) -> None:
    """Plans and prices for all vendors, a translation, a matrix, and the list of jobs."""

    async def run(simulator: Simulator) -> None:
        async with served(tmp_path, simulator) as (client, _):
            plans = (await call(client, "plan", request=json.dumps(CLIP)))["plans"]
            assert [plan["vendor"] for plan in plans] == VENDORS
            prices = await call(client, "price", request=CLIP)
            assert SELLER.id == prices["prices"][0]["vendor"]
            body = next(plan["body"] for plan in plans if not plan["refused"])
            source = next(plan["vendor"] for plan in plans if not plan["refused"])
            done = await call(client, "translate", body=body, source=source, target=source)
            assert (done["violations"], done["body"]) == ([], body)
            sheets = (await call(client, "matrix", workflow="text-to-video"))["workflows"]
            assert [sheet["workflow"] for sheet in sheets] == ["text-to-video"]
            assert (await call(client, "jobs"))["jobs"] == []

    simulator = new_simulator()
    asyncio.run(run(simulator))
    assert billed(simulator) == 0


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("plan", {}),
        ("plan", {"request": {"prompt": "a cat", "duraton": 5}}),
        ("generate", {"request": {}}),
        ("generate", {"request": CLIP, "vendors": ["nobody"]}),
        ("generate", {"request": CLIP, "vendor": "nobody"}),
        ("generate", {"request": CLIP, "job_name": " "}),
        ("generate", {"request": CLIP, "job_name": "a/b"}),
        ("generate", {"request": CLIP, "wait_seconds": -1}),
        ("generate", {"request": {**CLIP, "duration": 100_000}, "vendors": [SELLER.id]}),
        ("job", {"job": "nothing"}),
        ("resume", {"job": "nothing"}),
        ("reconcile", {"jobs": ["nothing"]}),
        ("jobs", {"states": ["nothing"]}),
        ("matrix", {"workflow": "nothing"}),
        ("translate", {"body": {}, "source": "nobody", "target": "nobody"}),
        ("nothing", {}),
    ],
)
def test_mistakes_are_answers(tmp_path: Path, tool: str, arguments: JsonObject) -> None:
    """They say what is wrong and that nothing was billed; the call itself does not fail."""

    async def run(simulator: Simulator) -> JsonObject:
        async with served(tmp_path, simulator) as (client, _):
            return await call(client, tool, **arguments)

    simulator = new_simulator()
    answer = asyncio.run(run(simulator))
    assert answer["error"]["type"] in {"RequestError", "UnknownNameError", "PlanRefusedError"}
    assert answer["error"]["billed"] == "no"
    assert answer["next"].startswith("Nothing was billed")
    assert billed(simulator) == 0


def test_saved_files_are_resources(tmp_path: Path) -> None:
    """An answer links to them, the list has them, and reading gives the file's bytes."""

    async def run() -> None:
        async with served(tmp_path, new_simulator()) as (client, _):
            result = await client.call_tool("generate", {"request": CLIP})
            link = result.content[1]
            assert link.type == "resource_link"
            (listed,) = (await client.list_resources()).resources
            assert (listed.uri, listed.mime_type) == (link.uri, "video/mp4")
            (content,) = (await client.read_resource(link.uri)).contents
            assert isinstance(content, BlobResourceContents)
            (path,) = (tmp_path / "clips").glob("*.mp4")
            assert base64.b64decode(content.blob) == path.read_bytes()
            for uri in ("polyreel://clips/nothing/1", f"{link.uri}1", "file:///etc/passwd"):
                with pytest.raises(MCPError):
                    await client.read_resource(uri)

    asyncio.run(run())


def test_files_of_the_machine_are_sent_from_named_folders_only(tmp_path: Path) -> None:
    """An agent can be talked into sending any file. Those elsewhere are not even opened."""
    for folder in ("clips", "mine", "secret"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "cat.png").write_bytes(picture())
    (tmp_path / "mine" / "link.png").symlink_to(tmp_path / "secret" / "cat.png")
    taken = [tmp_path / "clips" / "cat.png", tmp_path / "mine" / "cat.png"]
    refused = [
        tmp_path / "secret" / "cat.png",
        tmp_path / "secret" / "nothing.png",
        tmp_path / "mine" / "link.png",
        tmp_path / "mine" / ".." / "secret" / "cat.png",
    ]

    async def run() -> None:
        settings = {"files": [tmp_path / "mine"]}
        async with served(tmp_path, new_simulator(), **settings) as (client, _):
            for path in taken:
                answer = await call(client, "plan", request={"first_frame": str(path)})
                assert "error" not in answer
            for path in refused:
                for field in ({"first_frame": str(path)}, {"reference_images": [str(path)]}):
                    answer = await call(client, "plan", request={"prompt": "a", **field})
                    assert "are sent from" in answer["error"]["message"]

    asyncio.run(run())


def test_no_key_is_in_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither of the environment nor of the client, wherever an agent has it from."""
    monkeypatch.setenv(SELLER.key_variable, CANARY)

    async def run() -> None:
        wanted = {**CLIP, "prompt": f"write {CANARY}"}
        async with served(tmp_path, new_simulator()) as (client, _):
            for name in ("plan", "price", "generate"):
                result = await client.call_tool(name, {"request": wanted})
                assert CANARY not in result.model_dump_json()
            for arguments in ({"request": {CANARY: 1}}, {CANARY: 1}):
                result = await client.call_tool("plan", arguments)
                assert CANARY not in result.model_dump_json()

    asyncio.run(run())


def test_the_extra_is_named_where_it_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest of the package works without the SDK."""
    monkeypatch.setitem(sys.modules, "mcp.server", None)
    with (
        Ledger(tmp_path / "ledger") as ledger,
        pytest.raises(MissingExtraError, match=r"pip install 'polyreel\[mcp\]'"),
    ):
        build(AgentTools(AgentService(AsyncClient(ledger=ledger), tmp_path / "clips")))
