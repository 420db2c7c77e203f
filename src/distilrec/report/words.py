"""Numbers as people read them."""

from __future__ import annotations

_BYTES = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def share(value: float) -> str:
    """0.125 as 12.5 %."""
    return f"{100 * value:.1f} %"


def size(count: float) -> str:
    """Bytes in a unit that leaves three digits at most: 592 kB."""
    for unit, name in _BYTES:
        if count >= unit:
            scaled = count / unit
            return f"{scaled:.1f} {name}" if scaled < 10 and scaled != int(scaled) else f"{scaled:.0f} {name}"
    return f"{count:g} B"


def milliseconds(value: float) -> str:
    """3.26 ms, 12.0 ms, 130 ms."""
    return f"{value:.2f} ms" if value < 10 else f"{value:.1f} ms" if value < 100 else f"{value:.0f} ms"


def seconds(value: float) -> str:
    """0.4 s, 12 s, 3 min 20 s, 2 h 05 min."""
    if value < 10:
        return f"{value:.1f} s"
    if value < 60:
        return f"{value:.0f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def number(value: float) -> str:
    """As short as it can be written: 0.5, 20."""
    return f"{value:g}"


def times(ratio: float) -> str:
    """A ratio: 156 times, 3.2 times."""
    return f"{ratio:,.0f} times" if ratio >= 10 else f"{ratio:.1f} times"


def unbroken(sentence: str) -> str:
    """With spaces at which no line breaks before % and around =."""
    return sentence.replace(" %", "\u00a0%").replace(" = ", "\u00a0=\u00a0")


def plural(count: int, noun: str) -> str:
    """1 user, 943 users."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def capital(sentence: str) -> str:
    """With its first letter large."""
    return sentence[:1].upper() + sentence[1:]
