"""The clients: Client for blocking code, AsyncClient for asyncio."""

from .awaiting import AsyncClient
from .blocking import Client
from .settings import CALL_TIMEOUT, TIMEOUT, ClientSettings, PlanOptions

__all__ = ["CALL_TIMEOUT", "TIMEOUT", "AsyncClient", "Client", "ClientSettings", "PlanOptions"]
