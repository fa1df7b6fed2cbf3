"""What happens on the page: each event as a function of its inputs. Connected in `humo.space.application`."""
