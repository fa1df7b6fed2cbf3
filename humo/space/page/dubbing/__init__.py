"""The part of the page that gives a clip another voice."""
