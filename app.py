"""The page: a talking video from text, a picture and a voice. `python app.py` is `python -m humo page`.

A Space starts this file (`app_file` in the Spacefile); the page itself is `humo.space.application`.
"""

from __future__ import annotations

import sys

from humo.space.application.command import page
from humo.system.command_line import as_app, run

if __name__ == "__main__":
    sys.exit(run(as_app(page), None, "python app.py"))
