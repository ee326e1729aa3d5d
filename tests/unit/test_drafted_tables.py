"""What `polyreel new-vendor` maps and reads, from published documents."""

from pathlib import Path

import pytest
from polyreel.mapping.reports import MappingReport
from polyreel.places import JsonObject
from polyreel.scaffold import package
from polyreel.scaffold.published import published
from polyreel.testing.contracts import unfinished
from support.drafts import (
    CLIP,
    JOB,
    PLAIN,
    STATES,
    answer,
    contract_of,
    document,
    get,
    parameter,
    post,
    provider_of,
    shape,
    text,
)

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


def listed(*forms: JsonObject) -> JsonObject:
    return {"type": "array", "items": forms[0] if len(forms) == 1 else {"oneOf": [*forms]}}


LINK = shape(url=text())
FRAME = shape(
    type=text(enum=["image_url"]),
    image_url=LINK,
    frame_type=text(enum=["first_frame", "last_frame"]),
)
PARTS = {
    "allOf": [
        shape(type=text(enum=["image_url"]), image_url=LINK),
        shape(frame_type=text(enum=["first_frame", "last_frame"])),
    ]
}
MARKS = [{"type": "image_url", "frame_type": word} for word in ("first_frame", "last_frame")]
TYPED: list[tuple[str, JsonObject, dict[str, tuple[JsonObject, str]]]] = [
    (
        "frame_images",
        listed(PARTS),
        {
            "first_frame": (MARKS[0], "image_url.url"),
            "last_frame": (MARKS[1], "image_url.url"),
        },
    ),
    (
        "frames",
        listed(FRAME),
        {
            "first_frame": (MARKS[0], "image_url.url"),
            "last_frame": (MARKS[1], "image_url.url"),
        },
    ),
    (
        "input_references",
        listed(
            *(shape(type=text(const=word), **{word: LINK}) for word in ("image_url", "video_url"))
        ),
        {
            "reference_images": ({"type": "image_url"}, "image_url.url"),
            "reference_videos": ({"type": "video_url"}, "video_url.url"),
        },
    ),
    (
        "contents",
        listed(
            shape(type=text(enum=["prompt"]), text=text()),
            shape(type=text(enum=["first_frame", "last_frame"]), url=text()),
        ),
        {
            "prompt": ({"type": "prompt"}, "text"),
            "first_frame": ({"type": "first_frame"}, "url"),
            "last_frame": ({"type": "last_frame"}, "url"),
        },
    ),
    (
        "images",
        listed(shape(position=text(enum=["first", "last"]), uri=text())),
        {
            "first_frame": ({"position": "first"}, "uri"),
            "last_frame": ({"position": "last"}, "uri"),
        },
    ),
]


