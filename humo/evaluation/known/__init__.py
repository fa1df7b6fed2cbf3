"""Measures of what goes on from something known: takes and dubs."""
