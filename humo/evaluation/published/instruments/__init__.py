"""The instruments that judge the published models, one file each, and their weights."""
