"""Somebody speaks and the person speaks along: a video without an end, made in pieces of about a second.

Each piece goes on from the frames before it, which are known (`humo.known.Known`), and hears the seconds before it.
All of it is ours.

May import the pipeline and what stands below it.
"""
