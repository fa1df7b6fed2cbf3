"""A sound of any length in shots: where it is cut, how the shots are made, and the folder that keeps them.

May import the pipeline and what stands below it.
"""
