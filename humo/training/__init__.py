"""Training of mini from nothing, part by part, and of its fast form."""
