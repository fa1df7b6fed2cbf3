"""What the page shows: layout, HTML, texts, pictures of what the model sees, CSS. Imports no event."""
