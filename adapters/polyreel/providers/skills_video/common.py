"""Rows that many of the vendor's families have."""

from typing import Final

from .. import (
    Absent,
    Choice,
    Field,
    GeneratedClient,
)

CLIENT: Final = GeneratedClient("skills_video")
TEXT_AND_IMAGE: Final = ("text-to-video", "image-to-video")
AUDIO: Final = Field("audio", "generate_audio")
DURATION: Final = Field("duration", "duration")
ASPECT: Final = Field("aspect_ratio", "aspect_ratio")
NEGATIVE: Final = Field("negative_prompt", "negative_prompt")
QUALITY: Final = Field("resolution", "quality", Choice({"720p": "standard", "1080p": "pro"}))
NOT_OFFERED: Final = (
    Absent("callback_url", reason="skills.video calls back only the address set in its dashboard"),
    Absent("elements", reason="the page mentions elements and documents no field for them"),
    Absent("guidance_scale", reason="skills.video documents no prompt adherence for Kling"),
    Absent("shots", reason="skills.video documents no shots for Kling"),
    Absent("shot_mode", reason="skills.video documents no shots for Kling"),
    Absent("watermark", reason="skills.video documents no watermark switch"),
)
