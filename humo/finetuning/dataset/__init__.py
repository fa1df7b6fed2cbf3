"""Data for the real backbones: HuMoSet's layout, its preparation into shards, and the loader of those shards.

`rows`, `video`, `faces`, `filters`, `sync` and `examine` read and judge a row without any model; `encode` turns it into
tensors with a pipeline's own codec and encoders; `preparation` does so for a table, with many processes and machines;
`loader` gives the shards back as training batches. README.md beside this file tells how to use them.
"""
