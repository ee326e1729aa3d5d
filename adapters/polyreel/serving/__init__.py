"""A vendor's API, served by polyreel: its calls are read, and answers are given their shape."""
