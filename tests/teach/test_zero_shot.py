"""Scores are log-likelihoods of titles: each is compared with what the model says of the whole text, token by token."""

import numpy as np
import pytest
import torch

from distilrec.errors import DataError, MissingExtraError, SettingsError, SourceError
from distilrec.teach import zero_shot
from distilrec.teach.zero_shot import ZeroShotRanker, _passes
from tiny_bodies import save_tiny_body, shared_body

pytest.importorskip("transformers", reason="transformers is not installed")

PROMPT = "saw {history:, }. next:\n---\nall see:\n"
TITLES = ["red hat", "big blue shoe", "x", "red hat 2"]
POSITIONS = 64


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """The folder of a tiny model of a kind, with room for a prompt."""
    made = {}

    def folder_of(kind):
        if kind not in made:
            longer = {"n_positions" if kind == "gpt2" else "max_position_embeddings": POSITIONS}
            made[kind] = save_tiny_body(kind, tmp_path_factory.mktemp("causal") / kind, **longer)
        return made[kind]

    return folder_of


@pytest.fixture
def prompt(tmp_path):
    (tmp_path / "prompt.txt").write_text(PROMPT, encoding="utf-8")
    return tmp_path / "prompt.txt"


@pytest.fixture
def load(folder, prompt):
    def load_kind(kind="gpt2", **settings):
        chosen = {"prompt": prompt, "dtype": "float32", "device": "cpu", **settings}
        return ZeroShotRanker.load(folder(kind), **chosen)

    return load_kind


def slowly(folder, text, title):
    """The log-likelihood of each token of " title" after a text: the whole is read, one token wanted at a time."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder).eval()
    before, after = tokenizer(text)["input_ids"], tokenizer(f"{text} {title}")["input_ids"]
    assert after[: len(before)] == before
    found = []
    for end in range(len(before), len(after)):
        with torch.no_grad():
            logits = model(torch.tensor([after[:end]])).logits[0, -1]
        found.append(float(logits.double().log_softmax(dim=0)[after[end]]))
    return found


@pytest.mark.parametrize("kind", ["gpt2", "qwen2", "llama"])
def test_scores_are_the_mean_or_the_sum_of_the_log_likelihoods_of_a_titles_tokens(kind, folder, load, monkeypatch):
    """Models without a padding token; all at once, and each by itself."""
    each = [slowly(folder(kind), "saw green, hat. next:", title) for title in TITLES]
    for most in (1024, 1):
        monkeypatch.setattr(zero_shot, "_PASS_LOGITS", most)
        mean = load(kind).rank([["green", "hat"]], [TITLES])
        total = load(kind, likelihood="sum").rank([["green", "hat"]], [TITLES])
        np.testing.assert_allclose(mean[0], [np.mean(row) for row in each], rtol=1e-4)
        np.testing.assert_allclose(total[0], [np.sum(row) for row in each], rtol=1e-4)


def test_histories_do_not_disturb_one_another_and_shorter_lists_end_with_minus_infinity(load):
    ranker = load()
    histories, candidates = [["hat"], [], ["red", "blue", "shoe"]], [TITLES, ["hat"], []]
    together = ranker.rank(histories, candidates)
    assert together.shape == (3, 4)
    assert together.dtype == np.float32
    np.testing.assert_array_equal(together[0], ranker.rank([["hat"]], [TITLES])[0])
    assert np.isfinite(together).tolist() == [[True] * 4, [True, False, False, False], [False] * 4]
    assert ranker.rank([], []).shape == (0, 0)


def test_without_a_history_the_prompt_says_so(folder, load):
    (score,) = load().rank([[]], [["hat"]])[0]
    assert score == pytest.approx(np.mean(slowly(folder("gpt2"), "all see:", "hat")), rel=1e-4)


def test_a_long_history_is_cut_at_its_oldest_items_to_leave_room_for_the_longest_title(load):
    """Letters are tokens: `saw a, a. next:` has 15, `, a` 3 more, ` hat` 4, and ` big blue hat` 13."""
    history = ["b"] * 10 + ["a"] * 5
    ranker = load(max_tokens=15 + 4)
    np.testing.assert_allclose(ranker.rank([history], [["hat"]]), ranker.rank([["a", "a"]], [["hat"]]))
    np.testing.assert_allclose(
        load(max_tokens=15 + 13).rank([history], [["hat", "big blue hat"]]),
        load().rank([["a", "a"]], [["hat", "big blue hat"]]),
        rtol=1e-5,
    )
    assert load().rank([history], [["hat"]]) != ranker.rank([history], [["hat"]])


def test_where_no_item_fits_the_prompt_for_no_history_is_used(load):
    ranker = load(max_tokens=8 + 4)  # `all see:`, ` hat`
    np.testing.assert_array_equal(ranker.rank([["a", "b"]], [["hat"]]), ranker.rank([[]], [["hat"]]))


def test_a_title_longer_than_the_model_allows_is_named_or_cut(load):
    ranker = load()
    with pytest.raises(DataError) as refused:
        ranker.rank([["hat"]], [["red", "hat" * 20]])
    assert "has 61 tokens, the prompt without a history 8; expected at most 64 together" in str(refused.value)
    assert "hathat" in str(refused.value)
    cut = load(title_tokens=4).rank([["hat"]], [["hat" * 20]])
    np.testing.assert_array_equal(cut, load().rank([["hat"]], [["hat"]]))


def test_a_title_that_was_learnt_by_heart_comes_first(tmp_path, folder, prompt):
    """A few steps on one sentence, from random weights."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder("gpt2"))
    tokenizer = AutoTokenizer.from_pretrained(folder("gpt2"))
    tokens = torch.tensor([tokenizer("saw red hat. next: blue shoe")["input_ids"]])
    optimizer = torch.optim.AdamW(model.train().parameters(), lr=0.02)
    for _ in range(25):
        optimizer.zero_grad()
        model(tokens, labels=tokens).loss.backward()
        optimizer.step()
    model.save_pretrained(tmp_path / "taught")
    tokenizer.save_pretrained(tmp_path / "taught")
    titles = ["green hat", "red shoe", "blue shoe", "blue hat"]
    before = ZeroShotRanker.load(folder("gpt2"), prompt=prompt, dtype="float32").rank([["red hat"]], [titles])
    after = ZeroShotRanker.load(tmp_path / "taught", prompt=prompt, dtype="float32").rank([["red hat"]], [titles])
    assert titles[int(after.argmax())] == "blue shoe" != titles[int(before.argmax())]
    assert np.exp(after.max()) > 0.5  # a token, on average


