"""Training of mini's text encoder."""
