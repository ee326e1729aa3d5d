"""A key that a vendor echoes is not shown, however it is written."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from urllib.parse import quote

import pytest
from polyreel.flows import Reply
from polyreel.keys import Secret
from polyreel.ledger.events import Keep, Settle, sealed
from polyreel_generated.shared import Job

KEY = "sk-CANARY+0123/456789abcdef=="
SECRET = Secret.check(KEY, "test")


def unicode_escapes(text: str) -> str:
    return "".join(f"\\u{ord(one):04x}" for one in text)


def body(text: str) -> bytes:
    return b'{"message": "bad key ' + text.encode() + b'!", "id": "task-1"}'


ECHOES: dict[str, Callable[[], bytes]] = {
    "plain": lambda: body(KEY),
    "escaped slash": lambda: body(KEY.replace("/", "\\/")),
    "unicode escapes": lambda: body(unicode_escapes(KEY)),
    "capital escapes": lambda: body(unicode_escapes(KEY).upper().replace("\\U", "\\u")),
    "some escapes": lambda: body(unicode_escapes(KEY[:5]) + KEY[5:]),
    "utf-16": lambda: body(KEY).decode().encode("utf-16"),
    "utf-16-be": lambda: body(KEY).decode().encode("utf-16-be"),
    "utf-32-le": lambda: body(unicode_escapes(KEY)).decode().encode("utf-32-le"),
    "base64": lambda: body(base64.b64encode(KEY.encode()).decode()),
    "base64 of header": lambda: body(base64.b64encode(f"Bearer {KEY}".encode()).decode()),
    "base64 of basic": lambda: body(base64.b64encode(f"a:{KEY}:b".encode()).decode()),
    "url-safe base64": lambda: body(base64.urlsafe_b64encode(f"ab{KEY}".encode()).decode()),
    "percent": lambda: body(quote(KEY, safe="")),
    "percent, every character": lambda: body("".join(f"%{ord(one):02X}" for one in KEY)),
    "percent twice": lambda: body(quote(quote(KEY, safe=""), safe="")),
    "json in json": lambda: body(json.dumps(json.dumps(KEY.replace("/", "\\/")))[1:-1]),
    "html": lambda: body("".join(f"&#{ord(one)};" for one in KEY)),
}


@pytest.mark.parametrize("echo", ECHOES)
def test_an_echoed_key_is_not_shown(echo: str) -> None:
    """The rest of the answer can still be read."""
    content = ECHOES[echo]()
    shown = SECRET.redact(content)
    assert shown != content
    read = Reply(200, {}, shown).json()
    assert read["id"] == "task-1"
    assert read["message"].startswith("bad key ")
    assert "****" in read["message"]
    assert KEY[4:-4] not in read["message"]
    assert len(read["message"]) < 40


def test_answers_without_the_key_stay_as_they_are() -> None:
    """Byte by byte, whatever escapes are in them."""
    rows = (b"\\" * 300_000, b"%25" * 100_000, b"&#0" * 100_000, b"\0" * 300_000)
    for content in (
        b"",
        *rows,
        bytes(range(256)),
        b'{"url": "https:\\/\\/a.example\\/%20\\u00e9"}',
    ):
        assert SECRET.redact(content) == content


def test_the_ledger_writes_no_key_down() -> None:
    """Neither in a reason nor in a job, in any of the ways above that a text can have."""
    for echo in ECHOES.values():
        text = echo().decode("latin-1")
        job = Job(
            vendor="acme",
            model="one",
            workflow="text-to-video",
            id="task-1",
            status="failed",
            simulated=False,
            raw={"message": text},
        )
        for event in (Keep(job), Settle("e", "ambiguous", reason=text, job=job)):
            written = sealed(event, [SECRET])
            assert isinstance(written, Keep | Settle)
            assert written.job is not None
            words = [str((written.job.raw or {})["message"])]
            words += [written.reason or ""] if isinstance(written, Settle) else []
            for one in words:
                assert "****" in one.replace("\0", "")
                assert SECRET.redact_text(one) == one


@pytest.mark.parametrize("mark", ['"', "\\", "'", "<"])
def test_the_ledger_writes_no_key_down_with_letters_that_json_escapes(mark: str) -> None:
    secret = Secret.check(f"sk-CANARY{mark}0123{mark}456789abcdef", "test")
    given = {"vendor": "acme", "model": "one", "workflow": "text-to-video", "simulated": False}
    raw = {"message": f"bad key {secret.reveal()}!"}
    job = Job.model_validate({**given, "id": "task-1", "status": "failed", "raw": raw})
    written = sealed(Keep(job), [SECRET, secret])
    assert isinstance(written, Keep)
    assert written.job.raw == {"message": "bad key ****!"}
