"""Documentation that runs: snippets, commands, settings and names."""
