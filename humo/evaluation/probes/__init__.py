"""Probes: small networks that read what is drawn, and their training."""
