"""Whom a language model is asked about, and what it is asked to rank."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from distilrec.data.read import read
from distilrec.data.split import SplitSettings, split
from distilrec.errors import SettingsError
from distilrec.run.stages import Prepared
from distilrec.run.zero_shot import questions
from distilrec.types import Ragged


@pytest.fixture
def prepared():
    """User 0 is held out; user 1 is learnt from at one event, users 2 to 4 at items 0, 1, 2."""
    events = [(user, item) for user in range(5) for item in range(5)]
    interactions, _ = read(pl.DataFrame(events, schema=["user_id", "item_id"], orient="row"))
    train = Ragged.of([[0], [0, 1, 2], [0, 1, 2], [0, 1, 2]])
    whole = split(interactions, SplitSettings())
    return Prepared(interactions, replace(whole, train=train, train_users=np.array([1, 2, 3, 4])))


def test_a_question_is_about_the_user_whose_history_it_has(prepared):
    """A user that is held out has no training sequence, so sequences and users are numbered differently."""
    asked = questions(prepared, candidates=2, users=None)
    assert prepared.interactions.users["user_id"].gather(asked.users).to_list() == [2, 3, 4]
    assert [row.tolist() for row in asked.histories] == [[0, 1]] * 3


def test_candidates_are_new_items_and_no_more_than_there_are(prepared):
    assert [row.tolist() for row in questions(prepared, candidates=9, users=None).candidates] == [[2, 3, 4]] * 3


def test_fewer_users_are_spread_over_all(prepared):
    assert questions(prepared, candidates=2, users=2).users.tolist() == [2, 4]


def test_without_two_training_events_there_is_nothing_to_ask(prepared):
    short = replace(prepared.split, train=Ragged.of([[0]]), train_users=np.array([1]))
    with pytest.raises(SettingsError, match="no user has two training events, so there is nothing to ask"):
        questions(Prepared(prepared.interactions, short), candidates=2, users=None)
