"""Traffic of a gateway that is recorded, verified, and served again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pytest
from polyreel.cli.gateway_starting import use_records
from polyreel.errors import RequestError
from polyreel.flows import Reply
from polyreel.gateway.recording import Replay
from polyreel.providers.base.provider import Provider
from polyreel.simulator import ready_made
from polyreel.verification.recordings import read_recording
from polyreel.verification.reports import verify
from support.gateway import HOST, gateway
from support.server import PROVIDERS, each_vendor, poll
from support.swaps import asked, first_swap, id_in, with_prompt

SECRET: Final = "sk-canary-0123456789abcdef"
KEY: Final = {"Authorization": f"Bearer {SECRET}"}


@pytest.fixture(autouse=True)
def ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in the files is not what these tests are about."""
    monkeypatch.setattr(ready_made, "is_used", lambda _: True)


@each_vendor
def test_a_recorded_clip_is_made_again_without_a_vendor(provider: Provider, tmp_path: Path) -> None:
    """Answer by answer, with links that lead to where it is served now; the spec has all of it."""
    face, back, made = first_swap(provider)
    file = tmp_path / "calls.jsonl"
    with gateway(tmp_path / "first", back) as stage:
        use_records(stage.gateway, file, None)
        task = id_in(asked(stage, made, token=SECRET), face)
        before = poll(stage, face, task).status
        stage.simulator.clock.sleep(1000)
        (link,) = poll(stage, face, task).urls
        clip = stage.call("GET", link)
    content = file.read_bytes()
    assert file.stat().st_mode & 0o777 == 0o600
    assert SECRET.encode() not in content
    assert b"signature=" not in content.replace(b"signature=****", b"")
    report = verify(read_recording(content, file.name), PROVIDERS)
    assert report.fits, report.differences
    assert report.matched >= 3
    with gateway(tmp_path / "second", back) as stage:
        use_records(stage.gateway, None, file)
        assert id_in(asked(stage, made, token="another"), face) == task
        assert poll(stage, face, task).status == before
        (link,) = poll(stage, face, task).urls
        (again,) = poll(stage, face, task).urls
        assert link == again
        assert link.startswith(HOST)
        assert stage.call("GET", link).content == clip.content
        unknown = asked(stage, made, with_prompt(made, "a dog"))
        assert not unknown.ok
        assert b"no such call" in unknown.content
        assert stage.simulator.journal == []


def test_the_own_apis_are_recorded_too(tmp_path: Path) -> None:
    """With what they refuse."""
    back = first_swap(PROVIDERS[0]).back
    file = tmp_path / "calls.jsonl"
    body = json.dumps({"request": {"model": "nonesuch", "prompt": "a cat"}}).encode()
    headers = {**KEY, "Content-Type": "application/json"}
    replies: list[Reply] = []
    for name in ("first", "second"):
        with gateway(tmp_path / name, back) as stage:
            if name == "first":
                use_records(stage.gateway, file, None)
            else:
                use_records(stage.gateway, None, file)
            replies.append(stage.call("POST", f"{HOST}/v1/jobs", headers, body))
            replies.append(stage.call("GET", f"{HOST}/v1/jobs?limit=5", KEY))
    first, second = replies[:2], replies[2:]
    assert [one.status for one in first] == [400, 200]
    assert [(one.status, one.content) for one in first] == [
        (one.status, one.content) for one in second
    ]


@pytest.mark.parametrize("content", [b"", b"{}", b'{"method": "GET", "url": "https://x.example/"}'])
def test_what_is_no_recording_is_refused(content: bytes, tmp_path: Path) -> None:
    """At the start, with its name."""
    back = first_swap(PROVIDERS[0]).back
    with gateway(tmp_path, back) as stage:
        faces, own = stage.gateway.faces, stage.gateway.own
        with pytest.raises(RequestError, match=r"calls\.jsonl"):
            Replay(content, "calls.jsonl", faces, own)
