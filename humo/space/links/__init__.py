"""Finished videos behind links: records, where they live, the gallery, settings read back from a file."""
