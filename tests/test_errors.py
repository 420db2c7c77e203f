"""One tree of errors, drawn in the docstring of the module."""

import pytest

from distilrec import errors
from distilrec.errors import DistilRecError, MissingExtraError

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_is_one_of_ours_and_stands_in_the_tree_of_the_docstring(kind):
    assert issubclass(kind, DistilRecError)
    assert f"{kind.__name__} " in f"{errors.__doc__}".replace("\n", " \n")


@pytest.mark.parametrize(
    ("name", "builtin"),
    [
        ("DataError", ValueError),
        ("SettingsError", ValueError),
        ("SourceError", OSError),
        ("StorageError", OSError),
        ("ArtifactError", ValueError),
        ("KnowledgeError", ValueError),
        ("TrainingError", RuntimeError),
        ("MissingExtraError", ImportError),
    ],
)
def test_a_caller_who_knows_only_the_builtin_kind_catches_ours_too(name, builtin):
    assert issubclass(getattr(errors, name), builtin)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not MissingExtraError])
def test_the_message_is_what_is_printed_even_where_python_would_add_an_error_number(kind):
    assert str(kind("u.data holds no rows")) == "u.data holds no rows"


def test_a_missing_library_gives_the_line_that_installs_it():
    error = MissingExtraError("scipy", "train")
    assert str(error) == "scipy is not installed. Run: pip install 'distilrec[train]'"
    assert (error.library, error.extra) == ("scipy", "train")
