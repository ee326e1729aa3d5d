"""From a request to a plan, from a body to a request, from a body to another body; comparisons."""
