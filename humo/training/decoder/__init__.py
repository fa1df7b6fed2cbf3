"""Training of mini's decoder on what the transformer makes."""
