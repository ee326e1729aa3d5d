"""The calls of a face beside the submit: lists, canceling, uploads, files; and who may call."""

from __future__ import annotations

import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest
from polyreel.gateway import tasks
from polyreel.ledger.gateway_tokens import GatewayToken
from polyreel.places import JsonObject, get, leaves
from polyreel.plans.choosing import plan
from polyreel.plans.reading import read
from polyreel.providers.base.calling import key_scheme_of, parameters
from polyreel.providers.base.limits import reading_of
from polyreel.providers.base.provider import Provider
from polyreel.serving.calls import MAX_JSON_BYTES
from polyreel.simulator import ready_made
from support.gateway import HOST, gateway, live_client
from support.pictures import picture
from support.server import PROVIDERS, calls, each_vendor, key_of, path_of, poll, send
from support.swaps import Swap, asked, first_swap, id_in, swaps, with_prompt

SWAP: Final = first_swap(PROVIDERS[0])
CLIP: Final[JsonObject] = {"model": "kling-v3", "prompt": "a cat", "duration": 5}


@pytest.fixture(autouse=True)
def ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in the files is not what these tests are about."""
    monkeypatch.setattr(ready_made, "is_used", lambda _: True)


def with_role(*roles: str) -> list[Provider]:
    """The vendors with a call of one of these roles."""
    return list(dict.fromkeys(provider for provider, _ in calls(*roles)))


def named(provider: Provider) -> str:
    return provider.id


@pytest.mark.parametrize("provider", with_role("list", "list-running", "batch-get"), ids=named)
def test_jobs_are_listed(provider: Provider, tmp_path: Path) -> None:
    """Those of this face, newest first, each by the id that its client knows."""
    face, back, made = first_swap(provider)
    with gateway(tmp_path, back) as stage:
        ids = []
        for number in range(3):
            ids.append(id_in(asked(stage, made, with_prompt(made, f"cat {number}")), face))
            stage.simulator.clock.sleep(1)
        for shown, operation in calls("list", "list-running", "batch-get"):
            if shown is not face:
                continue
            body = _ids(face, operation.request_schemas, ids[:2])
            text = send(stage, face, operation, body).content.decode()
            found = [one for one in ids if one in text]
            assert found == (ids[:2] if operation.role == "batch-get" else ids)
            if operation.role != "batch-get":
                assert text.index(ids[2]) < text.index(ids[0])


@pytest.mark.parametrize("provider", with_role("list", "list-running"), ids=named)
def test_a_page_costs_no_more_than_what_is_on_it(
    provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many jobs there are on others."""
    face, back, made = first_swap(provider)
    shown: list[str] = []
    plain = tasks.FacedTask.shown

    def noted(task: tasks.FacedTask, *rest: Any) -> JsonObject:
        shown.append(task.id)
        return plain(task, *rest)

    with gateway(tmp_path, back) as stage:
        for number in range(3):
            asked(stage, made, with_prompt(made, f"cat {number}"))
        monkeypatch.setattr(tasks.FacedTask, "shown", noted)
        for owner, operation in calls("list", "list-running"):
            if owner is face:
                names = [one["name"] for one in parameters(face.contract, operation, "query")]
                size = next((one for one in ("page_size", "limit") if one in names), "")
                body = {"limit": 1} if operation.request_schemas else b""
                send(stage, face, operation, body, query={size: "1"} if size else None)
    assert len({*shown}) == 1


def _ids(face: Provider, schemas: tuple[str, ...], ids: list[str]) -> JsonObject:
    """The body of a query for several jobs."""
    members = face.contract.schema(schemas[0]).get("properties", {}) if schemas else {}
    lists = [name for name, one in members.items() if one.get("type") == "array"]
    return {lists[0]: ids} if schemas and lists == list(members) else {}


@pytest.mark.parametrize("provider", with_role("cancel"), ids=named)
def test_a_job_is_canceled_as_far_as_the_vendor_behind_offers_it(
    provider: Provider, tmp_path: Path
) -> None:
    """Otherwise that is told in the shape of the face, with what the vendor says of it."""
    all_of_it = [one for one in swaps() if one.face is provider]
    for number, (face, back, made) in enumerate(all_of_it[::8]):
        cancel = face.contract.operation("cancel")
        assert cancel is not None
        with gateway(tmp_path / str(number), back) as stage:
            task = id_in(asked(stage, made), face)
            reply = stage.handle(face.id, cancel.method, path_of(cancel, task), key_of(face))
            if back.contract.operation("cancel") is None:
                assert not reply.ok
                assert b"documents no call that cancels" in reply.content
                assert poll(stage, face, task).status in {"queued", "running"}
            else:
                assert reply.ok, reply.content
            assert send(stage, face, cancel, task=task.replace(task[-4:], "0000")).status == 404


