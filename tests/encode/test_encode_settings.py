"""One model or several, one template or several; an error is about the form that was written."""

import pytest

from distilrec.config import parse
from distilrec.encode.settings import EncodeSettings
from distilrec.errors import SettingsError


def test_a_text_is_one_and_a_list_is_several():
    assert EncodeSettings(model="a").models == ("a",)
    assert EncodeSettings(model=["a", "b"]).models == ("a", "b")
    assert EncodeSettings().templates == (None,)
    assert EncodeSettings(template="{title}").templates == ("{title}",)
    assert EncodeSettings(template=["{title}", "{genres}"]).templates == ("{title}", "{genres}")


def test_a_list_of_one_is_that_one():
    assert EncodeSettings(model=["a"], template=["{title}"]) == EncodeSettings(model="a", template="{title}")


def test_several_survive_a_change_of_another_setting():
    assert EncodeSettings(model=["a", "b"]).with_changes(max_tokens=8).model == ("a", "b")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model": []}, "model: Tuple should have at least 1 item"),
        ({"model": 3}, "model: Input should be a valid string (got 3)"),
        ({"model": ["a", 3]}, "model.1: Input should be a valid string (got 3)"),
        ({"template": {"title": None}}, "template: Input should be a valid string"),
    ],
)
def test_what_is_neither_is_refused(values, message):
    with pytest.raises(SettingsError) as refused:
        parse(EncodeSettings, values)
    assert message in str(refused.value)
