"""A tool: its arguments as JSON Schema, and what it does. Ours.

Whoever writes the calls is often a language model, so every argument says what it is for, and every refusal what to do.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from humo.space.mcp.call import Answer, Call
from humo.space.mcp.files import HOW
from humo.system.ranges import short

Arguments = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Tool:
    """What can be called."""

    name: str
    title: str
    description: str
    arguments: Mapping[str, Any]
    """JSON Schema by name."""
    required: tuple[str, ...]
    run: Callable[[Call, Arguments], Awaitable[Answer]]
    makes: bool = True
    """Whether it makes a file; else it only reads."""

    @property
    def schema(self) -> dict[str, Any]:
        """Of all arguments together, as JSON Schema."""
        return {
            "type": "object",
            "properties": dict(self.arguments),
            "required": list(self.required),
            "additionalProperties": False,
        }

    async def __call__(self, call: Call, given: Arguments) -> Answer:
        """Call it; an argument that is None counts as left out.

        Raises:
            ValueError: in one sentence, if an argument is missing or unknown, or anything is not allowed.
        """
        given = {name: value for name, value in given.items() if value is not None}
        for name in given:
            if name not in self.arguments:
                raise ValueError(f"{self.name} has no argument {short(name)}: it has {', '.join(self.arguments)}.")
        for name in self.required:
            if name not in given:
                raise ValueError(f"{self.name} needs {name}: {self.arguments[name]['description']}")
        return await self.run(call, given)


def text(longest: int, description: str) -> dict[str, Any]:
    """Schema of a text of so many characters."""
    return {"type": "string", "minLength": 1, "maxLength": longest, "description": description}


def whole(least: int, most: int, description: str, default: int | None = None) -> dict[str, Any]:
    """Schema of a whole number."""
    own = {} if default is None else {"default": default}
    return {"type": "integer", "minimum": least, "maximum": most, "description": description} | own


def flag(description: str) -> dict[str, Any]:
    """Schema of what is done only if asked for."""
    return {"type": "boolean", "default": False, "description": description}


def file(description: str) -> dict[str, Any]:
    """Schema of a file (`humo.space.mcp.files`)."""
    return {"type": "string", "description": f"{description} {HOW}"}


def read_flag(given: Arguments, name: str) -> bool:
    """The value of an argument of `flag`.

    Raises:
        ValueError: if it is neither true nor false.
    """
    value = given.get(name, False)
    if not isinstance(value, bool):
        raise ValueError(f"{name} is {short(value)}: give true or false.")
    return value
