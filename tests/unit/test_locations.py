"""Where files are saved: paths of this machine, and URLs of object storage."""

from __future__ import annotations

from pathlib import Path

import pytest
from polyreel.client.checks import checked_output
from polyreel.errors import RequestError
from polyreel.jobs.locations import StorageUrl, location_of
from polyreel.jobs.naming import Target, named, with_filename
from polyreel_generated.shared import Job

FOLDER = "s3://bucket/clips"


def job(identity: str, model: str = "m") -> Job:
    return Job.model_validate(
        {
            "vendor": "acme",
            "id": identity,
            "model": model,
            "workflow": "text-to-video",
            "status": "succeeded",
            "simulated": True,
        }
    )


@pytest.mark.parametrize(
    ("text", "location"),
    [
        ("clips", "clips"),
        ("s3://bucket", "s3://bucket"),
        ("S3://Bucket/a/b/", "s3://Bucket/a/b"),
        ("abfs://container@account.dfs.core.windows.net/a", None),
        ("memory://a b/c.mp4", None),
        ("file:///srv/my%20clips", "/srv/my clips"),
        ("file://localhost/srv", "/srv"),
    ],
)
def test_locations_are_read_and_written(text: str, location: str | None) -> None:
    """What the ledger keeps of one is read as the same."""
    found = location_of(text)
    assert str(found) == (location or text)
    assert location_of(str(found)) == found
    assert isinstance(found, StorageUrl) is not str(found).startswith(("/", "clips"))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("s3://key:sk-canary-secret@bucket/a", "password"),
        ("az://container/a?sig=sk-canary-secret", "query"),
        ("s3://bucket/a#sk-canary-secret", "fragment"),
        ("file://user:sk-canary-secret@host/a", "password"),
        ("file://host/a", "no other machine"),
        ("https://example.com/a", "nothing can be saved at https://"),
        ("s3:///a", "bucket is missing"),
        ("s3://", "bucket is missing"),
        ("s3://bucket/../other", "'..'"),
        ("s3://bucket/a/./b", "'.'"),
        ("s3://bucket//a", "empty"),
        ("s3://bucket/a\nb", "control characters"),
        ("s3://bucket/a\\..\\b", "backslashes"),
        ("simplecache::s3://bucket/a", "'::'"),
        ("s3://bucket/a::zip://b", "'::'"),
        ("s3://bucket/\udcff", "control characters"),
        (Path("s3://bucket/a"), "give it as text"),
    ],
)
def test_what_no_file_can_be_saved_at_is_refused(value: str | Path, reason: str) -> None:
    """The field is named, and what may be a secret is not quoted."""
    with pytest.raises(RequestError, match=r"^output: ") as caught:
        checked_output(value)
    assert reason in str(caught.value)
    assert "sk-canary" not in str(caught.value).lower()


def test_files_in_storage_are_named_as_files_here() -> None:
    """A folder, one file, a pattern: no name leads out of the folder."""
    folder, file = Target.of(location_of(FOLDER)), Target.of(location_of(f"{FOLDER}/a.mp4"))
    assert str(folder.stem_of(job("1"), 0)) == f"{FOLDER}/acme-1-1"
    assert (str(file.stem_of(job("1"), 0)), file.suffix) == (f"{FOLDER}/a", ".mp4")
    assert str(file.stem_of(job("1"), 1)) == f"{FOLDER}/a-2"
    pattern = named(with_filename(location_of(FOLDER), "{name}-{model}-{n}.{ext}"), "../../x")
    for identity in ("..", "../../etc", "a/../b", "..\\..\\c"):
        for target in (Target.of(pattern), folder):
            stem = target.stem_of(job(identity, "../../m"), 0)
            assert str(stem.parent) == FOLDER
            assert location_of(str(stem)) == stem
    with pytest.raises(ValueError, match="without folders"):
        with_filename(location_of(FOLDER), "../{name}.{ext}")
    assert Target.of(location_of("s3://clip.mp4")).stem is None  # a bucket
