"""What `polyreel new-vendor` drafts from documents in the forms that vendors publish."""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from polyreel.errors import RequestError
from polyreel.places import JsonObject
from polyreel.scaffold import Package, Wishes, package
from polyreel.scaffold.published import published

STATES = ["pending", "completed", "failed"]


def text(**more: Any) -> JsonObject:
    return {"type": "string", **more}


def shape(**members: Any) -> JsonObject:
    """An object schema; a member is a schema, or the example of a text."""
    return {"type": "object", "properties": members}


JOB = shape(id=text(), status=text(enum=STATES), url=text())


def answer(schema: JsonObject) -> JsonObject:
    return {"200": {"description": "ok", "content": {"application/json": {"schema": schema}}}}


def post(body: JsonObject, reply: JsonObject = JOB, **more: Any) -> JsonObject:
    content = {"application/json": {"schema": body}}
    return {"post": {"requestBody": {"content": content}, "responses": answer(reply), **more}}


def get(reply: JsonObject = JOB, *parameters: JsonObject, **more: Any) -> JsonObject:
    return {"get": {"parameters": [*parameters], "responses": answer(reply), **more}}


def parameter(name: str, place: str = "query", **more: Any) -> JsonObject:
    return {"name": name, "in": place, "required": True, "schema": text(), **more}


def document(paths: JsonObject, schemas: JsonObject | None = None, **more: Any) -> JsonObject:
    components = {"schemas": schemas or {}, **more.pop("components", {})}
    servers = [{"url": "https://api.vendor.example/"}]
    head = {"openapi": "3.1.0", "info": {"title": "x", "version": "1"}, "servers": servers}
    return {**head, "paths": paths, "components": components, **more}


CLIP = shape(prompt=text(), model=text(enum=["one-1"]))
PLAIN: JsonObject = {"/videos": post(CLIP), "/videos/{id}": get()}


def contract_of(made: Package) -> JsonObject:
    found: JsonObject = json.loads(made.files["fresh/openapi.json"])
    return found


