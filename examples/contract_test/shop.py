"""An application: a clip for each product."""

from polyreel import Client, Job, VideoRequest


def clip_of(client: Client, product: str, folder: str) -> Job:
    """The product's clip. Called again, it is the same clip, and nothing more is paid."""
    request = VideoRequest(prompt=f"{product} on a table", duration=5, aspect_ratio="16:9")
    return client.generate(request, reference=product, output=folder)
