"""Benchmarks of the published models, judged by the instruments that the paper names.

A bench folder (`humo.evaluation.published.cases`) says what to generate; each instrument is one file here, needs
weights of its own that are never bundled (`humo.evaluation.published.instruments.registry` lists them), and is imported
only when it is asked for. No figure in this repository was made with them: the weights cannot be had where it was
built, so the instruments are tested with random weights of the true architectures.
"""
