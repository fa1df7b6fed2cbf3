"""Measures the page's live sessions in Chromium, with a file as its microphone.

Run: python tests/space/live/over_the_page.py --seconds 600

Prints the figures that the player shows, and the memory of the page's process, every ten seconds; ends with code 1 if
the session ended early. Needs the test extra and Chromium.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "support"))
from pages import EXAMPLES, chromium, heard_by_microphone, process_at, serve  # noqa: E402

MIB = 2**20
FIGURES = ("delay", "factor", "underruns", "losses", "left_out", "caught_up")


def main() -> int:
    """Measure; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--voice", type=Path, default=EXAMPLES / "woman.wav", help="WAV that is spoken, repeated.")
    parser.add_argument("--picture", type=Path, help="PNG of the last frame that was seen.")
    options = parser.parse_args()
    minutes = max(1, -(-int(options.seconds) // 60))
    settings = {"HUMO_LIVE_MINUTES": str(minutes)}
    with (
        tempfile.TemporaryDirectory() as folder,
        serve(Path(folder), settings=settings) as address,
        chromium(*heard_by_microphone(options.voice)) as browser,
    ):
        page = browser.new_context(permissions=["microphone"]).new_page()
        page.goto(address)
        page.get_by_role("tab", name="Text + Audio", exact=True).click()
        page.locator("#prompt-TA textarea").fill("a woman with curly red hair, in a green shirt, talks")
        page.get_by_role("button", name="Speak live").first.click()
        page.locator("#player-TA [data-live=start]").click()
        page.locator("#player-TA [data-pieces]").wait_for(state="attached", timeout=120_000)
        print("second", *FIGURES, "MiB", sep="\t")
        began, status, second = time.monotonic(), "?", 0.0
        while (second := time.monotonic() - began) < options.seconds - 5:
            page.wait_for_timeout(10_000)
            told = [page.locator(f"#player-TA [data-live=told-{name}]").inner_text() for name in FIGURES]
            memory = process_at(address).memory_info().rss / MIB
            print(f"{second + 10:.0f}", *told, f"{memory:.0f}", sep="\t", flush=True)
            status = page.locator("#player-TA [data-live=status]").inner_text()
            if page.locator("#player-TA [data-live=stop]").is_hidden():
                break
        if options.picture:
            page.locator("#player-TA").screenshot(path=options.picture)
        print(status)
    return 0 if second >= options.seconds - 15 else 1


if __name__ == "__main__":
    sys.exit(main())
