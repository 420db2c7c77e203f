"""Which items stand for the catalogue: the teacher's, the student's, and random ones."""

import pytest
import torch

from distilrec.config import parse
from distilrec.distil import candidates
from distilrec.distil.candidates import CandidateSettings, best_items, choose_candidates
from distilrec.errors import SettingsError
from distilrec.mixture.parts import SoftLabels, SoftLists, SoftLogits

P, N, D = 9, 50, 4


@pytest.fixture
def student():
    """History vectors and item vectors."""
    torch.manual_seed(0)
    return torch.randn(P, D), torch.randn(N, D)


@pytest.fixture
def small_chunks(monkeypatch):
    """16 items at a time in blocks of 4, so that 50 items make four chunks, the last of two; 9 positions make three."""
    monkeypatch.setattr(candidates, "_CHUNK_ITEMS", 16)
    monkeypatch.setattr(candidates, "_BLOCK", 4)
    monkeypatch.setattr(candidates, "_ROWS_AT_ONCE", 4)


def settings(**changes):
    return CandidateSettings(**{"teacher_top": 0, "student_top": 0, "random": 5, **changes})


def sets(listed):
    return [set(row[row >= 0].tolist()) for row in listed]


@pytest.mark.parametrize("k", [1, 3, 17, N])
@pytest.mark.usefixtures("small_chunks")
def test_the_best_items_are_those_of_the_whole_product(student, k):
    history, items = student
    assert torch.equal(best_items(history, items, k), (history @ items.T).topk(k, dim=1).indices)


def test_one_chunk_that_is_not_full_gives_the_same(student):
    history, items = student
    assert torch.equal(best_items(history, items, 3), (history @ items.T).topk(3, dim=1).indices)


def test_bfloat16_finds_nearly_all_of_them():
    torch.manual_seed(1)
    history, items = torch.randn(20, 16), torch.randn(5000, 16)
    found = best_items(history, items, 10, precision=torch.bfloat16)
    exact = (history @ items.T).topk(10, dim=1).indices
    both = sum(len(ours & theirs) for ours, theirs in zip(sets(found), sets(exact), strict=True))
    assert both >= 195


def test_no_positions_have_no_best_items(student):
    assert best_items(student[0][:0], student[1], 3).shape == (0, 3)
    assert choose_candidates(student[0][:0], student[1], settings=settings(student_top=3)).listed.shape == (0, 0)


def test_more_best_items_than_the_catalogue_has_are_refused(student):
    with pytest.raises(SettingsError, match="k is 51; expected 1 to the catalogue's 50 items"):
        best_items(*student, 51)


def test_the_students_own_best_items_are_listed(student):
    history, items = student
    found = choose_candidates(history, items, settings=settings(student_top=4, rows_scored=P))
    assert sets(found.listed) == sets((history @ items.T).topk(4, dim=1).indices)


def test_positions_that_are_not_scored_choose_from_what_the_others_found():
    """One axis an item. Positions 0 and 2 find items 0 and 3; position 1, who wants item 1 most, gets 3."""
    items = torch.eye(5)
    history = torch.tensor([[1.0, 0, 0, 0, 0], [0, 1, 0, 0.5, 0], [0, 0, 0, 1, 0]])
    for scored, expected in ((2, [0, 3, 3]), (3, [0, 1, 3])):
        found = choose_candidates(history, items, settings=settings(student_top=1, rows_scored=scored))
        assert found.listed.flatten().tolist() == expected


def test_and_from_what_the_teacher_listed_at_any_position():
    """The teacher's item at position 2 is what the student's position 1 wants."""
    items = torch.eye(5)
    history = torch.tensor([[1.0, 0, 0, 0, 0], [0, 1, 0, 0.5, 0], [0, 0, 0, 1, 0]])
    lists = SoftLists(torch.tensor([[-1], [-1], [1]]), torch.zeros(3, 1), torch.zeros(3))
    wanted = settings(teacher_top=1, student_top=1, rows_scored=2)
    assert sets(choose_candidates(history, items, settings=wanted, soft_labels=[lists]).listed) == [{0}, {1}, {1, 3}]


