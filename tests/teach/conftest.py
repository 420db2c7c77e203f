"""A network and the windows of thirty users."""

import pytest
from small_teachers import SEQUENCES, network

from distilrec.data.batches import Windows


@pytest.fixture
def windows():
    return Windows.cut(SEQUENCES, max_length=4)


@pytest.fixture
def teacher():
    return network()
