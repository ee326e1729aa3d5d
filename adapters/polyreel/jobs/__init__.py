"""A paid job's life, as flows that do no I/O."""
