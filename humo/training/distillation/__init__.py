"""Distillation of mini: one pass a step in place of up to four, and few steps. Ours; HuMo publishes none.

`paths` lets the model walk from noise to video with guidance and keeps every place on its way; `student` is the same
network with a small adapter that is told the three scales and how far the next step goes; `learning` teaches it to
leap between two places of a path. `humo.loading.fast_form` loads the result.
"""
