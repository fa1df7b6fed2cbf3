"""Training of mini from nothing, part by part, and of its fast form.

May import checkpoints, loading, explain, the pipeline and what stands below it, the drawn world first of all.
"""
