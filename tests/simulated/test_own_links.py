"""Files at the vendor's own host: they need the key, which no other host gets."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest
from polyreel import Client, Simulator
from polyreel.errors import DownloadError
from polyreel.flows import Fetch
from polyreel.keys import Secret
from polyreel.providers.base.calling import filled, key_scheme_of, task_place
from polyreel.providers.base.registry import all_providers, get_provider
from polyreel.simulator.engine import HOST
from polyreel_generated.contracts.vendors import VendorId
from polyreel_generated.shared import Job, Output
from support.vendors import vendor_ids

KEY: Final = "sk-canary-0123456789"
GIVING: Final = vendor_ids(
    [vendor for vendor, one in all_providers().items() if one.contract.operation("content")]
)
"""Those with a call that gives the file."""


def with_own_link(job: Job) -> Job:
    """The job as an answer shows it that has the link of this call alone."""
    provider = get_provider(job.vendor)
    call = provider.contract.operation("content")
    assert call is not None
    place = task_place(provider.contract, call)
    assert place is not None
    path = urlsplit(call.server).path + filled(call.path, {place.name: job.id})
    url = f"https://{HOST}/{job.vendor}{path}"
    return job.model_copy(update={"outputs": [Output(url=url)]})


@pytest.mark.parametrize("vendor", GIVING)
def test_a_file_is_had_by_the_call_for_it(vendor: VendorId, tmp_path: Path) -> None:
    """With the key, without which the vendor refuses it."""
    simulator = Simulator(seed=1, keys=frozenset({"simulated"}))
    with Client(simulator=simulator) as client:
        job = with_own_link(client.wait(client.submit(client.plan({"prompt": "a cat"}, vendor))))
        saved = client.download(job, tmp_path)
        assert [Path(one.path or "").stat().st_size > 0 for one in saved.outputs or ()] == [True]
        assert simulator.journal[-1][2] in str((job.outputs or [])[0].url)
        client.wire.keys = {vendor: Secret("another")}
        with pytest.raises(DownloadError, match="401"):
            client.download(job, tmp_path / "again")


@pytest.mark.parametrize("vendor", list(all_providers()))
def test_the_key_goes_to_no_other_host(vendor: VendorId, tmp_path: Path) -> None:
    """Whatever links an answer has; not even to the vendor's host on another port or by HTTP."""
    provider = get_provider(vendor)
    scheme, own = key_scheme_of(provider.contract), {*map(urlsplit, provider.servers)}
    with Client(keys={vendor: KEY}) as client:
        for parts in own:
            step = Fetch(vendor, f"{parts.scheme}://{parts.netloc}/a", tmp_path)
            sent = client.wire.headers(step, f"{parts.scheme}://{parts.netloc}")
            assert sent[scheme.header] == f"{scheme.prefix}{KEY}"
            for other in (
                f"http://{parts.netloc}",
                f"https://{parts.netloc}:8443",
                f"https://storage.{parts.netloc}",
                f"https://{parts.netloc}.example.com",
                f"https://{HOST}",
            ):
                assert KEY not in str(client.wire.headers(step, other))
