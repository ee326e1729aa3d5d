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

from ..errors import did_you_mean
from ..places import Json
from . import calling
from .faults import FAULTS, fault_names, known_faults
from .settings import Injection, SettingError, Setup, Span, shown, span

MAX_SEED: Final = 2**63
MAX_TIMES: Final = 1_000_000_000
MAX_JUMP: Final = 366 * 86_400.0
MAX_DELAY: Final = 10.0


@frozen
class SettingsContext:
    """What settings are checked against."""

    vendors: Sequence[str] = ()
    """The vendors that settings may name."""
    any_host: bool = False
    """Whether webhooks may go to other machines."""


# -- values ----------------------------------------------------------------------------------------


def _one_of(names: Sequence[str], what: str, value: object) -> str:
    if not isinstance(value, str) or value not in names:
        known = f"there are {', '.join(names)}{did_you_mean(value, names)}"
        raise ValueError(f"there is no {what} {shown(value)}; {known}")
    return value


def _fault(value: object) -> str:
    if value == "":
        raise ValueError(f"which fault? There are {fault_names()}")
    if not isinstance(value, str) or value not in FAULTS:
        raise ValueError(f"there is no fault {shown(value)}; {known_faults(value)}")
    return value


def _context(info: ValidationInfo) -> SettingsContext:
    return cast("SettingsContext", info.context)


def _vendor(value: object, info: ValidationInfo) -> str:
    return _one_of(_context(info).vendors, "vendor", value)


def _url(value: str, info: ValidationInfo) -> str:
    return calling.checked(value, any_host=_context(info).any_host)


def _secret(value: str) -> str:
    from standardwebhooks import Webhook  # noqa: PLC0415 - takes long to import, is rarely needed

    try:
        Webhook(value)
    except Exception:  # binascii.Error, or one of the library's own
        raise ValueError(f"must be {BASE64}") from None
    return value


BASE64: Final = "base64, with or without whsec_ in front of it"
KEYS: Final = "a list of texts without blanks around them, such as ['test-key']"
TABLES: Final = 'tables, each below a line [[fault]] with two brackets, such as name = "lost-reset"'
TIMES: Final = 'a whole number from 1 on, or "always"'

# A description completes the sentence "must be ...". `repr=False` keeps a value out of messages:
# it may be a secret, or long.
FaultName = Annotated[str, BeforeValidator(_fault)]
VendorName = Annotated[str, BeforeValidator(_vendor)]
Key = Annotated[str, Field(pattern=r"(?s)^\S(.*\S)?$")]
Seed = Annotated[
    int | None,
    Field(ge=-MAX_SEED, le=MAX_SEED, description="a whole number of at most 63 bits"),
]
Share = Annotated[float, Field(ge=0, le=1, description="a number from 0 to 1")]
Times = Literal["always"] | Annotated[int, Field(ge=1, le=MAX_TIMES)] | None
Credits = Annotated[float | None, Field(ge=0, description="a number of credits, 0 or more")]
Seconds = Annotated[float | None, Field(ge=0, description="a number of seconds, 0 or more")]
Text = Annotated[str, Field(min_length=1, description="a text")]
Flag = Annotated[bool, Field(description="true or false")]

# -- models ----------------------------------------------------------------------------------------


class UserSettings(BaseModel):
    """Settings of a user."""

    model_config = ConfigDict(strict=True, frozen=True)


class FaultSettings(UserSettings):
    """One fault: a table `[[fault]]` of a file, or the body of a call."""

    name: FaultName = Field(default="", validate_default=True)
    vendor: VendorName | None = None
    share: Share = 1.0
    times: Annotated[Times, Field(description=TIMES)] = 1

    def injection(self) -> Injection:
        """The fault as the simulator takes it."""
        times = None if self.times == "always" else self.times
        return Injection(self.name, self.vendor, self.share, times)


class FileSettings(UserSettings):
    """A fault file."""

    fault: list[dict[str, Any]] = Field(default=[], repr=False, description=TABLES)
    vendors: list[VendorName] | None = Field(
        default=None, min_length=1, repr=False, description="a list of at least one vendor"
    )
    seed: Seed = None
    balance: Credits = None
    link_seconds: Seconds = None
    keys: list[Key] | None = Field(default=None, repr=False, description=KEYS)
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


class ResetSettings(UserSettings):
    """The body of the call that starts again."""

    seed: Seed = None


class ClockSettings(UserSettings):
    """The body of the call that moves the clock."""

    seconds: float = Field(
        ge=0, le=MAX_JUMP, description=f"a number of seconds from 0 to {MAX_JUMP:.0f}"
    )


class WebhookSettings(UserSettings):
    """The body of the call that sends webhooks."""

    vendor: VendorName
    task: Text
    url: Annotated[Text, AfterValidator(_url)]
    secret: Annotated[str, AfterValidator(_secret)] | None = Field(
        default=None, repr=False, description=BASE64
    )
    duplicate: Flag = False
    shuffle: Flag = False
    delay: float = Field(
        0.0, ge=0, le=MAX_DELAY, description=f"a number of seconds from 0 to {MAX_DELAY:.0f}"
    )


# -- checking --------------------------------------------------------------------------------------

Settings = TypeVar("Settings", bound=UserSettings)


def read_settings(
    model: type[Settings], given: Mapping[str, Json], context: SettingsContext
) -> Settings:
    """What a user has written, as one of the models; SettingError where it cannot be used."""
    fields = model.model_fields
    for name in given:
        if name not in fields:  # pydantic cannot say it of a name with half a character
            known = f"{', '.join(fields)}{did_you_mean(name, fields)}"
            message = f"there is no such field; there are {known}"
            raise SettingError(shown(name).strip("'"), message)
    try:
        return model.model_validate(given, context=context)
    except ValidationError as error:
        raise _setting_error(model, given, error) from None


def _setting_error(
    model: type[Settings], given: Mapping[str, Json], error: ValidationError
) -> SettingError:
    """One of pydantic's errors in our words; that a field is missing comes last."""
    first = min(error.errors(include_url=False), key=lambda one: one["type"] == "missing")
    name = str(first["loc"][0])
    if first["type"] == "missing":
        return SettingError(name, "is missing")
    if first["type"] == "value_error":
        return SettingError(name, str(first["ctx"]["error"]))
    field = model.model_fields[name]
    message = f"must be {field.description}"
    return SettingError(name, f"{message}, not {shown(given[name])}" if field.repr else message)
