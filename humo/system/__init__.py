"""Whole files, worker processes, caches, fingerprints, tables, command lines. Imports none of the other rooms."""
