"""Which event of the page does what: the page's parts, connected with the functions of `humo.space.page.events`."""

from __future__ import annotations

from typing import Any

import gradio as gr

from humo.media import read_picture, read_sound
from humo.space.links.records import Record
from humo.space.live import view as live_view
from humo.space.page import texts
from humo.space.page.events import filling, generating, looking, picturing, portraying, sharing
from humo.space.page.events.going_on import on_go_on
from humo.space.page.loras.events import on_loras, on_take
from humo.space.page.widgets import QUEUED, QUICK, Inputs, Parts
from humo.space.photographs import Photographs
from humo.space.state import Backend


def connect_generating(page: Parts, backend: Backend) -> None:
    """Generate, Quick look, Go on and Live, and Stop wherever it stands."""
    settings, panel = page.settings, page.panel
    cleared = sharing.cleared(page.links) | looking.cleared(page.views, page.other)
    outputs = [*dict.fromkeys([*panel.parts(), settings.seed, *page.starts(), *cleared, *page.groups()])]
    for inputs in page.tabs:
        given = {*inputs.widgets(), *settings.widgets()}
        for button, is_fast in ((inputs.generate, False), (inputs.quick, True)):
            button.click(generating.on_generate(inputs, page, cleared, backend, is_fast), given, outputs, **QUEUED)
        on_click = on_go_on(inputs, page, cleared, backend)
        inputs.go_on.click(on_click, given | {panel.made}, outputs, **QUEUED)
        look = generating.on_live(inputs, page, cleared, backend.admission)
        inputs.wake.click(look, given, outputs, trigger_mode="always_last", **QUEUED)
        changes = [each.change for each in (*inputs.widgets(), inputs.live)] + [settings.seed.input]
        changes += [each.release for each in settings.scales.values()]
        gr.on(changes, None, inputs.live, js=texts.wake(inputs.wake.elem_id), **QUICK)
    for stop in page.stops():
        stop.click(generating.on_stop(backend.admission.manager), **QUICK)


def connect_looking(page: Parts, backend: Backend) -> None:
    """Look inside and Compare."""
    views, other, made, starts = page.views, page.other, page.panel.made, page.starts()
    look, compare = looking.on_look_inside(page, backend.admission), looking.on_compare(page, backend.admission)
    views.look.click(look, made, [*views.parts(), *starts], **QUEUED)
    for slider in (views.step, views.frame):
        place = [views.inside, views.step, views.frame]
        slider.release(looking.on_turn(views), place, [*views.pictures.values()], **QUICK)
    other.compare.click(compare, made, [*other.parts(), *starts], **QUEUED)


def connect_inputs(inputs: Inputs, page: Parts, backend: Backend) -> None:
    """What a tab's own widgets do: words, uploads, speech, examples, the estimate of time."""
    settings, defaults = page.settings, backend.serving.defaults
    image, audio, speaking = inputs.image, inputs.audio, inputs.speaking
    inputs.words.click(filling.add_word, inputs.prompt, inputs.prompt, **QUICK)
    if image is not None:
        image.upload(filling.on_upload(read_picture), image, image, **QUEUED)
        if inputs.maker is None:
            shown = [image, settings.size]
            gr.on([each.change for each in shown], filling.on_picture(defaults), shown, inputs.seen, **QUICK)
    if audio is not None and speaking is not None:
        audio.upload(filling.on_upload(read_sound), audio, audio, **QUEUED)
        heard: list[Any] = [audio, settings.shift]
        gr.on([each.change for each in heard], filling.on_sound(defaults), heard, inputs.heard, **QUICK)
        speak = filling.on_speak(backend.admission.manager.quota, defaults)
        speaking.speak.click(speak, [speaking.text, speaking.voice, speaking.rate], audio, **QUEUED)
    if inputs.player is not None and backend.live is not None:
        begin = live_view.on_speak_live(inputs, settings, backend.live, backend.admission)
        inputs.player.click(begin, {*inputs.widgets(), *settings.widgets()}, inputs.player, **QUEUED)
    for example, button in inputs.examples:
        outputs = [*inputs.restored(), settings.seed, settings.is_random]
        button.click(filling.on_example(example, inputs, settings), None, outputs, **QUICK)
    known = filling.on_estimate(inputs, settings, backend.serving)
    told: list[Any] = [page.panel.made, settings.steps, settings.rule, settings.size, inputs.seconds, audio]
    for widget in filter(None, [*told, *inputs.slot_images()]):
        widget.change(known, {*inputs.widgets(), *settings.widgets()}, inputs.estimate, **QUICK)


