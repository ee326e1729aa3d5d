"""`python -m polyreel`."""

from .cli import main

main()