@pytest.mark.parametrize(("place", "node", "wanted"), TYPED, ids=[place for place, _, _ in TYPED])
def test_a_list_of_typed_items_is_a_row(
    place: str,
    node: JsonObject,
    wanted: dict[str, tuple[JsonObject, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One shared field for each kind, whose marks are constants in the contract."""
    own = {} if "prompt" in wanted else {"text": text()}
    body = shape(model=text(const="one"), **own, **{place: node})
    made = package("fresh", document({"/videos": post(body), "/videos/{id}": get()}))
    provider = provider_of(made, tmp_path, monkeypatch)
    route = next(one for one in provider.routes if one.workflow != "text-to-video")
    row = route.by_place[place]
    assert {item.shared: (item.marks, item.member) for item in row.items} == wanted
    value = {"prompt": "a cat"} | {
        name: ["https://a.example/1"] if name.endswith("s") else "https://a.example/1"
        for name in wanted
        if name != "prompt"
    }
    native: JsonObject = {"model": "one"} | ({} if "prompt" in wanted else {"text": "a cat"})
    report = MappingReport()
    row.write(value, native, {}, report)
    assert report.problems == []
    assert len(native[place]) == len(wanted)
    assert provider.contract.sends(route.schema, native) == []
    assert provider.contract.sends(route.schema, {**native, place: [{"type": "none"}]}) != []


def test_kinds_of_items_that_no_field_fits_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the row, or beside the rows where none fits."""
    odd = shape(type=text(enum=["first_frame", "smell"]), url=text())
    body = shape(
        text=text(), inputs_of_any_kind=listed(odd), smells=listed(shape(type=text(const="smell")))
    )
    made = package("fresh", document({"/videos": post(body), "/videos/{id}": get()}))
    provider = provider_of(made, tmp_path, monkeypatch)
    reported = "\n".join(unfinished(provider))
    assert "inputs_of_any_kind: what are items of the kinds ['smell']?" in reported
    assert "smells: items of the kinds smell" in reported


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


def test_answers_with_lists_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At numbered places, and several ids in the query at once; the id of the call is none."""
    task = shape(id=text(), status=text(enum=STATES), outputs=listed(shape(url=text())))
    code = {"type": "integer", "description": "0 is success"}
    created = shape(code=code, request_id=text(), data=task)
    asked = shape(code=code, request_id=text(), data=listed(task))
    paths = {
        "/text-to-video/{model}": post(shape(prompt=text()), created),
        "/tasks": get(asked, parameter("task_ids")),
    }
    made = package("fresh", document(paths))
    assert made.calls == ("POST /text-to-video/{model} -> GET /tasks",)
    provider = provider_of(made, tmp_path, monkeypatch)
    reads = provider.reads
    assert reads.id[0] in {"data.id", "data.0.id"}
    assert {"data.id", "data.0.id"} <= {*reads.id}
    assert "request_id" not in reads.id
    assert {*reads.status} == {"data.status", "data.0.status"}
    assert {*reads.outputs} == {"data.outputs", "data.0.outputs"}
    query = provider.contract.operation("get")
    assert query.spec["x-polyreel-tasks"] == "data"
    assert query.spec["parameters"][0]["x-polyreel-task-id"] == {"separator": ","}
    shown = {name: value for *_, name, value in provider.contract.replies(query)}
    assert shown["succeeded"]["data"][0]["status"] == "completed"
    assert shown["succeeded"]["data"][0]["outputs"] == [{"url": "https://files.example/1.mp4"}]


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
        "/videos": post(shape(input={"type": "object"}), shape(id=text())),
        "/videos/{id}": get(shape(id=text(), status=text(), code={"type": "integer"})),
        "/videos/{id}/retry": {"post": {"responses": {}}},
        "/videos/{id}/content": {"get": {"responses": {}}},
    }
    reported = "\n".join(package("fresh", document(paths)).not_done)
    for wanted in (
        "POST /videos: input: the inputs of the models are not in the document",
        "POST /videos/{id}/retry: it goes on with a job",
        "GET /videos/{id}/content: it may hold the result of a job",
        "GET /videos/{id}: can an error come with HTTP 200?",
        "GET /videos/{id}: no place of a link to the clip",
        "GET /videos/{id}: the document lists no status words",
    ):
        assert wanted in reported


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


def test_results_cancels_and_links_are_drafted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second call for the result where the status has none; a call that cancels; own links."""
    queued = shape(
        request_id=text(),
        status=text(enum=["IN_QUEUE", "COMPLETED"]),
        status_url=text(),
        response_url=text(),
    )
    job = "/acme/video/requests/{request_id}"
    paths = {
        "/acme/video": post(CLIP, queued),
        job: get(shape(video=shape(url=text()))),
        f"{job}/cancel": {"put": {"responses": answer(shape(success={"type": "boolean"}))}},
        f"{job}/status": get(queued),
    }
    made = package("fresh", document(paths))
    provider = provider_of(made, tmp_path, monkeypatch)
    roles = {one.role: one.path for one in provider.contract.operations.values()}
    assert roles == {
        "create": "/acme/video",
        "result": job,
        "cancel": f"{job}/cancel",
        "get": f"{job}/status",
    }
    reads = provider.reads
    assert (reads.locator, reads.result) == (("status_url",), ("response_url",))
    assert (reads.outputs, reads.id[0]) == (("video.url",), "request_id")
    assert any("bill for a job that is stopped" in one for one in unfinished(provider))
    shown = {
        name: value
        for *_, name, value in provider.contract.replies(provider.contract.operation("get"))
    }
    assert shown["queued"]["status_url"].startswith("https://api.vendor.example/acme/video/")


@pytest.mark.parametrize(
    ("about", "wanted"),
    [
        ({"description": "0 for success, else an error"}, {"place": "code", "values": [0]}),
        ({"example": 0}, {"place": "code", "values": [0]}),
        ({"description": "The code of the error"}, None),
    ],
)
def test_errors_in_a_success_are_drafted_where_the_document_tells_them(
    about: JsonObject, wanted: JsonObject | None
) -> None:
    """What no error is, the document says; which codes prove a refusal, it does not."""
    reply = shape(code={"type": "integer", **about}, data=JOB)
    made = package("fresh", document({"/videos": post(CLIP, reply), "/videos/{id}": get(reply)}))
    assert contract_of(made).get("x-polyreel-ok") == wanted
    assert any("HTTP 200" in one for one in made.not_done)


def test_a_draft_can_be_simulated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the document has no example that fits, and no word for a state, one is made, and is to
    do; what repeats the request is no part of it.
    """
    assets = shape(video=text()) | {"example": {"assets": {"video": "https://a.example/1"}}}
    job = shape(
        id=text(),
        state=text(enum=["pending", "done", "failed"]),
        assets=assets,
        request=shape(image=text(example="https://a.example/1")),
    )
    body = shape(model=text(enum=["one"]), prompt=text()) | {"required": ["model"]}
    paths = {"/videos": post(body, job), "/videos/{id}": get(job)}
    content = paths["/videos"]["post"]["requestBody"]["content"]["application/json"]
    content["examples"] = {"bad": {"value": {"prompt": "a cat"}}}
    provider = provider_of(package("fresh", document(paths)), tmp_path, monkeypatch)
    create, query = (provider.contract.operation(role) for role in ("create", "get"))
    assert create.request_examples == {"PostVideosBody": {"model": "one", "prompt": "text"}}
    shown = {name: value for *_, name, value in provider.contract.replies(query)}
    assert shown["running"] == {"id": "task_0123456789", "state": "running"} | {
        "assets": shown["running"]["assets"]
    }
    assert shown["succeeded"]["assets"] == {"video": "https://files.example/1.mp4"}
    assert any(
        "no status word of the document means running" in one for one in unfinished(provider)
    )
