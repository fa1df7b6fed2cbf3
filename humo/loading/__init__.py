"""What is loaded and where it is placed: published weights, memory presets, estimates, the fast form, LoRAs."""
