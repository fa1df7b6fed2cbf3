"""Training of mini's audio encoder once more, so that it hears other voices than espeak-ng's. Ours."""
