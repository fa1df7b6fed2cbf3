"""Data for the real backbones: HuMoSet's layout, its preparation into shards, and the loader of those shards."""
