"""A gateway before the vendors of a torture: faults behind it and before it, each billed once."""

from __future__ import annotations

from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Final, get_args
from urllib.parse import urlsplit

import pytest
from polyreel.gateway.torture import GatewayScene, Where
from polyreel.providers.base.calling import BEARER
from polyreel.testing.torture import Cell, Scene
from support.cli import stranger
from support.server import PROVIDERS, key_of
from support.swaps import first_swap
from support.waiting import HANGS

FACE, _, MADE = first_swap(PROVIDERS[0])
SPEED: Final = 100.0
DAY: Final = 86_400.0


FACE_CALL: Final = (MADE.route.path if MADE.route is not None else "", MADE.content)
OWN_CALL: Final = ("/v1/jobs", b'{"request": {"prompt": "a cat"}}')


def status(scene: Scene, call: tuple[str, bytes], headers: dict[str, str]) -> int | None:
    """The status of a submit; None where its answer is lost."""
    url, (path, content) = urlsplit(scene.url), call
    connection = HTTPConnection(url.netloc, timeout=HANGS)
    try:
        connection.request("POST", url.path + path, content, headers)
        return connection.getresponse().status
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()


@pytest.mark.parametrize("is_own", [False, True], ids=["face", "own"])
@pytest.mark.parametrize("where", get_args(Where))
def test_a_fault_of_a_submit_is_billed_once(where: Where, *, is_own: bool) -> None:
    """A client that tries again under its key, or the same body, is never billed a second time."""
    call, own = (OWN_CALL, BEARER.headers("any-key")) if is_own else (FACE_CALL, key_of(FACE))
    plain = {**own, "Content-Type": "application/json"}
    keyed = {**plain, "Idempotency-Key": "k" * 20}
    for headers, dedupe in ((keyed, None), (plain, DAY)):
        cell = Cell(FACE.id, "lost-reset")
        with GatewayScene(where, dedupe, is_own)(cell, SPEED) as scene:
            first, second = (status(scene, call, headers) for _ in range(2))
            assert scene.fired[0][1] == "lost-reset"
        assert scene.bill.count() == 1
        if where == "before":
            assert first is None
            assert second == 200


def test_the_place_of_the_faults_is_one_of_two(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Another word is refused before anything is run."""
    found = stranger(capsys, monkeypatch, tmp_path)("torture", "true", "--gateway", "beside")
    assert found.code == 2
    assert "behind or before" in found.err
    for option in ("--own-api", "--dedupe=10"):
        found = stranger(capsys, monkeypatch, tmp_path)("torture", "true", option)
        assert found.code == 2
        assert "it needs --gateway" in found.err
