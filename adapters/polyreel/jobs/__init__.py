"""The life of a paid job, as flows that do no I/O."""