def connect_settings(page: Parts) -> None:
    """The guidance rule and its scales, the drawn schedule, settings out of an earlier video."""
    settings = page.settings
    shown = [settings.note, *settings.scales.values()]
    settings.rule.input(filling.on_rule(settings), settings.rule, shown, **QUICK)
    drawn: list[Any] = [settings.mode, settings.steps, settings.rule, *settings.scales.values()]
    draw = (filling.on_schedule(settings), set(drawn), settings.curve)
    for widget in drawn[1:]:
        widget.change(*draw, **QUICK)
    for inputs in page.tabs:
        inputs.tab.select(filling.on_tab(inputs.mode), None, settings.mode, **QUICK).then(*draw, **QUICK)
    if settings.loras is not None:
        choice, taken = settings.loras, [settings.steps, settings.rule, settings.note, *settings.scales.values()]
        choice.names.change(on_loras(choice), choice.names, [choice.note, choice.take], **QUICK)
        choice.take.click(on_take(choice, settings), choice.names, taken, **QUICK)
    settings.restore.upload(filling.on_restore(page), settings.restore, page.restored(), **QUEUED)


def connect_pictures(blocks: gr.Blocks, page: Parts, photographs: Photographs) -> None:
    """The drawn person of a photograph, and more pictures."""
    settings = page.settings
    for inputs in (tab for tab in page.tabs if tab.maker is not None):
        maker, given = inputs.maker, {*inputs.widgets(), inputs.maker.completed, settings.size}
        outputs = [maker.person, maker.completed, maker.as_is, maker.box, maker.buttons, inputs.seen, inputs.prompt]
        inputs.image.change(portraying.on_picture(inputs, settings, photographs), given, outputs, **QUEUED)
        maker.as_is.input(portraying.on_as_is(inputs, settings), given, outputs, **QUEUED)
        maker.box.expand(portraying.on_maker(inputs), given, maker.buttons, **QUICK)
        maker.buttons.click(portraying.on_tile(inputs), given, outputs, trigger_mode="multiple", **QUEUED)
        maker.surprise.click(portraying.on_surprise(inputs), given, outputs, **QUEUED)
    for inputs in (tab for tab in page.tabs if tab.more is not None):
        ordered, given = inputs.ordered(), {*inputs.ordered(), settings.size}
        changing: list[Any] = [*ordered, settings.size]
        outputs = [*dict.fromkeys([*ordered, *inputs.more.parts()])]
        arrange = picturing.on_pictures(inputs, settings, photographs)
        gr.on([each.change for each in changing], arrange, given, outputs, **QUICK)
        for slot in inputs.more.slots:
            slot.image.upload(filling.on_upload(read_picture), slot.image, slot.image, **QUEUED)
            if slot.earlier is not None:
                swap = picturing.on_earlier(inputs, settings, ordered.index(slot.image))
                slot.earlier.click(swap, given, outputs, **QUICK)
    blocks.unload(photographs.forget)


def connect_links(blocks: gr.Blocks, page: Parts, backend: Backend, shown: list[Record]) -> None:
    """Share, open, remix, delete, and the gallery."""
    links, opened, maker = page.links, page.opened, page.maker
    made = [page.panel.made, links.keeps_inputs]
    links.share.click(sharing.on_share(links, backend), made, links.parts(), **QUEUED)
    links.delete.click(sharing.on_delete(links, backend), [links.id, links.token], links.parts(), **QUEUED)
    blocks.load(sharing.on_open(page, backend), None, [*opened.parts(), maker], **QUICK)
    opened.close.click(sharing.on_close(page), None, [opened.group, maker], **QUICK)
    remixed = [opened.group, maker, *page.restored()]
    opened.remix.click(sharing.on_remix(page, backend), opened.id, remixed, **QUEUED)
    delete = sharing.on_delete_opened(opened, backend)
    opened.delete.click(delete, [opened.id, opened.key], opened.parts(), **QUEUED)
    choose = sharing.on_gallery(page, backend, shown)
    page.gallery.select(choose, None, [*opened.parts(), maker], **QUICK)
