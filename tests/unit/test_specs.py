"""Every spec keeps the conventions that the generators, the lens and the simulator rely on.

A convention is a *law*: a small function that yields complaints about a spec, registered together
with snippets that must make it complain. So no law can pass because it looks at nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final

import pytest
import support.spec_laws_calls  # noqa: F401 - it registers its laws
from polyreel.providers.base.contract import Contract, Operation
from polyreel.providers.base.schemas import SCHEMAS
from support.loops import Case, hold_for_all, in_one, in_one_test
from support.paths import ROOT
from support.spec_laws import LAWS
from support.specs import (
    NAMES,
    SHARED,
    VENDORS,
    chosen,
    contract,
    json_body,
    operations,
    text,
)

VENDORS_ONLY: Final = {"closed_object"}
BROKEN: Final = [
    pytest.param(kind, snippet, id=f"{kind}-{index}")
    for kind, (_, snippets) in LAWS.items()
    for index, snippet in enumerate(snippets)
]


@pytest.mark.parametrize("name", NAMES)
def test_spec_keeps_the_laws(name: str) -> None:
    """No law has a complaint about any spec."""

    def keeps(kind: str) -> None:
        assert list(LAWS[kind].check(text(name))) == []

    kinds = [kind for kind in LAWS if name != SHARED or kind not in VENDORS_ONLY]
    hold_for_all(keeps, ((kind, (kind,)) for kind in kinds))


@in_one
@pytest.mark.parametrize(("kind", "snippet"), BROKEN)
def test_law_can_be_broken(kind: str, snippet: str) -> None:
    """Each law complains about each of its bad snippets."""
    assert list(LAWS[kind].check(snippet))


NEAR_MISSES: Final = """
openapi: 3.1.1
info: {title: t, version: "2026-11-20"}
paths:
  /x:
    post:
      operationId: createX
      tags: [generation]
      summary: Make one.
      x-polyreel-role: create
      x-polyreel-idempotency: {mode: replay, header: Idempotency-Key, source: s}
      x-polyreel-not-accepted: [400, 429]
      requestBody:
        content:
          application/json:
            schema: {$ref: '#/components/schemas/Asked'}
            examples:
              one:
                value:
                  {ratio: '16:9', parts: [{seconds: 3}], default: {$ref: elsewhere.yaml}}
      responses:
        '200':
          description: Yes, made.
          content:
            application/json:
              schema: {$ref: '#/components/schemas/Made'}
              examples: {queued: {value: {status: never seen, enum: 1, const: true}}}
        '429': {description: Empty.}
