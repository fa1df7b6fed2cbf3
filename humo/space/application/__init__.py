"""The page as a program: laid out, connected, served. Imports every other part of `humo.space` but deploy."""
