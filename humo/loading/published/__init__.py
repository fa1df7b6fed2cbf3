"""The published 1.7B and 17B weights: where they are, their names and shapes, and their conversion for `humo.load`."""