def test_bfloat16_gives_nearly_the_same_scores(load):
    exact, rough = load().rank([["hat"]], [TITLES]), load(dtype="bfloat16").rank([["hat"]], [TITLES])
    np.testing.assert_allclose(exact, rough, rtol=0.05)
    assert (exact != rough).any()


def test_spaces_and_new_lines_within_titles_do_not_count(load):
    ranker = load()
    spaced = ranker.rank([["red\n hat "]], [[" blue  shoe\n"]])
    np.testing.assert_array_equal(spaced, ranker.rank([["red hat"]], [["blue shoe"]]))


def test_the_digest_changes_with_everything_that_decides_the_scores(load, tmp_path):
    (tmp_path / "other.txt").write_text("{history}", encoding="utf-8")
    rankers = [
        *(load(), load("qwen2"), load(prompt=tmp_path / "other.txt"), load(likelihood="sum"), load(max_tokens=20)),
        *(load(title_tokens=3), load(dtype="bfloat16")),
    ]
    assert len({ranker.digest() for ranker in rankers}) == len(rankers)
    assert load().digest() == rankers[0].digest()


def test_passes_hold_titles_of_similar_length_within_the_budget(monkeypatch):
    monkeypatch.setattr(zero_shot, "_PASS_LOGITS", 6)
    assert list(_passes([1, 0, 3, 2, 3], prompt=10)) == [[2, 4], [3, 0]]
    monkeypatch.setattr(zero_shot, "_PASS_TOKENS", 13)
    assert list(_passes([1, 0, 3, 2, 3], prompt=10)) == [[2], [4], [3], [0]]


@pytest.mark.parametrize(
    ("histories", "candidates", "message"),
    [
        ([["hat"]], [["hat", " "]], r"list 0 \(from 0\) has a candidate without a title; leave it out"),
        ([["hat"]], [], "1 histories and 0 lists of candidates; expected as many"),
    ],
)
def test_what_cannot_be_scored_is_refused(load, histories, candidates, message):
    with pytest.raises(DataError, match=message):
        load().rank(histories, candidates)


def test_a_prompt_that_says_nothing_without_a_history_is_refused_when_there_is_none(load, tmp_path):
    (tmp_path / "bare.txt").write_text("{history}", encoding="utf-8")
    ranker = load(prompt=tmp_path / "bare.txt")
    assert np.isfinite(ranker.rank([["red"]], [["hat"]])).all()
    with pytest.raises(SettingsError, match=r"bare\.txt has no text for an empty history"):
        ranker.rank([[]], [["hat"]])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_tokens": 65}, "max_tokens is 65; expected 2 to 64, what .*gpt2 reads"),
        ({"max_tokens": 1}, "max_tokens is 1; expected 2 to 64"),
        ({"title_tokens": 0}, "title_tokens is 0; expected at least 1"),
        ({"device": "warp"}, "device 'warp' cannot be used here"),
        ({"prompt": "none"}, "prompt 'none' is neither a file nor one of"),
    ],
)
def test_settings_that_make_no_sense_are_refused(load, settings, message):
    with pytest.raises(SettingsError, match=message):
        load(**settings)


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(SourceError, match=r"holds no model: expected config\.json, model\.safetensors and a tokenizer"):
        ZeroShotRanker.load(tmp_path)


def test_a_folder_without_a_tokenizer_is_refused(tmp_path):
    folder = save_tiny_body("qwen2", tmp_path / "m")
    for file in folder.glob("*token*"):
        file.unlink()
    with pytest.raises(SourceError, match="m holds no tokenizer"):
        ZeroShotRanker.load(folder)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("bert", "holds a BertLMHeadModel that looks ahead; expected a causal language model"),
        ("roberta", r"it lacks \d+ of the weights of RobertaForCausalLM \(lm_head\..* \.\.\.\)\. Expected one that"),
        ("t5", "t5 cannot be loaded as a causal language model"),
    ],
)
def test_a_model_of_another_kind_is_refused(kind, message, tmp_path_factory):
    with pytest.raises(SourceError, match=message):
        ZeroShotRanker.load(shared_body(kind, tmp_path_factory.getbasetemp()), dtype="float32")


def test_a_tokenizer_of_another_model_is_refused(tmp_path):
    folder = save_tiny_body("gpt2", tmp_path / "m", vocab_size=9)
    with pytest.raises(SourceError, match=r"the tokenizer in .*m has \d+ tokens, and the model knows 9; expected the"):
        ZeroShotRanker.load(folder, dtype="float32")


def test_without_transformers_the_line_that_installs_it_is_given(monkeypatch, load):
    monkeypatch.setattr(zero_shot.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'distilrec\[train\]'"):
        load()
