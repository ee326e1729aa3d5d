"""The ledger: what is written down about paid jobs."""
