"""Whole files, worker processes, caches, fingerprints, tables, command lines. May import no other room."""
