"""What happens inside a generation, as data, figures and words: the page and the lessons show the same."""
