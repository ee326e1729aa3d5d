"""Which calls `polyreel new-vendor` drafts from published documents, and how they are made."""

from pathlib import Path

import pytest
from polyreel.errors import RequestError
from polyreel.places import JsonObject
from polyreel.scaffold import Wishes, package
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
        "outdated videos beside images that have no status query",
        {
            "/images": post(CLIP, shape(data={"type": "array", "items": {"type": "object"}})),
            "/batches/{batch_id}": get(),
            "/videos": post(CLIP, deprecated=True),
            "/videos/{video_id}": get(deprecated=True),
        },
        "POST /videos -> GET /videos/{video_id}",
    ),
    (
        "outdated videos beside those of today",
        {
            "/v1/videos": post(CLIP, deprecated=True),
            "/v1/videos/{id}": get(deprecated=True),
            "/v2/videos": post(CLIP),
            "/v2/videos/{id}": get(),
        },
        "POST /v2/videos -> GET /v2/videos/{id}",
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
        "no word of the path tells what is made",
        {
            "/v1/jobs": {**get(shape(data=text())), **post(CLIP)},
            "/v1/jobs/{job_id}": get(),
            "/v1/models/{id}": get(),
        },
        "POST /v1/jobs -> GET /v1/jobs/{job_id}",
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


def test_a_paid_call_with_another_status_query_is_reported() -> None:
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
    ("wishes", "reported"),
    [
        (Wishes(create=["POST /none"]), "--create POST /none: the document has no such call"),
        (Wishes(get="/none/{id}"), "--get /none/{id}: the document has no such call"),
        (Wishes(get="list"), "takes no id"),
        (Wishes(paths=["/none*"]), "--paths /none*: no path"),
        (Wishes(only=["none-*"]), "--only none-*: no model or workflow fits; there are one-1"),
    ],
)
def test_what_the_document_does_not_have_is_reported(wishes: Wishes, reported: str) -> None:
    """With what it has."""
    spec = document({**PLAIN, "/videos/all": get(shape(data=text()), operationId="list")})
    with pytest.raises(RequestError) as refused:
        package("fresh", spec, wishes)
    assert reported in str(refused.value)


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


def test_models_in_the_path_are_values_of_routes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From closed lists; a value with slashes is marked; what no document says is to do."""
    model = parameter("model_id", "path", schema=text(enum=["acme/one", "acme/two"]))
    tier = parameter("tier", "path")
    paths = {
        "/models/{model_id}/{tier}/predictions": post(
            shape(prompt=text()), parameters=[model, tier]
        ),
        "/predictions/{id}": get(),
    }
    made = package("fresh", document(paths))
    assert made.calls == ("POST /models/{model_id}/{tier}/predictions -> GET /predictions/{id}",)
    assert "check the values of its path in `path_values`: model_id, tier" in made.not_done[0]
    provider = provider_of(made, tmp_path, monkeypatch)
    assert {route.model: route.path_values for route in provider.routes} == {
        "acme-one": {"model_id": "acme/one", "tier": "TODO"},
        "acme-two": {"model_id": "acme/two", "tier": "TODO"},
    }
    assert provider.routes[0].path == "/models/acme/one/TODO/predictions"
    assert provider.contract.operation("create").slashed == "model_id"


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


def test_examples_of_a_schema_are_those_of_its_body() -> None:
    """Some documents write them as the examples of bodies are: with a summary and a value."""
    body = {**CLIP, "examples": [{"summary": "Plain", "value": {"prompt": "a lake"}}]}
    made = package("fresh", document({"/videos": post(body), "/videos/{id}": get()}))
    call = contract_of(made)["paths"]["/videos"]["post"]
    shown = call["requestBody"]["content"]["application/json"]["examples"]
    assert [one["value"] for one in shown.values()] == [{"prompt": "a lake"}]
