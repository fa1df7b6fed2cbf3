"""Live on the page: one visitor speaks and the drawn person speaks along; the session, its routes, its player."""
