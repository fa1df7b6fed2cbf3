"""Training of mini's transformer and focus head: data, batches, stages, rounds, the loop."""
