"""Reads named values out of one JSON object, exactly, and remembers which names were asked for."""

from __future__ import annotations

from collections.abc import Mapping

from protocol.errors import InvalidRequest

KINDS: Mapping[type, str] = {
    bool: "a boolean",
    int: "an integer",
    float: "a number with a fraction",
    str: "a string",
    list: "an array",
    dict: "an object",
    type(None): "null",
}


class Fields:
    """`null` is absent everywhere; a boolean is never a number. Every method raises InvalidRequest
    that names the field."""

    def __init__(self, data: Mapping[str, object], path: str = "") -> None:
        self._data = data
        self._path = path
        self._asked: dict[str, None] = {}
        self._inner: list[Fields] = []

    def wrong(self, name: str, message: str) -> InvalidRequest:
        """The error about one field; `message` follows its name."""
        return InvalidRequest(f"'{self.full(name)}' {message}", param=self.full(name))

    def full(self, name: str) -> str:
        """The name as the client would write it from the top."""
        return f"{self._path}.{name}" if self._path else name

    def names(self) -> tuple[str, ...]:
        """All names with a value, in the client's order."""
        return tuple(name for name, value in self._data.items() if value is not None)

    def unread(self) -> tuple[str, ...]:
        """Names with a value that nobody asked for, here and in objects that somebody asked for."""
        here = [self.full(name) for name in self.names() if name not in self._asked]
        return (*here, *(name for inner in self._inner for name in inner.unread()))

    def value(self, name: str) -> object | None:
        """Whatever is there."""
        self._asked[name] = None
        return self._data.get(name)

    def flag(self, name: str, default: bool = False) -> bool:
        """A boolean."""
        value = self._typed(name, bool)
        return default if value is None else bool(value)

    def text(self, name: str, max_chars: int) -> str | None:
        """A string."""
        value = self._typed(name, str)
        if value is not None and len(str(value)) > max_chars:
            raise self.wrong(name, f"may have at most {max_chars} characters")
        return None if value is None else str(value)

    def integer(self, name: str, low: int, high: int) -> int | None:
        """An integer in [low, high]."""
        value = self._typed(name, int)
        if not isinstance(value, int):
            return None
        if not low <= value <= high:
            raise self.wrong(name, f"must be between {low} and {high}")
        return value

    def number(self, name: str, default: float, low: float, high: float, *, above: bool = False) -> float:
        """A number in [low, high], or in (low, high] with `above`."""
        value = self.value(name)
        if value is None:
            return default
        if type(value) is not int and type(value) is not float:
            raise self.wrong(name, f"must be a number, not {kind(value)}")
        if not low <= value <= high or (above and value == low):
            raise self.wrong(name, f"must be {'above' if above else 'at least'} {low:g} and at most {high:g}")
        return float(value)

    def items(self, name: str, max_items: int) -> list[object] | None:
        """An array."""
        value = self._typed(name, list)
        if not isinstance(value, list):
            return None
        if len(value) > max_items:
            raise self.wrong(name, f"may have at most {max_items} entries")
        return value

    def inner(self, name: str) -> Fields | None:
        """An object."""
        value = self._typed(name, dict)
        if not isinstance(value, dict):
            return None
        self._inner.append(Fields(value, self.full(name)))
        return self._inner[-1]

    def _typed(self, name: str, wanted: type) -> object | None:
        value = self.value(name)
        if value is not None and type(value) is not wanted:
            raise self.wrong(name, f"must be {KINDS[wanted]}, not {kind(value)}")
        return value


def kind(value: object) -> str:
    """What JSON calls a value."""
    return KINDS[type(value)]
