"""The addresses under which a player reaches its live session: plain requests, each of them whole. Ours.

A WebSocket would have to be opened anew where a connection was lost, and some proxies pass none on. Here each stretch
of sound is a request, which is sent again if it failed, and each piece an answer that is waited for; one after the
other over one connection they cost a few milliseconds a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from humo.media import read_sound
from humo.space.live.broadcast import Broadcast
from humo.space.live.hub import LiveHub
from humo.space.live.wire import as_wav, read_sound_bytes

WAITING = 5.0
"""Seconds that an answer is waited for; then the player asks again."""
_GONE = "This live session is over: press Speak live to begin again."
_NO_VOICE = "This live session has no voice of its own: speak into the microphone."


def live_routes(hub: LiveHub) -> list[BaseRoute]:
    """Routes below `/live`, for the app that serves the page.

    Args:
        hub: knows the sessions.
    """

    def of_session(answer: Callable[[Broadcast, Request], Awaitable[Response]]) -> Callable[..., Awaitable[Response]]:
        async def answered(request: Request) -> Response:
            broadcast = hub.find(request.path_params["id"])
            if broadcast is None:
                raise HTTPException(404, _GONE)
            try:
                return await answer(broadcast, request)
            except ValueError as error:
                raise HTTPException(422, str(error)) from None

        return answered

    def route(path: str, answer: Callable[[Broadcast, Request], Awaitable[Response]], method: str) -> Route:
        return Route(f"/live/{{id}}/{path}", of_session(answer), methods=[method])

    return [
        route("sound", _hear, "POST"),
        route("piece", _piece, "GET"),
        route("voice", _voice, "GET"),
        route("stop", _stop, "POST"),
    ]


async def _hear(broadcast: Broadcast, request: Request) -> Response:
    start, body = _number(request, "start"), await request.body()
    if start < 0:
        raise ValueError(f"start is {start}: give the number of the first sample, 0 or more.")
    return JSONResponse(broadcast.hear(start, read_sound_bytes(body)))


async def _piece(broadcast: Broadcast, request: Request) -> Response:
    after = _number(request, "after")
    answer = await asyncio.to_thread(broadcast.next_piece, after, WAITING)
    if isinstance(answer, bytes):
        return Response(answer, media_type="application/octet-stream", headers={"Cache-Control": "no-store"})
    return JSONResponse(answer, headers={"Cache-Control": "no-store"})


async def _voice(broadcast: Broadcast, request: Request) -> Response:
    if broadcast.asked.voice is None:
        raise ValueError(_NO_VOICE)
    sound = await asyncio.to_thread(read_sound, broadcast.asked.voice)
    return Response(as_wav(sound), media_type="audio/wav", headers={"Cache-Control": "no-store"})


async def _stop(broadcast: Broadcast, request: Request) -> Response:
    broadcast.stop()
    return JSONResponse(broadcast.told())


def _number(request: Request, name: str) -> int:
    text = request.query_params.get(name, "")
    if not text.removeprefix("-").isdecimal() or len(text) > 15 or not text.isascii():
        raise ValueError(f"{name} is {text[:40]!r}: give a whole number.")
    return int(text)