def test_a_catalogue_smaller_than_what_is_asked_for_is_listed_and_drawn_whole(student):
    factors = SoftLabels(torch.randn(P, 3), torch.randn(N, 3))
    wanted = CandidateSettings(teacher_top=99, student_top=99, random=99)
    found = choose_candidates(*student, settings=wanted, soft_labels=[factors])
    assert sets(found.listed) == [set(range(N))] * P
    assert sorted(found.random.tolist()) == list(range(N))


@pytest.mark.parametrize("form", ["factors", "dense logits", "lists", "lists that are just as long"])
def test_the_teachers_best_items_are_listed_whatever_form_it_has(student, form):
    torch.manual_seed(2)
    factors = SoftLabels(torch.randn(P, 3), torch.randn(N, 3))
    logits = factors.history_vectors @ factors.item_vectors.T
    best = logits.topk(4, dim=1).indices
    ten = torch.randperm(10)  # lists need not be in order
    part = {
        "factors": factors,
        "dense logits": SoftLogits(logits),
        "lists": SoftLists(logits.topk(10).indices[:, ten], logits.topk(10).values[:, ten], torch.zeros(P)),
        "lists that are just as long": SoftLists(best, logits.gather(1, best), torch.zeros(P)),
    }[form]
    found = choose_candidates(*student, settings=settings(teacher_top=4), soft_labels=[part])
    assert sets(found.listed) == sets(best)


def test_unused_places_of_a_list_are_never_taken_for_its_best(student):
    lists = SoftLists(torch.tensor([[7, -1, -1]]), torch.tensor([[-3.0, 0.0, 0.0]]), torch.zeros(1))
    found = choose_candidates(student[0][:1], student[1], settings=settings(teacher_top=2), soft_labels=[lists])
    assert sets(found.listed) == [{7}]


def test_teachers_of_different_positions_share_the_places_of_a_list(student):
    early = SoftLists(torch.tensor([[1, 2]]), torch.zeros(1, 2), torch.zeros(1), torch.tensor([0]))
    late = SoftLists(torch.tensor([[3, 4]]), torch.zeros(1, 2), torch.zeros(1), torch.tensor([8]))
    found = choose_candidates(*student, settings=settings(teacher_top=2), soft_labels=[early, late])
    assert found.listed.shape == (P, 2)
    assert sets(found.listed) == [{1, 2}, *[set()] * 7, {3, 4}]


def test_without_lists_there_are_random_items_alone(student):
    found = choose_candidates(*student, settings=settings())
    assert found.listed.shape == (P, 0)
    assert len(set(found.random.tolist())) == 5


def test_random_items_are_those_of_the_generator_and_others_for_each_batch(student):
    def draws(seed):
        draw = torch.Generator().manual_seed(seed)
        return [choose_candidates(*student, settings=settings(), generator=draw).random.tolist() for _ in range(2)]

    first, second = draws(3)
    assert first != second
    assert draws(3) == [first, second]


def test_every_item_is_drawn_equally_often(student):
    """5 of 50 items, 400 times: 40 times each, give or take 6."""
    draw = torch.Generator().manual_seed(0)
    drawn = [choose_candidates(*student, settings=settings(), generator=draw).random for _ in range(400)]
    counts = torch.cat(drawn).bincount(minlength=N)
    assert 20 <= int(counts.min()) <= int(counts.max()) <= 64


def test_no_gradient_reaches_the_choice(student):
    history, items = (table.requires_grad_() for table in student)
    found = choose_candidates(history, items, settings=settings(student_top=2))
    assert not found.listed.requires_grad


def test_a_setting_that_is_not_known_or_makes_no_sense_is_refused():
    with pytest.raises(SettingsError, match="unknown setting 'studnet_top'; did you mean 'student_top'"):
        parse(CandidateSettings, {"studnet_top": 3})
    with pytest.raises(SettingsError, match="random: Input should be greater than or equal to 1"):
        parse(CandidateSettings, {"random": 0})
