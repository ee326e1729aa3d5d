"""What users may write in fault files and in calls of the control API, as pydantic models.

Pydantic takes long to import. So this module is imported when there is something to check.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal, TypeVar, cast

from attrs import frozen
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
)

from ..places import Json
from . import calling
from .faults import FAULTS
from .settings import Injection, SettingError, Setup, Span, shown, span

MAX_SEED: Final = 2**63
MAX_TIMES: Final = 1_000_000_000
MAX_JUMP: Final = 366 * 86_400.0
MAX_DELAY: Final = 10.0


@frozen
class Known:
    """What the settings may name."""

    vendors: Sequence[str] = ()
    any_host: bool = False
    """Whether webhooks may go to other machines."""


# -- values ----------------------------------------------------------------------------------------


def _one_of(names: Sequence[str], what: str, value: object) -> str:
    if not isinstance(value, str) or value not in names:
        raise ValueError(f"there is no {what} {shown(value)}; there are {', '.join(names)}")
    return value


def _fault(value: object) -> str:
    if value == "":
        raise ValueError(f"which fault? There are {', '.join(FAULTS)}")
    return _one_of(list(FAULTS), "fault", value)


def _vendor(value: object, info: ValidationInfo) -> str:
    return _one_of(_known(info).vendors, "vendor", value)


def _known(info: ValidationInfo) -> Known:
    return cast("Known", info.context)


def _keys(value: object) -> list[str]:
    listed: list[object] = value if isinstance(value, list) else [None]
    keys = [key for key in listed if isinstance(key, str) and key.strip() == key != ""]
    if keys != listed:
        form = "must be a list of texts without blanks around them, such as ['test-key']"
        raise ValueError(form)  # without the value: it may be a real key
    return keys


def _url(value: str, info: ValidationInfo) -> str:
    return calling.checked(value, any_host=_known(info).any_host)


def _secret(value: object) -> str | None:
    from standardwebhooks import Webhook  # noqa: PLC0415 - takes long to import, is rarely needed

    if value is None:
        return None
    try:
        Webhook(value if isinstance(value, str) else "")
    except Exception:  # binascii.Error, or one of the library's own
        form = "must be base64, with or without whsec_ in front of it"
        raise ValueError(form) from None  # without the value: it is a secret
    return str(value)


FaultName = Annotated[str, BeforeValidator(_fault)]
VendorName = Annotated[str, BeforeValidator(_vendor)]

# -- models ----------------------------------------------------------------------------------------


class UserSettings(BaseModel):
    """Settings of a user.

    A field's description completes the sentence "must be ...". `repr=False` keeps its value out of
    messages.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class FaultSettings(UserSettings):
    """One fault: a table `[[fault]]` of a file, or the body of a call."""

    name: FaultName = Field(default="", validate_default=True)
    vendor: VendorName | None = None
    share: float = Field(default=1.0, ge=0, le=1, description="a number from 0 to 1")
    times: Literal["always"] | Annotated[int, Field(ge=1, le=MAX_TIMES)] | None = Field(
        default=1, description='a whole number from 1 on, or "always"'
    )

    def injection(self) -> Injection:
        """The fault as the simulator takes it."""
        times = None if self.times == "always" else self.times
        return Injection(self.name, self.vendor, self.share, times)


class ResetSettings(UserSettings):
    """The body of the call that starts again."""

    seed: int | None = Field(
        default=None, ge=-MAX_SEED, le=MAX_SEED, description="a whole number of at most 63 bits"
    )


class FileSettings(UserSettings):
    """A fault file."""

    fault: list[dict[str, Any]] = Field(
        default=[],
        repr=False,
        description="tables, each below a line [[fault]] with two brackets, "
        'such as name = "lost-reset"',
    )
    vendors: list[VendorName] | None = Field(
        default=None, min_length=1, repr=False, description="a list of at least one vendor"
    )
    seed: int | None = Field(
        default=None, ge=-MAX_SEED, le=MAX_SEED, description="a whole number of at most 63 bits"
    )
    balance: float | None = Field(default=None, ge=0, description="a number of credits, 0 or more")
    link_seconds: float | None = Field(
        default=None, ge=0, description="a number of seconds, 0 or more"
    )
    keys: Annotated[list[str] | None, BeforeValidator(_keys)] = None
    latency: Annotated[Span | None, BeforeValidator(span)] = None

    def setup(self, faults: Sequence[Injection]) -> Setup:
        """The settings of a server, with faults that were checked before."""
        return Setup(
            faults=tuple(faults),
            vendors=None if self.vendors is None else tuple(dict.fromkeys(self.vendors)),
            seed=self.seed,
            balance=self.balance,
            link_seconds=self.link_seconds,
            keys=None if self.keys is None else frozenset(self.keys),
            latency=self.latency,
        )


class ClockSettings(UserSettings):
    """The body of the call that moves the clock."""

    seconds: float = Field(
        ge=0, le=MAX_JUMP, description=f"a number of seconds from 0 to {MAX_JUMP:.0f}"
    )


class WebhookSettings(UserSettings):
    """The body of the call that sends webhooks."""

    vendor: VendorName
    task: str = Field(min_length=1, description="a text")
    url: Annotated[str, AfterValidator(_url)] = Field(min_length=1, description="a text")
    secret: Annotated[str | None, BeforeValidator(_secret)] = None
    duplicate: bool = Field(default=False, description="true or false")
    shuffle: bool = Field(default=False, description="true or false")
    delay: float = Field(
        default=0.0,
        ge=0,
        le=MAX_DELAY,
        description=f"a number of seconds from 0 to {MAX_DELAY:.0f}",
    )


# -- checking --------------------------------------------------------------------------------------

Settings = TypeVar("Settings", bound=UserSettings)


def read_settings(model: type[Settings], given: Mapping[str, Json], known: Known) -> Settings:
    """What a user has written, as one of the models; SettingError where it cannot be used."""
    try:
        return model.model_validate(given, context=known)
    except ValidationError as error:
        raise _setting_error(model, given, error) from None


def _setting_error(
    model: type[Settings], given: Mapping[str, Json], error: ValidationError
) -> SettingError:
    """The most telling of pydantic's errors, in our words: fields that are missing come last."""
    order = {"extra_forbidden": 0, "missing": 2}
    first = min(error.errors(include_url=False), key=lambda one: order.get(one["type"], 1))
    name, known = str(first["loc"][0]), model.model_fields
    if first["type"] == "extra_forbidden":
        message = f"there is no such field; there are {', '.join(known)}"
        return SettingError(shown(name).strip("'"), message)
    if first["type"] == "missing":
        return SettingError(name, "is missing")
    if first["type"] == "value_error":
        return SettingError(name, str(first["ctx"]["error"]))
    message = f"must be {known[name].description}"
    if known[name].repr:
        message += f", not {shown(given[name])}"
    return SettingError(name, message)
