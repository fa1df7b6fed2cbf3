"""The tools around a video: a text spoken, and what the model reads of a text or sees in a photograph. Ours."""

from __future__ import annotations

from pathlib import Path

from humo.portrait.caption import write_caption
from humo.portrait.reading import read_portrait
from humo.space.jobs.limits import READERS
from humo.space.mcp.call import Answer, Call
from humo.space.mcp.files import find_file
from humo.space.mcp.tool import Arguments, Tool, file, text, whole
from humo.space.page.events.speaking import MAX_TEXT, speak_to_file
from humo.space.page.speakers import ENGINES, OWN_PITCH, VOICES, offered
from humo.space.state import Backend
from humo.system.ranges import MAX_PROMPT_LENGTH, is_whole, short
from humo.timing import FPS
from humo.wording.rewording import tell
from humo.wording.understanding import understand

_RATE = 165
"""Words a minute."""


def reading_tools(backend: Backend) -> list[Tool]:
    """The tools that a page's model and the installed voices can do."""
    defaults = backend.serving.defaults
    tools = [_speak(backend)] if offered() else []
    tools += [_read_text()] if defaults.rewords_prompts else []
    return tools + ([_read_portrait(backend)] if defaults.draws_people else [])


def _speak(backend: Backend) -> Tool:
    voices = offered()
    slowest = max(engine.rates[0] for engine in ENGINES)
    fastest = min(VOICES[voice].engine.rates[1] for voice in voices)
    most = backend.serving.defaults.max_frames
    longest = None if most is None else most / FPS

    async def run(call: Call, given: Arguments) -> Answer:
        voice, rate = given.get("voice", voices[0]), given.get("rate", _RATE)
        if voice not in voices:
            raise ValueError(f"voice is {short(voice)}: choose one of {', '.join(voices)}.")
        if not is_whole(rate, slowest, fastest):
            raise ValueError(f"rate is {short(rate)}: choose a whole number from {slowest} to {fastest}.")
        await call.run(backend.admission.manager.quota.make)
        path = await call.run(speak_to_file, given["text"], voice, rate, backend.folder, OWN_PITCH, longest)
        return Answer(text="Spoken: give its address as audio.", file=path)

    return Tool(
        name="speak",
        title="Speak a text",
        description="A synthetic voice speaks a text: a WAV whose address can be given as audio to the other tools.",
        arguments={
            "text": text(MAX_TEXT, "What is said."),
            "voice": {"type": "string", "enum": voices, "default": voices[0], "description": "Who says it."},
            "rate": whole(slowest, fastest, "Words a minute.", _RATE),
        },
        required=("text",),
        run=run,
    )


def _read_text() -> Tool:
    async def run(call: Call, given: Arguments) -> Answer:
        prompt = given["prompt"]
        if not isinstance(prompt, str) or not prompt.strip() or len(prompt) > MAX_PROMPT_LENGTH:
            raise ValueError(f"prompt is {short(prompt)}: give a text of at most {MAX_PROMPT_LENGTH:,} characters.")
        understood = await call.run(understand, prompt)
        lines = [f"The model reads: {understood.prompt}", *tell(understood)]
        return Answer(
            text="\n".join(dict.fromkeys(lines)),
            data={"reads": understood.prompt, "attributes": dict(understood.attributes), "notes": lines[1:]},
        )

    return Tool(
        name="read_text",
        title="What the model reads of a text",
        description="Tells what this model of drawn people reads of a text in English, German, French, Spanish, "
        "Chinese, Hindi or Arabic, what it draws otherwise and what it cannot draw. Nothing is made.",
        arguments={"prompt": text(MAX_PROMPT_LENGTH, "The text.")},
        required=("prompt",),
        run=run,
        makes=False,
    )


def _read_portrait(backend: Backend) -> Tool:
    def look(given: object, folder: Path) -> Answer:
        path = find_file(given, "image", folder, backend.admission.manager.quota)
        backend.admission.check_file("image", path)
        with READERS:
            portrait = read_portrait(path)
        caption = write_caption(portrait)
        return Answer(text=caption, data={"caption": caption, "attributes": portrait.attributes})

    async def run(call: Call, given: Arguments) -> Answer:
        return await call.run(look, given["image"], call.folder)

    return Tool(
        name="read_portrait",
        title="What the model sees in a photograph",
        description="Reads a photograph of a person in the words of the model's drawn world: hair, glasses, beard, "
        "clothes; gender, skin and eyes are guesses. The caption that comes back is a prompt. Nothing is made or kept.",
        arguments={"image": file("A photograph in which a person is seen well and from the front.")},
        required=("image",),
        run=run,
        makes=False,
    )
