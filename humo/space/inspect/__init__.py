"""Views of what happened: inside a generation, and two schedules side by side."""
