"""Questions that arrive in one turn of the event loop go to the model together."""

import asyncio

import pytest
from fakes import FakeModel

from distilrec.errors import SettingsError
from distilrec.serve.batching import Batcher, Question
from distilrec.serve.model import InUse


def ask_at_once(model, *questions, largest=32):
    async def scene():
        batcher = Batcher(InUse(model), largest=largest)
        return await asyncio.gather(*(batcher.ask(one) for one in questions), return_exceptions=True)

    return asyncio.run(scene())


def test_each_gets_its_own_answer_of_one_batch():
    model = FakeModel()
    found = ask_at_once(model, Question(["a"], k=1), Question(["b"], k=2), Question([], k=1))
    assert [one.item_ids for one in found] == [["b"], ["c", "d"], ["a"]]
    assert model.batches == [3]


def test_a_batch_has_a_largest_size():
    model = FakeModel()
    ask_at_once(model, *[Question(["a"])] * 5, largest=2)
    assert model.batches == [2, 2, 1]


def test_filters_and_other_wishes_do_not_leak_into_the_batch():
    model = FakeModel()
    found = ask_at_once(model, Question(["a"]), Question(["a"], allow=["d"]), Question(["a"], exclude_history=False))
    assert [one.item_ids for one in found] == [["b", "c", "d", "a"], ["d"], ["b", "c", "d", "a"]]
    assert model.batches == [1, 1, 1]


def test_one_bad_question_spoils_no_other():
    found = ask_at_once(FakeModel(), Question(["a"], k=1), Question(["fault"]), Question(["b"], k=1))
    assert [one.item_ids for one in (found[0], found[2])] == [["b"], ["c"]]
    assert isinstance(found[1], SettingsError)


def test_who_gave_up_is_not_asked_for():
    async def scene():
        model = FakeModel()
        batcher = Batcher(InUse(model))
        gone = asyncio.create_task(batcher.ask(Question(["a"])))
        stays = asyncio.create_task(batcher.ask(Question(["b"], k=1)))
        asyncio.get_running_loop().call_soon(gone.cancel)
        await asyncio.wait([gone, stays])
        return model.batches, stays.result().item_ids

    batches, items = asyncio.run(scene())
    assert batches in ([1], [2])  # it may have been too late to give up
    assert items == ["c"]


@pytest.mark.parametrize("together", [1, 4])
def test_a_new_model_answers_from_the_next_batch_on(together):
    async def scene():
        in_use = InUse(FakeModel())
        batcher = Batcher(in_use)
        before = await asyncio.gather(*(batcher.ask(Question(["a"], k=1)) for _ in range(together)))
        in_use.model = FakeModel(ids=("a", "z"))
        after = await asyncio.gather(*(batcher.ask(Question(["a"], k=1)) for _ in range(together)))
        return before[0].item_ids, after[0].item_ids

    assert asyncio.run(scene()) == (["b"], ["z"])
