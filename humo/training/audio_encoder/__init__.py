"""Training of mini's audio encoder."""
