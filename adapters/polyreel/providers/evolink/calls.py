"""EvoLink's generated client, and the paid call of all its families."""

from typing import Final

from .. import GeneratedClient

CLIENT: Final = GeneratedClient("evolink")
CREATE: Final = CLIENT.operation("createVideo")
