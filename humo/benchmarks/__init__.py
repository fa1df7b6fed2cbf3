"""How fast, how near the machine's ceiling, how much memory: `python -m humo benchmark`.

May import every other room; no room imports it.
"""
