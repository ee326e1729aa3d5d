"""What all vendors have in common: contract, routes, facts, and the provider itself."""
