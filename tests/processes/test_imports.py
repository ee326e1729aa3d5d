"""Importing polyreel loads little."""

import subprocess
import sys


def test_importing_polyreel_loads_no_http_library() -> None:
    """`import polyreel` loads no third-party module, and planning no HTTP library."""
    lazy = "import sys; before = set(sys.modules); import polyreel; new = set(sys.modules) - before"
    check = f"{lazy}; print(sorted({{n.split('.')[0] for n in new}} - sys.stdlib_module_names))"
    assert _python(check) == "['polyreel']"
    first = "next(iter(polyreel.all_providers()))"
    planning = f"import polyreel, sys; polyreel.plan({{'prompt': 'x'}}, {first}).content"
    assert _python(f"{planning}; print('httpx' in sys.modules)") == "False"


def _python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_fsspec_is_imported_for_urls_only() -> None:
    """A job whose files are saved here needs nothing of object storage."""
    code = """
import sys, tempfile, polyreel
with tempfile.TemporaryDirectory() as folder, polyreel.Client() as client:
    client.generate("a cat", duration=3, output=folder)
print(sorted({"fsspec", "s3fs", "botocore"} & sys.modules.keys()))
"""
    assert _python(code) == "[]"


def test_pydantic_is_imported_for_a_price_file_only() -> None:
    """A command without one starts without it."""
    code = "import sys, polyreel.money.book; print('pydantic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
