"""What is written down about paid jobs."""
