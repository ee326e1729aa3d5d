"""`polyreel listen` as a process."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from subprocess import PIPE
from typing import Final

import httpx
import pytest
from polyreel.flows import Reply
from polyreel.ledger.sqlite import Ledger
from polyreel.providers.base.registry import all_providers, get_provider
from support.cli import LEDGER, environment, process
from support.forked import Fresh, Program
from support.waiting import HANGS
from support.webhooks import HOOKED, OTHER_SECRET, SECRET, SIGNED, signed

FAILED: Final = {"prediction": {"id": "task", "state": "failed", "status": "FAILED"}}
"""What one of the vendors calls back with."""


@pytest.mark.parametrize(("number", "kind"), [(signal.SIGINT, Fresh), (signal.SIGTERM, Program)])
def test_the_command_takes_webhooks_until_it_is_stopped(
    tmp_path: Path, number: signal.Signals, kind: type[Program | Fresh]
) -> None:
    """In a process of its own: addresses as a document, the ledger of the command line, and a
    polite end.
    """
    vendor, webhook = next(
        (vendor, hook)
        for vendor in SIGNED
        if (hook := all_providers()[vendor].webhook)
        and get_provider(vendor).read(Reply(200, {}, json.dumps(FAILED).encode()), hook).status
        == "failed"
    )
    assert process("generate", "x", "--vendor", vendor, "--timeout", "0", cwd=tmp_path).code == 8
    with Ledger(tmp_path / LEDGER) as ledger:
        job = ledger.entries()[0].job
        assert job
        told = {"prediction": {**FAILED["prediction"], "id": job.id}}
        body = json.dumps(told).encode()
        env = environment(**{webhook.secret_variable or "": f"{OTHER_SECRET} {SECRET}"})
        command = ("-m", "polyreel", "listen", "--port", "0", "--json")
        with kind(*command, cwd=tmp_path, env=env, stdout=PIPE, stderr=PIPE) as listening:
            assert listening.stdout
            assert listening.stderr
            text = ""
            while not text.endswith("}\n") or text.count("{") != text.count("}"):
                text += listening.stdout.readline()
            address = json.loads(text)["vendors"][vendor]
            assert (
                httpx.post(address, headers=signed(body, OTHER_SECRET), content=body).status_code
                == 200
            )
            listening.send_signal(number)
            err = listening.stderr.read()
            assert listening.wait(HANGS) == 0
        assert f"{vendor} {job.id}: failed, applied" in err
        assert "Traceback" not in err
        assert ledger.entries()[0].state == "failed"


def test_a_missing_secret_is_reported(tmp_path: Path) -> None:
    """Before the first webhook is turned away."""
    command = ("-m", "polyreel", "listen", "--port", "0")
    with Program(*command, cwd=tmp_path, env=environment(), stderr=PIPE) as listening:
        assert listening.stderr
        lines = [listening.stderr.readline()]
        while lines[-1] and not lines[-1].startswith(f"{HOOKED[-1]}: http"):  # it listens
            lines.append(listening.stderr.readline())
        listening.send_signal(signal.SIGINT)
        assert listening.wait(HANGS) == 0
    for vendor in SIGNED:
        webhook = all_providers()[vendor].webhook
        assert webhook
        variable = webhook.secret_variable  # none where the vendor publishes its keys
        assert variable is None or any(variable in line for line in lines)
