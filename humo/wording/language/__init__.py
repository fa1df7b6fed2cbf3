"""Words and their forms in seven languages: the tables are in `languages/`."""
