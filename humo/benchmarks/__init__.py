"""How fast, how near the machine's ceiling, how much memory: `python -m humo benchmark`."""
