"""What notebooks show of plans, jobs, costs, clients and batches."""
