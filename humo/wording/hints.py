"""For what cannot be drawn, the nearest things that can. Ours."""

from __future__ import annotations

from humo.wording.language.tokens import tokenize
from humo.world.people import GARMENTS

MOVEMENTS = "movements: nods, shakes the head, sways, holds still, talks, is silent"
CLOTHES = f"clothes: {', '.join(GARMENTS)}, each in one colour; glasses; a beard or a moustache"
BACKGROUNDS = "a background in one colour, plain, striped or dotted"
EYES = "eyes take their colour from a picture"
PEOPLE = "one person: hair, skin, glasses, beard, clothes, background, movement"
_WORN = (
    "hat cap tie bow scarf headscarf hijab turban crown helmet mask veil gloves earring earrings "
    "necklace jewelry jewellery ring rings bracelet watch belt trousers pants jeans shorts skirt shoes "
    "boots socks backpack bag makeup lipstick piercing tattoo tattoos tattooed headphones sleeves "
    "collar plaid checked leather floral print spacesuit costume cape cloak wings hut mütze krawatte "
    "schal kette ohrringe chapeau cravate écharpe boucles collier sombrero corbata bufanda collar "
    "aretes 帽 项 链 टोपी टाई हार قبعة ربطة عقد وشاح"
)
_PLACES = (
    "beach sea ocean forest woods wood mountain mountains city street road park garden field desert "
    "snow rain rains raining sun sunset sunrise sky cloud clouds night day room kitchen office studio "
    "cafe bar restaurant school castle church house building car train plane bus space stage window "
    "door tree trees table chair desk library shop market river lake island moon stars strand meer wald "
    "berg stadt straße garten regen schnee küche büro plage mer forêt montagne ville rue jardin pluie "
    "neige cuisine bureau fenêtre playa mar bosque montaña ciudad calle jardín lluvia nieve cocina "
    "oficina 海 雨 雪 森林 城市 街 समुद्र जंगल शहर बारिश مطر شارع مدينة بحر"
)
_MOVES = (
    "laughs smiles smile dances runs walks jumps eats drinks cries waves winks blinks sits stands plays "
    "looks holds lies sleeps reads writes claps kisses hugs lacht lächelt tanzt läuft springt isst "
    "trinkt weint winkt steht sitzt rit sourit danse court saute mange boit pleure ríe sonríe baila "
    "corre salta come bebe llora bailando 笑 舞 हँस नाच يضحك يبتسم ترقص يركب"
)
_BY_WORD = {
    piece.form: hint
    for words, hint in ((_WORN, CLOTHES), (_PLACES, BACKGROUNDS), (_MOVES, MOVEMENTS))
    for piece in tokenize(words)
}
_EYES = ("eye", "eyes", "augen", "yeux", "ojos")


def nearest_things(unknown: str) -> str:
    """What comes nearest to something that cannot be drawn.

    Args:
        unknown: as it is written in the text.

    Returns:
        A few words; everything that can be drawn, where nothing is near.
    """
    forms = [piece.form for piece in tokenize(unknown)]
    if any(form in _EYES for form in forms):
        return EYES
    for form in forms:
        if form in _BY_WORD:
            return _BY_WORD[form]
    if any(form.endswith("ing") and len(form) > 5 for form in forms):
        return MOVEMENTS
    return PEOPLE
