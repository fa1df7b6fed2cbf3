"""The choice of LoRAs: its widgets and its events."""
