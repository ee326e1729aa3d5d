"""The one test of the conformance suite that opens a socket, for polyreel's own vendors."""

from polyreel.providers.base.registry import all_providers
from polyreel.testing.conformance import ProviderConformance

OTHERS = [name for name in vars(ProviderConformance) if name.startswith("test_")]
OTHERS.remove("test_no_key_is_shown")

# No vendor is named here: each gets a class of its own, found by pytest as if it were written out.
for _provider in map(type, all_providers().values()):
    _name = f"Test{_provider.__name__}"
    _own = {**dict.fromkeys(OTHERS), "provider": _provider}
    globals()[_name] = type(_name, (ProviderConformance,), _own)
