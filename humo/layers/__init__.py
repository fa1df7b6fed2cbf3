"""What the networks are built of: block, audio attention, caches, autoencoder, windows, shares for several GPUs.

Imports guidance, timing and nothing above.
"""
