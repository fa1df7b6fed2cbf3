"""The detail head: convolutions at the latents' own resolution, for steps of low noise. Imports `humo.layers` alone."""

DETAIL_PREFIX = "detail_head."
"""Of the names of the head's weights in a transformer; here, for the stages of a training are told before torch is."""
