"""Numbers as people read them."""

import pytest

from distilrec.evaluate.bootstrap import Interval
from distilrec.report import words


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (12, "12 B"),
        (592_000, "592 kB"),
        (1_500_000, "1.5 MB"),
        (1_000_000, "1 MB"),
        (92_195_996, "92 MB"),
        (2e9, "2 GB"),
    ],
)
def test_sizes_have_three_digits_at_most(count, text):
    assert words.size(count) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.44, "0.4 s"), (12, "12 s"), (59.7, "60 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")]
)
def test_seconds(value, text):
    assert words.seconds(value) == text


@pytest.mark.parametrize(("value", "text"), [(3.256, "3.26 ms"), (12.04, "12.0 ms"), (130.4, "130 ms")])
def test_milliseconds(value, text):
    assert words.milliseconds(value) == text


def test_the_rest():
    assert words.share(0.125) == "12.5 %"
    assert Interval(0.5, 0.25, 0.75).cell() == "0.5000 [0.2500, 0.7500]"
    assert (words.times(155.8), words.times(3.21)) == ("156 times", "3.2 times")
    assert (words.plural(1, "user"), words.plural(1200, "user")) == ("1 user", "1,200 users")
    assert words.capital("no difference") == "No difference"
    assert words.number(0.5) == "0.5"
    assert words.unbroken("95 % interval, p = 0.1") == "95\u00a0% interval, p\u00a0=\u00a00.1"
