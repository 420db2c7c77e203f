"""Every kind of model is found by the name it was saved under."""

from importlib import import_module

import numpy as np
import pytest

from distilrec.config import Settings
from distilrec.errors import ArtifactError, SettingsError
from distilrec.models import kinds as table
from distilrec.models.kinds import kinds, rebuild
from distilrec.types import Batch


@pytest.mark.parametrize("kind", kinds())
def test_a_kind_names_a_class_of_that_kind_and_its_settings(kind):
    module_name, class_name, settings_name = table._KINDS[kind]
    module = import_module(module_name)
    assert getattr(module, class_name).kind == kind
    assert issubclass(getattr(module, settings_name), Settings)


def test_a_model_is_rebuilt_from_plain_values():
    model = rebuild("popularity", {}, {"counts": np.array([3, 0])})
    np.testing.assert_allclose(model.scores(Batch.of([[0]])), [[np.log(4), 0.0]], rtol=1e-6)


def test_an_unknown_kind_is_refused_with_those_that_are_known():
    with pytest.raises(ArtifactError, match=r"model kind 'gru9' is unknown; known: popularity, .*A newer DistilRec"):
        rebuild("gru9", {}, {})


def test_an_unknown_setting_is_refused_under_the_kinds_name():
    with pytest.raises(SettingsError, match="transformer: unknown setting 'widht'; did you mean 'width'"):
        rebuild("transformer", {"widht": 3}, {})
