"""Distillation of mini: one pass a step in place of up to four, and few steps. Ours; HuMo publishes none.

`trajectories` samples videos with guidance and keeps every state on the way from noise; `student` is the same
network with a small adapter that is told the three scales and how far the next step goes; `training` teaches it the
mean velocity between two states of a trajectory. `humo.loading.fast_form` loads the result.
"""