@each_vendor
def test_an_unmodified_client_sends_a_file_and_fetches_the_clip(
    provider: Provider, tmp_path: Path
) -> None:
    """polyreel's own client of one vendor, with its base URL changed, and another vendor behind."""
    fields: JsonObject = {"prompt": "a cat"}
    local = tmp_path / "first.png"
    local.write_bytes(picture())
    if provider.files != "none":
        fields["first_frame"] = str(local)
    swap = next((one for one in swaps() if one.face is provider and _takes(one, fields)), None)
    if swap is None:
        pytest.fail(f"nobody takes a file of a client of {provider.id}")
    with gateway(tmp_path, swap.back) as stage:

        async def made() -> list[str]:
            async with live_client(stage, provider) as client:
                request = {"model": swap.made.model, **fields}
                job = await client.generate(request, provider, output=tmp_path / "clips")
            return [one.path or "" for one in job.outputs or ()]

        (clip,) = stage.run(made())
        assert Path(clip).read_bytes()[4:8] == b"ftyp"
        assert stage.simulator.bill.count() == 1
        assert next(iter(stage.simulator.tasks))[0] == swap.back.id


def _takes(swap: Swap, fields: JsonObject) -> bool:
    """Whether both vendors take a request with a file of this machine."""
    request = {"model": swap.made.model, **fields}
    return not any(plan(request, one).refused for one in (swap.face, swap.back))


# -- who may call ----------------------------------------------------------------------------------


def test_calls_need_a_key_a_known_host_and_no_foreign_page(tmp_path: Path) -> None:
    """As the vendor's own API does; web pages can reach loopback by names of theirs."""
    face, back, made = SWAP
    with gateway(tmp_path, back) as stage:
        path = f"{HOST}/{face.id}{made.operation.full_path}"
        kind = {"Content-Type": "application/json"}
        assert stage.call("POST", path, kind, made.content).status == 401
        good = {**key_of(face), **kind}
        assert (
            stage.call("POST", path, {**good, "Host": "evil.example"}, made.content).status == 400
        )
        page = {**good, "Origin": "https://evil.example"}
        assert stage.call("POST", path, page, made.content).status == 403
        assert stage.simulator.journal == []
        assert stage.call("POST", path, good, made.content).ok


def test_bodies_have_a_limit(tmp_path: Path) -> None:
    """A longer one is refused in the shape of the face, and not read to its end."""
    face, back, made = SWAP
    with gateway(tmp_path, back) as stage:
        body = {**made.body, "prompt": "a" * MAX_JSON_BYTES}
        path = f"{HOST}/{face.id}{made.operation.full_path}"
        headers = {**key_of(face), "Content-Type": "application/json"}
        reply = stage.call("POST", path, headers, json.dumps(body).encode())
        assert reply.status in {400, 413}
        assert b"is longer than" in reply.content


@each_vendor
def test_what_is_no_call_of_a_face_is_said_in_its_shape(provider: Provider, tmp_path: Path) -> None:
    """Also ids of nobody's jobs, odd ids, and files that there are not."""
    with gateway(tmp_path, first_swap(provider).back) as stage:
        for path in ("/nonsense", "/outputs/x/1.mp4", "/outputs/../../etc/passwd", "/uploads/1/x"):
            reply = stage.handle(provider.id, "GET", path, key_of(provider))
            assert reply.status in {403, 404, 405}
        for task in ("nobody", "a%2Fb", "%00", "..", "x" * 3000):
            query = provider.contract.operation("get")
            assert query is not None
            reply = stage.handle(
                provider.id,
                "GET",
                query.full_path.replace("{", "").replace("}", "") + f"?task_ids={task}",
                key_of(provider),
            )
            assert 400 <= reply.status < 500


