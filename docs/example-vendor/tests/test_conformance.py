"""Acme Video keeps every law."""

from acme_video import AcmeVideo
from polyreel.testing.conformance import ProviderConformance


class TestAcmeVideo(ProviderConformance):
    """Run by pytest like any test."""

    provider = AcmeVideo
    requests = [  # noqa: RUF012
        {
            "prompt": "a cat walks through neon rain",
            "duration": 8,
            "aspect_ratio": "9:16",
            "audio": True,
        },
        {"first_frame": "https://example.com/cat.png", "prompt": "it waves", "resolution": "1080p"},
    ]
