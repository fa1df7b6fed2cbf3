"""One part of a pipeline in one file, as people have it: GGUF, float8 with or without scales, or 16 and 32 bit floats.

`reading` opens a file and tells its kind by its content, `names` says what each tensor is called here, `filling` gives
a model its weights, quantised where they are, and `parts` puts the three together.
"""
