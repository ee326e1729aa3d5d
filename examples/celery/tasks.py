"""A task that can run twice, and is billed once."""

from celery import Celery
from polyreel import Client, StillRunningError, VideoRequest

app = Celery("clips")
app.conf.task_acks_late = True  # a task whose worker dies is run again


def clip(name: str, prompt: str) -> str:
    """Make the clip of a name; the result is its path."""
    with Client.from_env() as client:
        request = VideoRequest(prompt=prompt, duration=5)
        job = client.generate(request, reference=name, output="clips", timeout=600)
        return (job.outputs or [])[0].path or ""


retried = app.task(autoretry_for=(StillRunningError,), max_retries=None, default_retry_delay=30)
make_clip = retried(clip)
