"""Which variables of the environment say where a vendor answers."""

from polyreel import environment
from polyreel.providers.base.registry import all_providers

OURS, THEIRS = "https://one.example", "https://two.example"


def test_the_id_names_a_variable_and_so_may_the_vendor() -> None:
    """Who aims at a gateway must not reach the vendor; ours counts where both are set."""
    own = [one for one in all_providers().values() if one.own_base_url_variable]
    assert own
    for provider in own:
        ours = {provider.id.upper().replace("-", "_") + "_BASE_URL": OURS}
        theirs = {provider.own_base_url_variable: THEIRS}
        for variables, url in ((ours, OURS), (theirs, THEIRS), ({**theirs, **ours}, OURS)):
            assert environment.vendor_urls(environment=variables) == {provider.id: url}