components:
  schemas:
    Asked:
      type: object
      additionalProperties: true
      required: [ratio]
      properties:
        ratio: {type: string, enum: ['16:9', '9:16'], default: '16:9'}
        parts: {type: array, items: {$ref: '#/components/schemas/Part'}}
        default: {}
        flag: {type: boolean, const: true}
        note: {anyOf: [{type: string, enum: [a]}, {type: 'null'}]}
      x-polyreel-send-required: [parts]
      x-polyreel-rules:
        - {total: /parts/*/seconds, equals: /ratio, source: s}
    Part: {type: object, properties: {seconds: {type: integer, examples: [3]}}}
    Made:
      type: object
      properties:
        status: {type: string, examples: [queued]}
        enum: {type: integer}
        const: {type: boolean}
"""


@in_one
@pytest.mark.parametrize("kind", LAWS)
def test_law_tells_near_misses_apart(kind: str) -> None:
    """No law complains about a spec that comes close to its trap without falling into it."""
    assert list(LAWS[kind].check(NEAR_MISSES)) == []


# -- examples, through the reader that polyreel itself uses ----------------------------------------


def each() -> Iterator[Case]:
    """Every operation of every vendor. (The specs are read when a test runs.)"""
    for reader_name in VENDORS:
        reader = contract(reader_name)
        for operation in (*reader.operations.values(), *reader.read_only_operations.values()):
            yield f"{reader_name}-{operation.id}", (reader, operation)


each_operation = in_one_test(each)


def test_every_vendor_can_create_and_read() -> None:
    """The tests below have something to look at."""
    for name in VENDORS:
        reader = contract(name)
        assert reader.operation("create"), name
        assert reader.operation("get"), name
        known = {**reader.operations, **reader.read_only_operations}
        assert len(known) == len(list(operations(reader.document))), name


@each_operation
def test_request_examples_fit(reader: Contract, operation: Operation) -> None:
    """Each request example is a body of its operation and of the one workflow that it chooses,
    rules included.
    """
    media = json_body(operation)
    if media is None:
        return
    assert operation.request_examples
    for name, body in operation.request_examples.items():
        assert reader.fits(media["schema"], body) == [], name
        workflows = chosen(reader, operation, body)
        assert len(workflows) == 1, name
        assert reader.accepts(workflows[0], body) == [], name


@each_operation
def test_every_workflow_has_an_example(reader: Contract, operation: Operation) -> None:
    """Each request schema is chosen by an example, and by one that polyreel itself may send."""
    workflows = set(operation.request_schemas)
    examples = [
        (chosen(reader, operation, body)[0], body) for body in operation.request_examples.values()
    ]
    assert {name for name, _ in examples} == workflows
    assert {name for name, body in examples if not reader.sends(name, body)} == workflows
    assert workflows or operation.role not in {"create", "stream"}


@each_operation
def test_discriminator_names_every_workflow(reader: Contract, operation: Operation) -> None:
    """The mapping names each workflow once, by the constant that the workflow's own schema asks
    for.
    """
    discriminator = (json_body(operation) or {}).get("schema", {}).get("discriminator")
    if discriminator is None:
        return
    mapping = {
        word: target.removeprefix(SCHEMAS) for word, target in discriminator["mapping"].items()
    }
    assert sorted(mapping.values()) == sorted(operation.request_schemas)
    for word, name in mapping.items():
        choice = reader.property(name, discriminator["propertyName"])
        assert choice, name
        assert choice["const"] == word


@each_operation
def test_reply_examples_fit(reader: Contract, operation: Operation) -> None:
    """Each reply example has the shape that its status is documented with."""
    for status, content_type, name, value in reader.replies(operation):
        if content_type == "application/json":
            schema = reader.reply_schema(operation, status)
            assert schema, (status, name)
            assert reader.fits(schema, value) == [], (status, name)
        else:
            assert isinstance(value, str), (status, name)


@each_operation
def test_event_examples_fit(reader: Contract, operation: Operation) -> None:
    """Each `data:` line of a stream's example has the shape of the stream's events."""
    streams = [
        (status, name, value)
        for status, kind, name, value in reader.replies(operation)
        if "event" in kind
    ]
    for status, name, value in streams:
        reply = reader.resolve(operation.spec["responses"][str(status)])
        event = {"$ref": reply["content"]["text/event-stream"]["schema"]["x-polyreel-event"]}
        events = [
            json.loads(line.removeprefix("data:"))
            for line in value.splitlines()
            if line.startswith("data:")
        ]
        assert events, name
        assert [reader.fits(event, one) for one in events] == [[]] * len(events), name
    assert streams or operation.role != "stream"


@each_operation
def test_a_wrong_body_does_not_fit(reader: Contract, operation: Operation) -> None:
    """The two tests above can fail: a body that is no object fits no request and no reply."""
    for name in operation.request_schemas:
        assert reader.accepts(name, "text")
        assert reader.sends(name, {"x-unknown": 1})
    for status in map(int, operation.spec["responses"]):
        if schema := reader.reply_schema(operation, status):
            assert reader.fits(schema, "text"), status


def test_every_own_key_of_a_spec_is_read_by_code() -> None:
    """An `x-polyreel-*` key that nothing reads says something that nobody keeps."""
    keys = {
        key
        for path in sorted((ROOT / "specs").glob("**/*.yaml"))
        for key in re.findall(r"\bx-polyreel-[a-z-]+", path.read_text(encoding="utf-8"))
    }
    code = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "adapters").glob("polyreel/**/*.py")
    )
    assert {key for key in keys if f'"{key}"' not in code} == set()
