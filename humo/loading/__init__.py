"""What is loaded and where it is placed: published weights, memory presets, estimates, the fast form, LoRAs.

May import the pipeline and what stands below it; `humo.checkpoints` puts it together.
"""
