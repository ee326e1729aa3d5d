"""The clients: Client for blocking code, AsyncClient for asyncio."""

from .awaiting import AsyncClient
from .blocking import Client
from .fields import GenerateOptions, PlanOptions, RequestFields
from .settings import CALL_TIMEOUT, TIMEOUT, ClientSettings

__all__ = [
    "CALL_TIMEOUT",
    "TIMEOUT",
    "AsyncClient",
    "Client",
    "ClientSettings",
    "GenerateOptions",
    "PlanOptions",
    "RequestFields",
]
