"""A vendor's API spoken by polyreel: reading its calls, shaping its answers."""
