"""What a call asks for: read and checked before anything is computed, its noise, and the features of its prompt.

May import layers, guidance, media, portrait and wording; knows no pipeline.
"""
