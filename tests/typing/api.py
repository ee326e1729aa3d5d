"""A user's code as a type checker sees it: checked, never run.

Every wrong line is marked, and has to stay wrong.
"""

from collections.abc import Awaitable, Coroutine
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, assert_type

import polyreel
from PIL import Image
from polyreel import AsyncClient, Client, Job, Plan, Simulator, VideoRequest
from polyreel.errors import Billed, RejectedError
from polyreel.plans.planning import PORTABLE
from polyreel.plans.verdicts import Verdict, Violation
from polyreel.providers.base.provider import Provider

ACME = polyreel.get_provider("acme")  # a vendor of another package, or a name that was read


def requests() -> None:
    request = VideoRequest(
        prompt="a cat", duration=5, audio=True, shots=[polyreel.Shot(prompt="it sits", duration=2)]
    )
    assert_type(request.prompt, str | None)
    assert_type(request.duration, int | Literal["auto"] | None)
    assert_type(request.audio, bool | None)
    assert_type(request.reference_images, list[str] | None)
    assert_type(polyreel.ImageRequest(prompt="a cat", count=2).count, int | None)
    subject = polyreel.ElementRequest(name="boat", front_image=Path("a.png"), images=[b"..."])
    assert_type(subject.front_image, str | None)
    VideoRequest(first_frame=Path("a.png"), last_frame=b"...", reference_images=[Path("a"), "b"])
    VideoRequest(source_video=BytesIO(b"..."), shots=[{"prompt": "it sits"}], duration="auto")
    with Path("a.mp4").open("rb") as clip, Path("a.txt").open() as text:
        VideoRequest(character_image=Image.new("RGB", (300, 300)), motion_video=clip)
        VideoRequest(first_frame=text)  # type: ignore[arg-type]
    VideoRequest(elements=["id-1", polyreel.Element(front_image=Path("a.png"), images=[b"..."])])
    VideoRequest(first_frame=None, extra={"acme": {"mode": "fast"}})
    assert_type(VideoRequest(first_frame=Path("a.png")).first_frame, str | None)
    polyreel.ImageRequest(reference_images=(Path("a.png"), Image.new("RGB", (300, 300))))
    assert_type(request.model_copy(update={"duration": 8}), VideoRequest)
    VideoRequest(first_frame=5)  # type: ignore[arg-type]
    VideoRequest(reference_images="a.png")  # type: ignore[arg-type]
    VideoRequest("a cat")  # type: ignore[call-arg]
    polyreel.Shot(promt="it sits")  # type: ignore[call-arg]
    polyreel.Shot(prompt=Path("a.txt"))  # type: ignore[arg-type]
    VideoRequest(prompt=1)  # type: ignore[arg-type]
    VideoRequest(promt="a cat")  # type: ignore[call-arg]
    VideoRequest(prompt="a cat", resolution="8k")  # type: ignore[arg-type]


def plans(request: VideoRequest) -> None:
    plan = polyreel.plan(request, ACME, allow={"watermark": "drop"}, preferences=PORTABLE)
    assert_type(plan, Plan)
    assert_type(plan.check(), Plan)
    assert_type(plan.content, bytes)
    assert_type(plan.refused, bool)
    assert_type(plan.verdicts, tuple[Verdict, ...])
    assert_type(plan.violations, tuple[Violation, ...])
    assert_type(plan.violations[0].served_by, tuple[str, ...])
    assert_type(polyreel.get_provider("acme"), Provider)
    polyreel.plan({"prompt": "a mapping is a request too"}, polyreel.get_provider("acme"))
    polyreel.plan("a cat", ACME)  # type: ignore[arg-type]
    polyreel.plan(request, "acme")  # type: ignore[arg-type]
    polyreel.plan(request, ACME.id)  # type: ignore[arg-type]
    polyreel.plan(request)  # type: ignore[call-arg]
    polyreel.plan(request, ACME, allow={"watermark": "keep"})  # type: ignore[dict-item]


