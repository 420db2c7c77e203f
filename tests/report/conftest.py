import pytest
from made_reports import Outline, made_facts

from small_world import copied, finished, quick, small  # noqa: F401  (fixtures)


@pytest.fixture
def outline():
    return Outline


@pytest.fixture
def facts():
    return made_facts()
