"""One request, any AI video vendor, never billed twice.

    import polyreel

    job = polyreel.Client().generate(polyreel.VideoRequest(prompt="a cat walking through neon rain"), output="clips")

Without a key everything runs against the embedded simulator, and nothing is paid.
"""

TYPE_CHECKING = False  # typing itself takes longer to import than everything here
if TYPE_CHECKING:
    from polyreel_generated.shared import ImageRequest, Job, Shot, VideoRequest

    from .client import AsyncClient, Client
    from .errors import (
        AmbiguousError,
        ClaimedError,
        DownloadError,
        JobFailedError,
        KeyMissingError,
        LedgerError,
        NeverSentError,
        PlanRefusedError,
        PolyreelError,
        RejectedError,
        RequestError,
        StillRunningError,
        VendorError,
        WebhookError,
    )
    from .fleet import Completed
    from .ledger import Ledger
    from .planning import Plan, plan
    from .registry import all_providers, get_provider
    from .simulator import Simulator
    from .translation import Translation, translate

_HOMES = {
    "AmbiguousError": ".errors",
    "AsyncClient": ".client",
    "ClaimedError": ".errors",
    "Client": ".client",
    "Completed": ".fleet",
    "DownloadError": ".errors",
    "ImageRequest": "polyreel_generated.shared",
    "Job": "polyreel_generated.shared",
    "JobFailedError": ".errors",
    "KeyMissingError": ".errors",
    "Ledger": ".ledger",
    "LedgerError": ".errors",
    "NeverSentError": ".errors",
    "Plan": ".planning",
    "PlanRefusedError": ".errors",
    "PolyreelError": ".errors",
    "RejectedError": ".errors",
    "RequestError": ".errors",
    "Shot": "polyreel_generated.shared",
    "Simulator": ".simulator",
    "StillRunningError": ".errors",
    "Translation": ".translation",
    "VendorError": ".errors",
    "VideoRequest": "polyreel_generated.shared",
    "WebhookError": ".errors",
    "all_providers": ".registry",
    "get_provider": ".registry",
    "plan": ".planning",
    "translate": ".translation",
}

__all__ = [
    "AmbiguousError",
    "AsyncClient",
    "ClaimedError",
    "Client",
    "Completed",
    "DownloadError",
    "ImageRequest",
    "Job",
    "JobFailedError",
    "KeyMissingError",
    "Ledger",
    "LedgerError",
    "NeverSentError",
    "Plan",
    "PlanRefusedError",
    "PolyreelError",
    "RejectedError",
    "RequestError",
    "Shot",
    "Simulator",
    "StillRunningError",
    "Translation",
    "VendorError",
    "VideoRequest",
    "WebhookError",
    "all_providers",
    "get_provider",
    "plan",
    "translate",
]


def __getattr__(name: str) -> object:
    """Import a public name when it is first used, so that `import polyreel` costs next to nothing."""
    from importlib import import_module  # noqa: PLC0415

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_HOMES[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return sorted({*globals(), *__all__})
