"""The words of a prompt: which the small model knows, and how they become a sentence."""
