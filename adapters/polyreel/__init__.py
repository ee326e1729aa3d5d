"""One request, any AI video vendor, never billed twice.

    import polyreel

    request = polyreel.VideoRequest(prompt="a cat walking through neon rain")
    job = polyreel.Client().generate(request, output="clips")

Without a key everything runs against the embedded simulator, and nothing is paid.
"""

TYPE_CHECKING = False  # typing itself takes longer to import than everything here
if TYPE_CHECKING:
    from polyreel_generated.contracts.vendors import VendorId
    from polyreel_generated.shared import (
        Element,
        ElementRequest,
        ImageRequest,
        Job,
        Shot,
        VideoRequest,
    )

    from .client import AsyncClient, Client
    from .drivers.spans import OpenTelemetryHook
    from .errors import (
        AmbiguousError,
        ClaimedError,
        DownloadError,
        JobFailedError,
        KeyMissingError,
        LedgerError,
        NeverSentError,
        PolyreelError,
        RejectedError,
        RequestError,
        StillRunningError,
        UnknownStatusError,
        VendorError,
        WebhookError,
    )
    from .jobs.many import Completed
    from .ledger.sqlite import Ledger
    from .network import Network
    from .plans.choosing import plan
    from .plans.planning import Plan, PlanRefusedError
    from .plans.translation import Translation, translate
    from .providers.base.registry import all_providers, get_provider
    from .providers.base.webhooks import parse_webhook
    from .simulator import Simulator

_HOMES = {
    "AmbiguousError": ".errors",
    "AsyncClient": ".client.awaiting",
    "ClaimedError": ".errors",
    "Client": ".client.blocking",
    "Completed": ".jobs.many",
    "DownloadError": ".errors",
    "Element": "polyreel_generated.shared",
    "ElementRequest": "polyreel_generated.shared",
    "ImageRequest": "polyreel_generated.shared",
    "Job": "polyreel_generated.shared",
    "JobFailedError": ".errors",
    "KeyMissingError": ".errors",
    "Ledger": ".ledger.sqlite",
    "LedgerError": ".errors",
    "Network": ".network",
    "NeverSentError": ".errors",
    "OpenTelemetryHook": ".drivers.spans",
    "Plan": ".plans.planning",
    "PlanRefusedError": ".plans.planning",
    "PolyreelError": ".errors",
    "RejectedError": ".errors",
    "RequestError": ".errors",
    "Shot": "polyreel_generated.shared",
    "Simulator": ".simulator",
    "StillRunningError": ".errors",
    "Translation": ".plans.translation",
    "UnknownStatusError": ".errors",
    "VendorError": ".errors",
    "VendorId": "polyreel_generated.contracts.vendors",
    "VideoRequest": "polyreel_generated.shared",
    "WebhookError": ".errors",
    "all_providers": ".providers.base.registry",
    "get_provider": ".providers.base.registry",
    "parse_webhook": ".providers.base.webhooks",
    "plan": ".plans.choosing",
    "translate": ".plans.translation",
}

__all__ = [
    "AmbiguousError",
    "AsyncClient",
    "ClaimedError",
    "Client",
    "Completed",
    "DownloadError",
    "Element",
    "ElementRequest",
    "ImageRequest",
    "Job",
    "JobFailedError",
    "KeyMissingError",
    "Ledger",
    "LedgerError",
    "Network",
    "NeverSentError",
    "OpenTelemetryHook",
    "Plan",
    "PlanRefusedError",
    "PolyreelError",
    "RejectedError",
    "RequestError",
    "Shot",
    "Simulator",
    "StillRunningError",
    "Translation",
    "UnknownStatusError",
    "VendorError",
    "VendorId",
    "VideoRequest",
    "WebhookError",
    "all_providers",
    "get_provider",
    "parse_webhook",
    "plan",
    "translate",
]


def __getattr__(name: str) -> object:
    """Import a public name at its first use, so that `import polyreel` costs almost nothing."""
    from importlib import import_module  # noqa: PLC0415

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_HOMES[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return sorted({*globals(), *__all__})
