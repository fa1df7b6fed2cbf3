"""The page's fixed texts, and the scripts that a few of its parts carry."""

from __future__ import annotations

HEAD = """<div class="humo-head"><svg viewBox="0 0 120 120" aria-hidden="true">
<rect class="ground" width="120" height="120" rx="30"/><g class="line"><path d="M22 112c4-22 20-30 38-30s34 8 38 30"/>
<circle cx="60" cy="48" r="28"/><path d="M50 42v5M70 42v5M50 58q10 10 20 0z"/></g></svg>
<div><h1>HuMo, compact</h1><p>A talking video from a text, a picture and a voice.</p></div></div>"""

KNOW = """<div class="humo-know">
<div><h2>Drawn people, also from photographs</h2><p>The small model behind this page makes drawn characters. Of a
photograph it is shown a drawing with the hair, glasses, beard and clothes that were found in it; what was found wrongly
you change by a press. The drawing is a likeness as a cartoon is one, no more.</p></div>
<div><h2>What is kept</h2><p>What you upload stays on the computer that serves this page: a photograph that was drawn
until you close the page, all else for a day at most. A link keeps the video and its settings, with what was drawn;
picture and voice only if you say so. Every video says in its own data that it is AI-generated, by which model and
with which settings.</p></div>
</div>"""

ONE_PICTURE = """<p class="humo-detail">One picture: this model was taught with one, and takes no second.</p>"""

MORE_PICTURES = "More pictures: other people or things"

PICTURES_ARE_FOR = """<p class="humo-detail">Each shows the model one person or thing that is to be seen in the video:
somebody else, clothes, an animal, what a hand holds. None becomes a frame. The text says who or what each one is. The
model is shown them in this order.</p>"""

CONSENT = """<p class="humo-consent">Real faces and voices: only your own, or with their owner's consent.</p>"""

NO_SPEECH = """<p class="humo-label">No voice is installed here: <code>pip install hibari-tts</code> brings an English
one, <code>pip install espeakng-loader</code> many (espeak-ng, GPL-3).</p>"""

MORE_SPEAKERS = """<p class="humo-detail">It reads English. Men, women and other languages come with an optional extra
(espeak-ng, GPL-3): <code>pip install espeakng-loader</code>.</p>"""

WITHOUT_LORAS = "LoRAs count in full quality alone: this is made without those that are chosen."

KEY = "Keep it if you may want to delete the link; it is shown only now."

NOT_LASTING = """<p class="humo-detail">This page has no storage that stays: a link ends with its next restart.</p>"""

INSIDE = """<p class="humo-detail">Makes the video once more and keeps what the network did at every step: where it
expected the face, which branches guidance weighed, and what text, picture and voice each changed.</p>"""

VIEWS = {
    "masks": "Where it expects the face",
    "senses": "What each sense did",
    "sound": "Where the voice acts",
    "schedule": "How it was guided",
}
"""Name and title of each view of the look inside."""

COMPARE = """<p class="humo-detail">The same inputs and the same seed, once with scales that change with time and once
with scales that stay, side by side.</p>"""

# On a narrow screen the result is below the inputs: show it when a job starts. At once, for the updates of the panel
# would end a smooth scroll. Here and not on the buttons, whose own scripts do not always run in tabs opened later.
SHOW_RESULT = """
let wasRunning = false;
const look = () => {
    const isRunning = element.querySelector('.is-running') !== null;
    if (isRunning && !wasRunning && window.innerWidth < 900) document.getElementById('result').scrollIntoView();
    wasRunning = isRunning;
};
watch('value', look);
look();
"""

CHIPS = """
element.addEventListener('click', (event) => {
    const chip = event.target.closest('button[data-word]');
    if (chip) trigger('click', {group: chip.dataset.group, word: chip.dataset.word});
});
const steps = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1};
element.addEventListener('keydown', (event) => {
    const chips = [...event.target.closest('[role=toolbar]')?.querySelectorAll('button') ?? []];
    const ends = {Home: 0, End: chips.length - 1};
    const next = ends[event.key] ?? (chips.indexOf(event.target) + steps[event.key] + chips.length) % chips.length;
    if (!chips[next]) return;  // no key of ours
    event.preventDefault();
    chips.forEach((chip, index) => { chip.tabIndex = index === next ? 0 : -1; });
    chips[next].focus();
});
"""
"""Tells the page which chip was pressed; the keyboard reaches a row by Tab and the words in it by arrows."""


MAKER, CHANGE = "No picture at hand? Make a person", "Change the person"

MAKE_PERSON = """
const rows = [...element.querySelectorAll('fieldset')];
const read = () => Object.fromEntries(
    rows.map((row) => [row.dataset.attribute, row.querySelector('input:checked')?.value ?? null]));
const patience = 5000;
let asked = 0, isChanged = false;  // one question at a time; its answer must not undo what was pressed meanwhile
const ask = () => {
    if (Date.now() - asked < patience) {
        isChanged = true;
        setTimeout(() => { if (isChanged) ask(); }, patience);
        return;
    }
    asked = Date.now();
    isChanged = false;
    trigger('click', {chosen: read()});
};
element.addEventListener('change', ask);
const show = () => {
    if (!props.value) return;
    element.querySelector('.humo-maker').style.setProperty('--tiles', `url(${props.value.tiles})`);
    asked = 0;
    if (isChanged) return ask();
    for (const row of rows) {
        const chosen = props.value.chosen[row.dataset.attribute];
        for (const button of row.querySelectorAll('input')) button.checked = button.value === chosen;
    }
};
watch('value', show);
show();
"""
"""Tells the page what is chosen in the person maker, and shows the drawings that it answers with."""


def wake(button: str | None) -> str:
    """JavaScript of an event that presses a hidden button, if its input, a checkbox, is ticked.

    Args:
        button: the button's element id.
    """
    return f"(live) => {{ if (live) document.getElementById('{button}').click(); }}"