def test_whatever_the_path_and_the_method_the_face_answers(tmp_path: Path) -> None:
    """Also where a path has a line feed, or ends with a slash, or no vendor knows the method."""
    with gateway(tmp_path, SWAP.back) as stage:
        for method, path in (("GET", "/x%0Ay"), ("GET", "/x/"), ("PROPFIND", "/x")):
            reply = stage.handle(SWAP.face.id, method, path, key_of(SWAP.face))
            assert reply.status == 404
            assert isinstance(json.loads(reply.content), dict)


@pytest.mark.parametrize("provider", with_role("webhook-keys"), ids=named)
def test_without_its_library_no_key_signs_the_calls_to_clients(
    provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The face says so in the form of its contract, and shows no key of its examples."""
    keys = provider.contract.operation("webhook-keys")
    assert keys is not None
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric", None)
    with gateway(tmp_path, first_swap(provider).back) as stage:
        reply = send(stage, provider, keys)
    (listed,) = json.loads(reply.content).values()
    assert listed == []


@pytest.mark.parametrize("provider", with_role("credits"), ids=named)
def test_nobody_knows_the_credits_of_another_vendor(provider: Provider, tmp_path: Path) -> None:
    """No number of an example is shown; what is left of a token's budget is in a header."""
    query = provider.contract.operation("credits")
    assert query is not None
    with gateway(tmp_path, first_swap(provider).back, with_tokens=True) as stage:
        make = stage.gateway.faces.jobs.kept.tokens.make
        for token, left in (
            (GatewayToken("free"), None),
            (GatewayToken("day", per_day=Decimal("2.5")), "2.5"),
            (GatewayToken("all", per_day=Decimal("2.5"), in_all=Decimal(1)), "1"),
        ):
            key = key_scheme_of(provider.contract).headers(make(token))
            reply = send(stage, provider, query, headers=key)
            numbers = [value for _, value in leaves(json.loads(reply.content)) if value]
            assert (reply.status, numbers) == (200, [])
            assert reply.header("x-polyreel-dollars-left") == left


@pytest.mark.parametrize("provider", with_role("models"), ids=named)
def test_models_are_those_that_somebody_behind_makes(provider: Provider, tmp_path: Path) -> None:
    """By the names that the face has for them; nobody says what they take."""
    back = first_swap(provider).back
    models = provider.contract.operation("models")
    assert models is not None
    documented = json.dumps(provider.contract.document)
    with gateway(tmp_path, back) as stage:
        listed = json.loads(send(stage, provider, models).content)
    assert json.dumps(provider.contract.document) == documented
    how = reading_of(provider.contract)
    entries: list[JsonObject] = get(listed, how["models"])
    assert entries
    assert all(one.keys() == {how["id"]} for one in entries)
    sold = {route.model for route in back.routes}
    for one in entries:
        body = {how["model"]: one[how["id"]], "prompt": "a cat"}
        assert read(body, provider).route.model in sold


@pytest.mark.parametrize("provider", with_role("receipt"), ids=named)
def test_what_no_vendor_tells_is_refused_as_the_call_documents(
    provider: Provider, tmp_path: Path
) -> None:
    """By a status of its own, not by one of another call."""
    with gateway(tmp_path, first_swap(provider).back) as stage:
        for one, operation in calls("receipt"):
            if one is provider:
                reply = send(stage, provider, operation, task="none")
                assert str(reply.status) in operation.spec["responses"]


def test_a_link_to_a_file_works_for_a_day_and_cannot_be_made_up(tmp_path: Path) -> None:
    """It needs no key, as the links of vendors do."""
    face, back, made = SWAP
    with gateway(tmp_path, back) as stage:
        task = id_in(asked(stage, made), face)
        stage.simulator.clock.sleep(1000)
        (link,) = poll(stage, face, task).urls
        assert stage.call("GET", link).status == 200
        assert stage.call("GET", link[:-1] + ("0" if link[-1] != "0" else "1")).status == 403
        assert stage.call("GET", link.partition("?")[0]).status == 403
        stage.simulator.clock.sleep(25 * 60 * 60)
        assert stage.call("GET", link).status == 410


def test_the_index_tells_what_is_served(tmp_path: Path) -> None:
    """The addresses of the faces, and who makes the jobs."""
    with gateway(tmp_path, SWAP.back) as stage:
        index = json.loads(stage.call("GET", f"{HOST}/").content)
    assert index["to"] == [SWAP.back.id]
    assert not index["live"]
    assert index["faces"].keys() == {one.id for one in PROVIDERS}
