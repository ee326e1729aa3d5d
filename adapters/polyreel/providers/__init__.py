"""The vendors, one file each, and everything that the author of a vendor needs, in one import.

    from polyreel.providers import Field, Reads, Route, SpecifiedProvider, body, load, operation

`docs/add-a-vendor.md` shows how to write a vendor. What vendors have in common is in `base`.
"""

TYPE_CHECKING = False  # typing itself takes longer to import than everything here
if TYPE_CHECKING:
    from ..errors import BadReplyError, VendorError
    from ..flows import Flow, Part, Reply, Send, now, send_patiently
    from ..mapping.codecs import (
        SAME,
        CannotExpressError,
        Choice,
        Codec,
        Default,
        Items,
        Limited,
        MeaninglessError,
        Only,
        Pointless,
        Prompt,
        PublicUrl,
        Single,
        TwoOrMore,
        Unless,
        check_members,
        cited_inputs,
    )
    from ..mapping.groups import FirstAndLast, Group, GroupCodec, Names
    from ..mapping.items import Item, TypedItems
    from ..mapping.marks import ANGLE, AT, BY_ID, CHARACTER, LOWER_AT, NAMED, Marks
    from ..mapping.numbers import Digits, Seed
    from ..mapping.rows import Absent, Alias, Constant, Field, Forced, Row
    from ..mapping.shots import MULTI_SHOT, MultiShot, ShotList, ShotSwitch, TextField
    from ..mapping.shottexts import CHINESE, OneShotText, ShotText, Spells
    from ..mapping.sizes import FrameSize
    from ..mapping.subjects import OwnId, OwnIds, Subjects
    from ..places import Json, JsonObject, get, is_missing, put
    from .base.answers import first, is_number, is_task_id
    from .base.contract import Contract, Operation
    from .base.facts import (
        Facts,
        Listed,
        Listing,
        PublishedKeys,
        Reads,
        SimulatedTask,
        Status,
        Survey,
        Webhook,
    )
    from .base.generated import GeneratedClient
    from .base.provider import Provider
    from .base.routes import Route
    from .base.specified import SpecifiedProvider, body, filled_in, load, operation
    from .base.uploads import upload_by_form, upload_by_link

_NAMES = {
    "..errors": ("BadReplyError", "VendorError"),
    "..flows": ("Flow", "Part", "Reply", "Send", "now", "send_patiently"),
    "..mapping.codecs": (
        *("SAME", "CannotExpressError", "Choice", "Codec", "Default", "Items"),
        *("Limited", "MeaninglessError", "Only", "Pointless", "Prompt", "PublicUrl"),
        *("Single", "TwoOrMore", "Unless", "check_members", "cited_inputs"),
    ),
    "..mapping.groups": ("FirstAndLast", "Group", "GroupCodec", "Names"),
    "..mapping.items": ("Item", "TypedItems"),
    "..mapping.marks": ("ANGLE", "AT", "BY_ID", "CHARACTER", "LOWER_AT", "NAMED", "Marks"),
    "..mapping.numbers": ("Digits", "Seed"),
    "..mapping.rows": ("Absent", "Alias", "Constant", "Field", "Forced", "Row"),
    "..mapping.shots": ("MULTI_SHOT", "MultiShot", "ShotList", "ShotSwitch", "TextField"),
    "..mapping.shottexts": ("CHINESE", "OneShotText", "ShotText", "Spells"),
    "..mapping.sizes": ("FrameSize",),
    "..mapping.subjects": ("OwnId", "OwnIds", "Subjects"),
    "..places": ("Json", "JsonObject", "get", "is_missing", "put"),
    ".base.answers": ("first", "is_number", "is_task_id"),
    ".base.contract": ("Contract", "Operation"),
    ".base.facts": (
        *("Facts", "Listed", "Listing", "PublishedKeys", "Reads", "SimulatedTask", "Status"),
        *("Survey", "Webhook"),
    ),
    ".base.generated": ("GeneratedClient",),
    ".base.provider": ("Provider",),
    ".base.routes": ("Route",),
    ".base.specified": ("SpecifiedProvider", "body", "filled_in", "load", "operation"),
    ".base.uploads": ("upload_by_form", "upload_by_link"),
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names}

__all__ = [
    "ANGLE",
    "AT",
    "BY_ID",
    "CHARACTER",
    "CHINESE",
    "LOWER_AT",
    "MULTI_SHOT",
    "NAMED",
    "SAME",
    "Absent",
    "Alias",
    "BadReplyError",
    "CannotExpressError",
    "Choice",
    "Codec",
    "Constant",
    "Contract",
    "Default",
    "Digits",
    "Facts",
    "Field",
    "FirstAndLast",
    "Flow",
    "Forced",
    "FrameSize",
    "GeneratedClient",
    "Group",
    "GroupCodec",
    "Item",
    "Items",
    "Json",
    "JsonObject",
    "Limited",
    "Listed",
    "Listing",
    "Marks",
    "MeaninglessError",
    "MultiShot",
    "Names",
    "OneShotText",
    "Only",
    "Operation",
    "OwnId",
    "OwnIds",
    "Part",
    "Pointless",
    "Prompt",
    "Provider",
    "PublicUrl",
    "PublishedKeys",
    "Reads",
    "Reply",
    "Route",
    "Row",
    "Seed",
    "Send",
    "ShotList",
    "ShotSwitch",
    "ShotText",
    "SimulatedTask",
    "Single",
    "SpecifiedProvider",
    "Spells",
    "Status",
    "Subjects",
    "Survey",
    "TextField",
    "TwoOrMore",
    "TypedItems",
    "Unless",
    "VendorError",
    "Webhook",
    "body",
    "check_members",
    "cited_inputs",
    "filled_in",
    "first",
    "get",
    "is_missing",
    "is_number",
    "is_task_id",
    "load",
    "now",
    "operation",
    "put",
    "send_patiently",
    "upload_by_form",
    "upload_by_link",
]


if not TYPE_CHECKING:  # a type checker that saw it would take every name

    def __getattr__(name: str) -> object:
        """Import a name when it is first used, so that listing the vendors' files loads nothing."""
        from importlib import import_module  # noqa: PLC0415

        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value: object = getattr(import_module(_HOMES[name], __name__), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    """The names for authors, loaded or not."""
    return sorted({*globals(), *__all__})
