"""The same submit through polyreel's own client.

polyreel torture "python docs/torture/polyreel_client.py"
"""

import os

import polyreel

REQUEST = polyreel.VideoRequest(prompt="a cat walking through neon rain", duration=5)


def submit() -> polyreel.Job:
    """One submit at the vendor and address that the environment names."""
    vendor, key = os.environ["POLYREEL_TORTURE_VENDOR"], os.environ["POLYREEL_TORTURE_KEY"]
    addresses = {vendor: os.environ["POLYREEL_TORTURE_URL"]}
    # Vendors answer a submit within a second or two. One that is silent is not waited for here.
    with polyreel.Client(keys={vendor: key}, base_urls=addresses, call_timeout=2) as client:
        return client.submit(client.plan(REQUEST, vendor))


if __name__ == "__main__":
    submit()