def provider_of(made: Package, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The provider that a package has."""
    for place, content in made.files.items():
        path = folder / place
        path.parent.mkdir(exist_ok=True)
        path.write_text(content, encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
    importlib.invalidate_caches()
    module = importlib.import_module("fresh")
    del sys.modules["fresh"]
    return module.Fresh()


# -- which calls ---------------------------------------------------------------------------------

CHAT = shape(prompt=text(), messages={"type": "array", "items": {"type": "object"}})
PAIRS: list[tuple[str, JsonObject, str]] = [
    (
        "a thing with a description and a status is no clip",
        {
            "/guardrails": post(shape(description=text(), name=text())),
            "/guardrails/{id}": get(),
            **PLAIN,
        },
        "POST /videos -> GET /videos/{id}",
    ),
    (
        "chats with prompts are no clips",
        {
            "/chat/completions": post(CHAT),
            "/chat/completions/{id}": get(),
            "/v1/videos/generations": post(CLIP, shape(request_id=text())),
            "/v1/videos/{requestId}": get(shape(status=text(enum=STATES), video=shape(url=text()))),
        },
        "POST /v1/videos/generations -> GET /v1/videos/{requestId}",
    ),
    (
        "tasks of every kind, asked about at one place",
        {
            "/v1/avatars/{id}": get(),
            "/v1/image_to_video": post(shape(promptText=text(), promptImage=text())),
            "/v1/tasks/{id}": get(),
            "/v1/workflows/{id}": get(shape(id=text(), state=text())),
        },
        "POST /v1/image_to_video -> GET /v1/tasks/{id}",
    ),
    (
        "the id in the query",
        {
            "/v1/files/retrieve": get(shape(status=text(), file=shape(id=text()))),
            "/v1/query/video_generation": get(JOB, parameter("task_id")),
            "/v1/video_generation": post(CLIP, shape(task_id=text())),
        },
        "POST /v1/video_generation -> GET /v1/query/video_generation",
    ),
    (
        "a status beside a result",
        {
            "/acme/text-to-video": post(CLIP, shape(request_id=text(), status=text())),
            "/acme/text-to-video/requests/{request_id}": get(shape(video=shape(url=text()))),
            "/acme/text-to-video/requests/{request_id}/cancel": {"put": {"responses": {}}},
            "/acme/text-to-video/requests/{request_id}/status": get(
                shape(request_id=text(), status=text())
            ),
        },
        "POST /acme/text-to-video -> GET /acme/text-to-video/requests/{request_id}/status",
    ),
    (
        "a call that goes on with a job makes none",
        {
            "/generations/{id}": get(),
            "/generations/{id}/audio": post(shape(prompt=text())),
            "/generations/{id}/upscale": post(shape(prompt=text())),
            "/generations/video": post(CLIP),
        },
        "POST /generations/video -> GET /generations/{id}",
    ),
    (
        "the link of the document counts",
        {
            "/a/{id}": get(operationId="other"),
            "/b/{id}": get(operationId="wanted"),
            "/videos": {
                "post": post(CLIP)["post"]
                | {
                    "responses": {
                        "201": {
                            **answer(JOB)["200"],
                            "links": {"status": {"operationId": "wanted"}},
                        }
                    }
                }
            },
        },
        "POST /videos -> GET /b/{id}",
    ),
    (
        "the text of the document counts",
        {
            "/a/{id}": get(),
            "/b/{id}": get(),
            "/videos": post(CLIP, description="Then poll `GET /b/{id}` until it is done."),
        },
        "POST /videos -> GET /b/{id}",
    ),
]


@pytest.mark.parametrize(("why", "paths", "pair"), PAIRS, ids=[why for why, _, _ in PAIRS])
@pytest.mark.parametrize("turned", [False, True])
def test_a_paid_call_is_paired_with_its_own_status_query(
    why: str, paths: JsonObject, pair: str, *, turned: bool
) -> None:
    """In whichever order the document has them."""
    ordered = dict(reversed(paths.items())) if turned else paths
    assert package("fresh", document(ordered)).calls == (pair,), why


def test_a_paid_call_with_another_status_query_is_told() -> None:
    """A package asks about its jobs at one place; the author can begin another one."""
    paths = {**PLAIN, "/images": post(CLIP), "/images/{id}": get()}
    made = package("fresh", document(paths))
    assert made.calls == ("POST /videos -> GET /videos/{id}",)
    assert "POST /images is asked about by GET /images/{id}" in made.not_done[0]
    made = package("fresh", document(paths), Wishes(create=["POST /images"]))
    assert made.calls == ("POST /images -> GET /images/{id}",)


def test_the_author_says_which_calls() -> None:
    """By operation id, by path, or by method and path; and which paths are looked at."""
    paths = {
        **PLAIN,
        "/things": post(shape(words=text()), operationId="makeThing"),
        "/things/{id}": get(operationId="getThing"),
    }
    spec = document(paths)
    wanted = ("POST /things -> GET /things/{id}",)
    assert package("fresh", spec, Wishes(create=["makeThing"])).calls == wanted
    assert package("fresh", spec, Wishes(create=["/things"], get="getThing")).calls == wanted
    crossed = package("fresh", spec, Wishes(get="GET /things/{id}")).calls
    assert crossed == ("POST /videos -> GET /things/{id}",)
    made = package("fresh", spec, Wishes(paths=["/videos*"]))
    assert made.calls == ("POST /videos -> GET /videos/{id}",)
    assert made.left_out == ()


@pytest.mark.parametrize(
    ("wishes", "told"),
    [
        (Wishes(create=["POST /none"]), "--create POST /none: the document has no such call"),
        (Wishes(get="/none/{id}"), "--get /none/{id}: the document has no such call"),
        (Wishes(get="list"), "takes no id"),
        (Wishes(paths=["/none*"]), "--paths /none*: no path"),
        (Wishes(only=["none-*"]), "--only none-*: no model or workflow fits; there are one-1"),
    ],
)
def test_what_the_document_does_not_have_is_told(wishes: Wishes, told: str) -> None:
    """With what it has."""
    spec = document({**PLAIN, "/videos/all": get(shape(data=text()), operationId="list")})
    with pytest.raises(RequestError) as refused:
        package("fresh", spec, wishes)
    assert told in str(refused.value)


def test_only_some_models_are_drafted() -> None:
    """Forms of bodies, calls and schemas without a route go too."""
    forms = [
        shape(model=text(const=name), prompt=text(), image=text()) | {"title": name}
        for name in ("one-1", "two-2")
    ]
    spec = document({"/videos": post({"oneOf": forms}), "/videos/{id}": get()})
    made = package("fresh", spec, Wishes(only=["two-*"]))
    assert [*contract_of(made)["components"]["schemas"]] == ["PostVideosTwo2Body"]
    assert '"one-1"' not in made.files["fresh/__init__.py"]
    both = package("fresh", spec, Wishes(only=["image-to-video"])).files["fresh/__init__.py"]
    assert ('"text-to-video"' in both, both.count('"image-to-video"')) == (False, 2)


# -- how calls are made --------------------------------------------------------------------------


def test_the_id_in_the_query_is_marked() -> None:
    """As contracts say it."""
    query = get(JOB, parameter("logs", required=False), parameter("taskId"))
    made = package("fresh", document({"/videos": post(CLIP), "/videos/find": query}))
    parameters = contract_of(made)["paths"]["/videos/find"]["get"]["parameters"]
    assert [one.get("x-polyreel-task-id") for one in parameters] == [None, True]


BEARER = {"type": "http", "scheme": "bearer"}
SCHEMES: list[tuple[JsonObject, JsonObject]] = [
    (BEARER, BEARER),
    (
        {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    ),
    (
        {"type": "http", "scheme": "Key"},
        {"type": "apiKey", "name": "Authorization", "x-polyreel-prefix": "Key "},
    ),
    (
        {"type": "apiKey", "in": "header", "name": "Authorization", "description": "Acme Key"},
        {"name": "Authorization", "x-polyreel-prefix": "Key "},
    ),
    (
        {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "As in `Authorization: Token <your token>`",
        },
        {"x-polyreel-prefix": "Token "},
    ),
    (
        {"type": "apiKey", "in": "header", "name": "Authorization", "description": "Your API Key"},
        {"description": "TODO: which word stands before the key in Authorization? Your API Key"},
    ),
    (
        {"type": "apiKey", "in": "query", "name": "key"},
        {"description": "TODO: the document has the scheme apiKey query; how does a key go?"},
    ),
]


@pytest.mark.parametrize(("scheme", "wanted"), SCHEMES)
def test_the_scheme_of_the_key_is_kept(scheme: JsonObject, wanted: JsonObject) -> None:
    """In the form that contracts have."""
    spec = document(PLAIN, components={"securitySchemes": {"k": scheme}}, security=[{"k": []}])
    drafted = contract_of(package("fresh", spec))
    assert drafted["security"] == [{"k": []}]
    found = drafted["components"]["securitySchemes"]["k"]
    assert {name: found[name] for name in wanted} == wanted
    assert ("x-polyreel-prefix" in found) == ("x-polyreel-prefix" in wanted)


def test_of_several_schemes_one_that_can_be_sent_is_kept() -> None:
    """That of the paid call; a header among its parameters counts where there is none."""
    schemes = {
        "cookie": {"type": "apiKey", "in": "cookie", "name": "sid"},
        "own": {"type": "apiKey", "in": "header", "name": "api-key"},
        "sso": {"type": "oauth2", "flows": {}},
    }
    videos = post(CLIP, security=[{"sso": []}, {"cookie": []}, {"own": []}])
    spec = document({**PLAIN, "/videos": videos}, components={"securitySchemes": schemes})
    drafted = contract_of(package("fresh", spec))
    assert [*drafted["components"]["securitySchemes"]] == ["own"]
    key = parameter("Authorization", "header", description="Bearer <token>")
    spec = document({**PLAIN, "/videos": post(CLIP, parameters=[key])})
    drafted = contract_of(package("fresh", spec))
    assert [*drafted["components"]["securitySchemes"].values()] == [BEARER]
    assert drafted["paths"]["/videos"]["post"]["parameters"] == []


def test_constant_headers_are_constants() -> None:
    """One word in a closed list is one; where there is a choice, the author is asked."""
    headers = [
        parameter("X-Version", "header", schema=text(const="2024-11-06")),
        parameter("X-Kind", "header", schema=text(enum=["a"])),
        parameter("X-Date", "header", schema=text(default="2026-01-01"), description="A date."),
        parameter("X-Trace", "header", required=False),
        parameter("Content-Type", "header"),
    ]
    spec = document({**PLAIN, "/videos": post(CLIP, parameters=headers)})
    made = package("fresh", spec)
    kept = contract_of(made)["paths"]["/videos"]["post"]["parameters"]
    assert [(one["name"], one["schema"].get("const")) for one in kept] == [
        ("X-Version", "2024-11-06"),
        ("X-Kind", "a"),
        ("X-Date", "2026-01-01"),
        ("X-Trace", None),
    ]
    assert kept[2]["description"] == "TODO: which value has this header? A date."


# -- what is read, what is mapped ----------------------------------------------------------------


def rows_of(body: JsonObject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The first native place of each shared field that was guessed."""
    made = package("fresh", document({"/videos": post(body), "/videos/{id}": get()}))
    provider = provider_of(made, tmp_path, monkeypatch)
    rows = provider.routes[0].by_name.items()
    return {name: row.places[0] for name, row in rows if row.places}


def test_names_in_camel_case_and_nested_bodies_are_matched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Objects that hold a link, and may be null, too."""
    link = shape(url=text())
    body = shape(
        input=shape(promptText=text(), negativePrompt=text(), lastFrame=link),
        parameters=shape(aspectRatio=text(), durationSeconds={"type": "integer"}),
        image={"anyOf": [link, {"type": "null"}]},
        referenceImages={"type": "array", "items": shape(uri=text())},
        callbackUrl=text(format="uri"),
    )
    assert rows_of(body, tmp_path, monkeypatch) == {
        "prompt": "input.promptText",
        "negative_prompt": "input.negativePrompt",
        "last_frame": "input.lastFrame.url",
        "aspect_ratio": "parameters.aspectRatio",
        "duration": "parameters.durationSeconds",
        "first_frame": "image.url",
        "reference_images": "referenceImages",
        "callback_url": "callbackUrl",
    }


def test_nothing_is_mapped_into_a_price_or_a_description(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever its name and type; a clip's own place is found behind it."""
    whole = {"type": "integer"}
    body = shape(
        max_price=shape(image=text(), prompt=text(), duration=whole),
        description=text(),
        maxCost=shape(seed=whole),
        metadata=shape(resolution=text(), prompt=text()),
        text=text(),
        image=text(),
    )
    found = rows_of(body, tmp_path, monkeypatch)
    assert found == {"prompt": "text", "first_frame": "image"}


def test_a_list_of_typed_items_is_told_and_not_mapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each kind of item needs a row of its own."""
    item = shape(
        type=text(enum=["image_url"]),
        image_url=shape(url=text()),
        frame_type=text(enum=["first_frame", "last_frame"]),
    )
    body = shape(prompt=text(), input_references={"type": "array", "items": item})
    assert rows_of(body, tmp_path, monkeypatch) == {"prompt": "prompt"}
    made = package("fresh", document({"/videos": post(body), "/videos/{id}": get()}))
    (told,) = (one for one in made.not_done if "input_references" in one)
    assert "image_url, first_frame, last_frame" in told


REPLIES: list[tuple[JsonObject, str, tuple[str, ...]]] = [
    (shape(request_id=text(), data=shape(task_id=text())), "task_id", ("data.task_id",)),
    (shape(request_id=text(), id=text()), "id", ("id",)),
    (shape(request_id=text()), "request_id", ("request_id",)),
    (shape(requestId=text(), jobId=text()), "job_id", ("jobId",)),
    (shape(id=text(), user=shape(id=text()), generation_id=text()), "jobId", ("id",)),
]


@pytest.mark.parametrize(("reply", "name", "places"), REPLIES)
def test_the_id_of_a_call_is_no_job_id_where_a_real_one_is(
    reply: JsonObject,
    name: str,
    places: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Wherever the two stand."""
    whole = shape(**reply["properties"], status=text(enum=STATES))
    paths = {"/videos": post(CLIP, reply), f"/videos/{{{name}}}": get(whole)}
    provider = provider_of(package("fresh", document(paths)), tmp_path, monkeypatch)
    assert provider.reads.id[:1] == places
    assert "request_id" not in provider.reads.id[1:]


def test_replies_in_several_forms_are_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A state of its own in each form; what a body repeats of the request is no output."""
    forms = [
        shape(id=text(pattern="^[0-9a-f-]{36}$"), status=text(const=word), **more)
        | {"additionalProperties": False, "required": ["id", "status"]}
        for word, more in {
            "PENDING": {},
            "SUCCEEDED": {"output": {"type": "array", "items": text()}},
            "FAILED": {"failure": text(), "failureCode": text()},
        }.items()
    ]
    forms[1]["properties"]["request"] = shape(image_url=text(), video_url=text())
    paths = {"/videos": post(CLIP, shape(id=text())), "/videos/{id}": get({"oneOf": forms})}
    made = package("fresh", document(paths))
    provider = provider_of(made, tmp_path, monkeypatch)
    assert provider.statuses == {"pending": "queued", "succeeded": "succeeded", "failed": "failed"}
    assert provider.reads.outputs == ("output",)
    assert provider.reads.error_code == ("failureCode",)
    query = provider.contract.operation("get")
    shown = {name: value for _, _, name, value in provider.contract.replies(query)}
    assert shown["succeeded"]["output"] == ["https://files.example/1.mp4"]
    for value in (*shown.values(), {"id": "task_1", "status": "PAUSED", "news": 1}):
        assert provider.contract.is_reply(query, 200, value)


def test_schemas_that_nothing_refers_to_are_dropped() -> None:
    """Those of calls that were left out too; what webhooks and schemas refer to stays."""
    named = {
        "Clip": shape(prompt=text(), deep={"$ref": "#/components/schemas/Deep"}),
        "Deep": shape(seed={"type": "integer"}),
        "Other": shape(name=text(), own={"$ref": "#/components/schemas/Own"}),
        "Own": shape(name=text()),
        "Nobody": shape(name=text()),
        "Event": shape(name=text()),
    }
    event = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Event"}}}}
    paths = {
        **PLAIN,
        "/videos": post({"$ref": "#/components/schemas/Clip"}),
        "/others": post({"$ref": "#/components/schemas/Other"}),
    }
    hooks = {"done": {"post": {"requestBody": event, "responses": {}}}}
    drafted = contract_of(package("fresh", document(paths, named, webhooks=hooks)))
    assert [*drafted["components"]["schemas"]] == ["Clip", "Deep", "Event"]


def test_what_was_seen_and_not_drafted_is_listed() -> None:
    """For the author."""
    paths = {
        "/videos": post(shape(input={"type": "object"}), shape(id=text(), status_url=text())),
        "/videos/{id}": get(shape(id=text(), status=text(), code={"type": "integer"})),
        "/videos/{id}/cancel": {"post": {"responses": {}}},
        "/videos/{id}/content": {"get": {"responses": {}}},
    }
    told = "\n".join(package("fresh", document(paths)).not_done)
    for wanted in (
        "POST /videos: input: the inputs of the models are not in the document",
        "says where to ask about the job",
        "POST /videos/{id}/cancel: it may cancel a job",
        "GET /videos/{id}/content: it may hold the result of a job",
        "GET /videos/{id}: can an error come with HTTP 200?",
        "GET /videos/{id}: no place of a link to the clip",
        "GET /videos/{id}: the document lists no status words",
    ):
        assert wanted in told


def test_a_published_document_becomes_one_that_contracts_read() -> None:
    """3.0, without operation ids, with errors for every status, and a type with a charset."""
    content = {"application/json; charset=utf-8": {"schema": JOB}}
    paths = {
        "/videos/{id}": {
            "parameters": [{"$ref": "#/components/parameters/Id"}],
            "get": {"responses": {"2XX": {"content": content}, "default": answer(JOB)["200"]}},
        }
    }
    made = published(
        {
            **document(paths, components={"parameters": {"Id": parameter("id", "path")}}),
            "openapi": "3.0.4",
        }
    )
    query = made["paths"]["/videos/{id}"]["get"]
    assert (query["operationId"], query["parameters"][0]["name"]) == ("getVideosId", "id")
    assert [*query["responses"]] == ["400", "401", "402", "404", "429", "200"]
    assert [*query["responses"]["200"]["content"]] == ["application/json"]
