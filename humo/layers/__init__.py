"""What the networks are built of: block, audio attention, caches, autoencoder, windows, shares for several GPUs.

May import guidance, timing and nothing above them.
"""
