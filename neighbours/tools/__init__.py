"""The tools: a file of scenarios for each."""
