"""The numbers that a model is computed in: what narrower ones change, and where the time of a pass goes in each."""