def blocking(request: VideoRequest, received: list[Job]) -> None:
    with Client(
        keys={"acme": "sk-..."}, vendors=["acme"], base_urls={"acme": "https://..."}
    ) as client:
        assert_type(client, Client)
        assert_type(client.plan(request), Plan)
        assert_type(client.submit(client.plan(request, ACME)), Job)
        job = client.generate(
            request, ACME, output=Path("clips"), timeout=60, allow={"watermark": "nearest"}
        )
        assert_type(job, Job)
        assert_type(client.generate({"prompt": "a cat"}), Job)
        assert_type(client.generate(client.plan(request)), Job)
        assert_type(client.get(job), Job)
        assert_type(client.wait(job, timeout=1.5), Job)
        for end in client.as_completed([job], timeout=60):
            assert_type(end, polyreel.Completed)
            assert_type(end.error, Exception | None)
        assert_type(client.download(job, "clips"), Job)
        assert_type(client.simulated, bool)
        assert_type(client.simulator, Simulator | None)
        assert_type(client.submit(request), Job)
        assert_type(client.submit({"prompt": "a cat"}, ACME), Job)
        client.submit(7)  # type: ignore[arg-type]
        assert_type(client.generate("a cat", ACME, duration=5, first_frame=Path("a.png")), Job)
        assert_type(client.submit("a cat", duration="auto", resolution="1080p"), Job)
        assert_type(client.plan("a cat", shots=[polyreel.Shot(prompt="it sits")]), Plan)
        assert_type(client.plans("a cat", prefer="cheapest", audio=True), list[Plan])
        client.plan("a cat", reference_images=["a.png", Path("b.png"), b"..."])
        client.plan("a cat", reference_images="a.png")  # type: ignore[arg-type]
        client.generate("a cat", durration=5)  # type: ignore[call-arg]
        client.generate("a cat", duration="5")  # type: ignore[arg-type]
        client.generate("a cat", resolution="8k")  # type: ignore[arg-type]
        client.submit("a cat", promt="a dog")  # type: ignore[call-arg]
        client.plan("a cat", audio="on")  # type: ignore[arg-type]
        client.plan("a cat", first_frame=5)  # type: ignore[arg-type]
        client.generate(request, output=1)  # type: ignore[arg-type]
        client.generate(request, ACME, "clips")  # type: ignore[call-arg]
        client.wait("task-1")  # type: ignore[arg-type]
        client.wait(job, timeout="1 min")  # type: ignore[arg-type]
        client.download(job)  # type: ignore[call-arg]
    Client(listener=received.append, simulator=Simulator(seed=1))
    Client({"acme": "sk-..."})  # type: ignore[call-arg]
    Client(keys="sk-...")  # type: ignore[arg-type]
    Client(keys={"acme": None})  # type: ignore[dict-item]
    Client(listener=print)


async def awaiting(request: VideoRequest) -> None:
    async with AsyncClient() as client:
        assert_type(client, AsyncClient)
        assert_type(client.plan(request), Plan)
        coroutine: Coroutine[Any, Any, Job] = client.generate(request, output="clips")
        job = await coroutine
        assert_type(job, Job)
        assert_type(await client.submit(client.plan(request)), Job)
        assert_type(await client.get(job), Job)
        assert_type(await client.wait(job), Job)
        assert_type([end.job async for end in client.as_completed([job])], list[Job])
        assert_type(await client.download(job, Path("clips")), Job)
        later: Awaitable[Job] = client.wait(job)
        await later
        await client.plan(request)  # type: ignore[misc]
        str(client.get(job).status)  # type: ignore[attr-defined]
        client.get(job)  # type: ignore[unused-coroutine]
        await client.as_completed([job])  # type: ignore[misc]
    with AsyncClient():  # type: ignore[attr-defined]
        pass


def jobs(job: Job) -> None:
    assert_type(job.id, str)
    assert_type(job.simulated, bool)
    assert_type(job.progress, float | None)
    for output in job.outputs or ():
        assert_type(output.url, str)
        assert_type(output.path, str | None)
    assert_type(Job.model_validate_json(job.model_dump_json()), Job)
    if job.status == "succeded":  # type: ignore[comparison-overlap]
        pass
    assert_type(len(job.outputs), int)  # type: ignore[arg-type]


def errors(client: Client, plan: Plan) -> None:
    try:
        client.submit(plan)
    except polyreel.PlanRefusedError as error:
        assert_type(error.violations, tuple[Violation, ...])
        assert_type(error.plan, Plan)
    except (polyreel.NeverSentError, RejectedError) as error:
        assert_type(error.billed, Billed)
        assert_type(error.status, int | None)
    except polyreel.AmbiguousError as error:
        assert_type(error.vendor, str | None)
    except polyreel.StillRunningError as error:
        assert_type(error.job, Job | None)
        timeout: TimeoutError = error
        raise timeout from None
