"""Whole worlds without I/O: processes, vendors, clocks and a ledger, stepped by a seed."""
