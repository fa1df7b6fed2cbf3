"""What axe-core (MPL-2.0, in the package axe-playwright-python) finds wrong with a page, in sentences."""

from __future__ import annotations

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

SERIOUS = ("serious", "critical")
_SETTLE = """async () => {
    const isMoving = each => each.playState === 'running' && each.effect?.getComputedTiming().iterations !== Infinity;
    for (let count = 0; count < 3000; count++) {
        await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
        if (!document.getAnimations().some(isMoving)) return;
    }
}"""
_RUN = """async (include) => {
    const results = await axe.run(include === null ? document : include, {resultTypes: ['violations']});
    return results.violations;
}"""


def violations(page: Page, include: str | None = None) -> list[str]:
    """Serious and critical findings.

    Args:
        page: as it stands once nothing fades any more; what is hidden is not looked at.
        include: CSS selector of the part to look at; None for the whole page.

    Returns:
        A sentence for each part that breaks a rule: the rule, what it asks for, the part, what is wrong.
    """
    page.evaluate(_SETTLE)  # what fades has colours that are nobody's
    page.evaluate(AXE_SCRIPT)
    rules = [rule for rule in page.evaluate(_RUN, include) if rule["impact"] in SERIOUS]
    return [_sentence(rule, node) for rule in rules for node in rule["nodes"]]


def _sentence(rule: dict, node: dict) -> str:
    reason = "; ".join(check["message"] for check in [*node["any"], *node["all"], *node["none"]])
    where = f"{node['html'][:160]} at {node['target'][-1]}"
    return f"{rule['id']} ({rule['impact']}): {rule['help']}: {where}: {reason}"
