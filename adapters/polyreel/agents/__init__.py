"""polyreel as tools for agents, over the Model Context Protocol (needs `polyreel[mcp]`)."""
