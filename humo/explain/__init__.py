"""What happens inside a generation, as data, figures and words: the page and the lessons show the same.

May import the pipeline and what stands below it.
"""
