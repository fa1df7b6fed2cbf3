"""Training of mini's autoencoder."""
