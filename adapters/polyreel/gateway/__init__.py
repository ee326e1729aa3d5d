"""Calls of vendors that arrive over HTTP: webhooks about jobs."""
