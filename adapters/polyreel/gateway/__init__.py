"""Vendors' calls that come in over HTTP."""
