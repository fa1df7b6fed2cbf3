"""A row's clip: read, filtered, measured, encoded."""
