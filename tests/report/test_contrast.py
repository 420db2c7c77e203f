"""Words and marks can be told from what they stand on, in light and in dark: WCAG 2 level AA."""

import re
from importlib import resources

import pytest

CSS = (resources.files("distilrec.report") / "page.css").read_text(encoding="utf-8")
WORDS = ["ink", "soft", "link", "distilled", "teacher", "student_alone", *(f"series-{n}" for n in range(6))]
MARKS = ["distilled", "teacher", "student_alone", "baseline"]
PAIRS = [("good", "good-back"), ("bad", "bad-back"), ("neutral", "neutral-back"), ("ink", "page"), ("soft", "page")]
PAIRS += [(f"in-part-{n}", f"part-{n}") for n in range(3)]


def colours(dark):
    """Names and values of one of the two palettes."""
    blocks = re.findall(r":root \{(.*?)\}", CSS, flags=re.S)
    return dict(re.findall(r"--([a-z_0-9-]+): (#[0-9a-f]{6});", blocks[int(dark)]))


def brightness(colour):
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(a, b):
    high, low = sorted((brightness(a), brightness(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_black_on_white_is_21():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


@pytest.mark.parametrize("dark", [False, True])
def test_words_have_four_and_a_half_and_marks_three(dark):
    palette = colours(dark)
    pairs = [(name, "surface") for name in WORDS] + PAIRS
    assert {pair for pair in pairs if contrast(palette[pair[0]], palette[pair[1]]) < 4.5} == set()
    assert {name for name in MARKS if contrast(palette[name], palette["surface"]) < 3} == set()
