"""Where things are in the repository."""

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
"""The repository."""
TESTS: Final = ROOT / "tests"
"""The tests, their data, and `support`, which other processes import from here."""
SPECS: Final = ROOT / "specs"
DOCS: Final = ROOT / "docs"
EXAMPLE_VENDOR: Final = DOCS / "example-vendor" / "acme_video"
"""The package of the worked example of a vendor."""
