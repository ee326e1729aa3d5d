"""What `polyreel new-vendor` maps and reads, from published documents."""

from pathlib import Path

import pytest
from polyreel.places import JsonObject
from polyreel.scaffold import package
from polyreel.scaffold.published import published
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
