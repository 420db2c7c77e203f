"""The body of a language model of any family looks only backwards, and is else what transformers makes of it."""

import json
import sys

import numpy as np
import pytest
import torch
from torch import nn

from distilrec.errors import ArtifactError, MissingExtraError, SettingsError, SourceError
from distilrec.models import body as body_module
from distilrec.models import pretrained
from distilrec.models.body import BodySettings, body_from_config, load_body
from tiny_bodies import BLOCKS, KINDS, MAX_POSITIONS, WIDTH, save_tiny_body, shared_body

DECODERS = ("gpt2", "llama", "qwen2")


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory):
    pytest.importorskip("transformers", reason="transformers is not installed")
    return lambda kind: shared_body(kind, tmp_path_factory.getbasetemp())


@pytest.fixture
def load(folder_of):
    """A body of a kind, with settings, that does not train."""

    def load_kind(kind="bert", **settings):
        torch.manual_seed(0)
        return load_body(BodySettings(body=str(folder_of(kind)), **settings)).eval()

    return load_kind


def some_vectors(*shape, seed=0):
    return torch.randn(*shape, WIDTH, generator=torch.Generator().manual_seed(seed))


def learnt(body):
    return {name for name, parameter in body.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_a_later_vector_changes_nothing_before_it(load, kind):
    body, before = load(kind), some_vectors(1, 5)
    after = before.clone()
    after[0, 2] = -3.0
    changes = (body(before) - body(after))[0].abs().amax(dim=1)  # [L]
    assert (changes[:2] == 0).all()
    assert (changes[2:] > 1e-3).all()


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_what_stands_on_the_right_changes_nothing(load, kind):
    body, vectors = load(kind), some_vectors(2, 6)
    torch.testing.assert_close(body(vectors)[:, :3], body(vectors[:, :3]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_the_order_of_what_came_before_counts(load, kind):
    body, vectors = load(kind), some_vectors(1, 3)
    swapped = vectors[:, [1, 0, 2]]
    assert (body(vectors) - body(swapped))[0, 2].abs().max() > 1e-3


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_it_is_what_transformers_makes_of_the_model_under_a_causal_mask(load, folder_of, kind):
    from transformers import AutoModel, AutoModelForTextEncoding

    vectors = some_vectors(2, 6)
    maker = AutoModelForTextEncoding if kind == "t5" else AutoModel
    with pretrained.quietly():
        theirs = maker.from_pretrained(folder_of(kind), attn_implementation="eager").eval()
    mask = torch.zeros(1, 1, 6, 6).masked_fill(torch.ones(6, 6, dtype=torch.bool).triu(1), -1e9)
    known = {} if kind in DECODERS else {"attention_mask": mask}
    wanted = theirs(inputs_embeds=vectors, **known).last_hidden_state
    torch.testing.assert_close(load(kind)(vectors), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_attention_in_training_is_the_attention_of_serving_but_for_dropout(load, monkeypatch, kind):
    """With dropout, attention is written out on a processor; here dropout drops nothing, so the two must agree."""
    for module in (pretrained, body_module):
        monkeypatch.setattr(module, "dropout", lambda x, share, training: x)
    body, vectors = load(kind, dropout=0.5), some_vectors(2, 6)
    still = body(vectors)
    torch.testing.assert_close(body.train()(vectors), still, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_is_for_training_and_as_strong_as_the_settings_say(load, kind):
    vectors = some_vectors(2, 6)
    dropped, still = load(kind, dropout=0.5), load(kind, dropout=0.0)
    assert torch.equal(dropped(vectors), still(vectors))
    assert not torch.equal(dropped.train()(vectors), dropped(vectors))
    assert torch.equal(still.train()(vectors), still(vectors))


def test_without_a_choice_of_dropout_the_configuration_decides(load):
    """BERT's says 0.1, Llama's says none."""
    vectors = some_vectors(2, 6)
    bert, llama = load("bert").train(), load("llama").train()
    assert not torch.equal(bert(vectors), bert(vectors))
    assert torch.equal(llama(vectors), llama(vectors))


def test_no_histories_give_no_hidden_states(load):
    assert load()(some_vectors(0, 1)).shape == (0, 1, WIDTH)


@pytest.mark.parametrize("kind", KINDS)
def test_words_heads_and_poolers_are_left_out(load, kind):
    """A block has about 12 x 16 x 16 numbers at most; positions and norms come on top."""
    body = load(kind)
    words = body.config["vocab_size"]
    assert not [name for name, value in body.state_dict().items() if len(value) == words]
    assert not [name for name in body.state_dict() if "pooler" in name or "lm_head" in name or "decoder" in name]
    assert (body.width, len(body.blocks)) == (WIDTH, BLOCKS)


def test_the_spread_of_its_words_is_known(load, folder_of):
    from safetensors.torch import load_file

    words = load_file(folder_of("llama") / "model.safetensors")["model.embed_tokens.weight"]
    assert load("llama").word_std == pytest.approx(float(words.std()))
    assert words.std() == pytest.approx(0.3, rel=0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_body_is_rebuilt_from_its_configuration_as_json_and_its_weights(load, kind):
    body, vectors = load(kind), some_vectors(2, 4)
    again = body_from_config(json.loads(json.dumps(body.config))).eval()
    assert (again(vectors) - body(vectors)).abs().max() > 1e-3
    again.load_state_dict(body.weights())
    assert torch.equal(again(vectors), body(vectors))
    assert again.config == body.config


@pytest.mark.parametrize(("kind", "most"), [("bert", MAX_POSITIONS), ("gpt2", MAX_POSITIONS), ("t5", None)])
def test_how_many_positions_it_reads_is_known(load, kind, most):
    assert load(kind).max_positions == most


def test_positions_of_roberta_begin_after_its_padding_token(load):
    """Which has number 1, so that the first position is number 2."""
    assert load("roberta").max_positions == MAX_POSITIONS - 2
    assert load("roberta")(some_vectors(1, MAX_POSITIONS - 2)).isfinite().all()


def test_a_sliding_window_bounds_the_positions(load):
    """Our attention looks back all the way, so a history may not be longer than the window."""
    config = {**load("qwen2").config, "use_sliding_window": True, "sliding_window": 8}
    assert body_from_config(config).max_positions == 8


def test_a_random_start_takes_the_shape_alone_and_follows_the_seed(folder_of):
    def start(seed, how="random"):
        torch.manual_seed(seed)
        return load_body(BodySettings(body=str(folder_of("gpt2")), start=how)).weights()["model.h.0.attn.c_attn.weight"]

    assert torch.equal(start(1), start(1))
    assert not torch.equal(start(1), start(2))
    assert not torch.equal(start(1), start(1, "pretrained"))
    assert torch.equal(start(1, "pretrained"), start(2, "pretrained"))
    assert start(1).shape == start(1, "pretrained").shape


def test_all_is_learnt_or_nothing(load):
    assert learnt(load(fine_tune="all")) == set(load().state_dict())
    assert learnt(load(fine_tune="none")) == set()


@pytest.mark.parametrize(
    ("kind", "block", "after"),
    [
        ("bert", "model.encoder.layer.1.", []),
        ("distilbert", "model.transformer.layer.1.", []),
        ("gpt2", "model.h.1.", ["model.ln_f.bias", "model.ln_f.weight"]),
        ("llama", "model.layers.1.", ["model.norm.weight"]),
        ("t5", "model.block.1.", ["model.final_layer_norm.weight"]),
    ],
)
def test_the_last_blocks_are_learnt_with_the_norm_that_follows(load, kind, block, after):
    found = learnt(load(kind, fine_tune="last", last_blocks=1))
    assert sorted(name for name in found if not name.startswith(block)) == after
    assert {name for name in load(kind).state_dict() if name.startswith(block)} <= found


def test_more_last_blocks_than_there_are_is_refused(load):
    with pytest.raises(SettingsError, match="last_blocks is 3, but the body has 2 blocks"):
        load(fine_tune="last", last_blocks=3)


@pytest.mark.parametrize("kind", KINDS)
def test_lora_learns_what_it_adds_to_each_projection_of_the_attention_alone(load, kind):
    """Four projections a block, or two where query, key and value are one; each gets a matrix in and one out."""
    body = load(kind, fine_tune="lora", lora_rank=3)
    found = {name: parameter for name, parameter in body.named_parameters() if parameter.requires_grad}
    assert all(".lora_A." in name or ".lora_B." in name for name in found)
    assert len(found) == BLOCKS * (2 if kind == "gpt2" else 4) * 2
    assert all(3 in parameter.shape for parameter in found.values())


@pytest.mark.parametrize("kind", KINDS)
def test_lora_adds_nothing_at_first_and_what_it_learns_is_merged_into_the_weights(load, kind):
    body, plain, vectors = load(kind, fine_tune="lora"), load(kind), some_vectors(2, 4)
    assert torch.equal(body(vectors), plain(vectors))
    for name, parameter in body.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.5)
    merged = body_from_config(body.config).eval()
    merged.load_state_dict(body.weights())
    torch.testing.assert_close(merged(vectors), body(vectors), rtol=1e-3, atol=1e-4)
    assert (merged(vectors) - plain(vectors)).abs().max() > 1e-2
    assert body.weights().keys() == plain.weights().keys()


def test_lora_adds_alpha_over_rank_times_the_product_of_its_two_matrices(load):
    body = load("llama", fine_tune="lora", lora_rank=2, lora_alpha=6)
    projection = body.blocks[0].self_attn.q_proj
    with torch.no_grad():
        projection.lora_A["default"].weight.fill_(1.0)
        projection.lora_B["default"].weight.fill_(0.5)
    name = "model.layers.0.self_attn.q_proj.weight"
    added = body.weights()[name] - load("llama").weights()[name]
    torch.testing.assert_close(added, torch.full_like(added, 6 / 2 * (2 * 1.0 * 0.5)))


def test_dropout_of_lora_is_for_training(load):
    body, vectors = load("llama", fine_tune="lora", lora_dropout=0.5), some_vectors(2, 4)
    for name, parameter in body.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter)
    assert torch.equal(body(vectors), body(vectors))
    body.train()
    assert not torch.equal(body(vectors), body(vectors))


def test_lora_without_peft_says_what_to_install(load, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingExtraError, match=r"peft is not installed. Run: pip install 'distilrec\[train\]'"):
        load(fine_tune="lora")


def test_a_body_without_transformers_says_what_to_install(load, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(
        MissingExtraError, match=r"transformers is not installed. Run: pip install 'distilrec\[train\]'"
    ):
        load()


def test_frozen_weights_may_be_kept_in_bfloat16(load):
    body, vectors = load("llama", fine_tune="lora", frozen_dtype="bfloat16"), some_vectors(2, 4)
    kinds = {parameter.requires_grad: parameter.dtype for parameter in body.parameters()}
    assert kinds == {True: torch.float32, False: torch.bfloat16}
    assert body(vectors).dtype == torch.float32
    torch.testing.assert_close(body(vectors), load("llama")(vectors), rtol=0.1, atol=0.1)
    body(vectors).sum().backward()
    assert all(parameter.grad is not None for parameter in body.parameters() if parameter.requires_grad)


@pytest.mark.parametrize("fine_tune", ["all", "last"])
def test_weights_that_are_learnt_are_not_kept_in_bfloat16(load, fine_tune):
    with pytest.raises(SettingsError, match=f"frozen_dtype is bfloat16, but fine_tune is '{fine_tune}': steps would"):
        load(fine_tune=fine_tune, frozen_dtype="bfloat16")


@pytest.mark.parametrize("kind", ["bert", "gpt2", "llama", "t5"])
def test_working_blocks_out_again_gives_the_same_gradients(load, kind):
    """Also with dropout, whose draws must be the same the second time."""
    gradients, visits = [], []
    for recompute in (False, True):
        body = load(kind, dropout=0.3, recompute=recompute).train()
        calls = []
        norm = next(module for module in body.blocks[0].modules() if "norm" in type(module).__name__.lower())
        norm.register_forward_hook(lambda *_, calls=calls: calls.append(1))
        torch.manual_seed(1)
        body(some_vectors(2, 4)).square().sum().backward()
        gradients.append({name: parameter.grad for name, parameter in body.named_parameters()})
        visits.append(len(calls))
    assert visits == [1, 2]
    for name, wanted in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], wanted, rtol=1e-4, atol=1e-4)


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(SourceError, match=r"holds no model: expected config\.json"):
        load_body(BodySettings(body=str(tmp_path)))


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(SourceError, match="nowhere does not exist"):
        load_body(BodySettings(body=str(tmp_path / "nowhere")))


def test_weights_that_can_run_code_are_refused(tmp_path):
    folder = save_tiny_body("gpt2", tmp_path / "gpt2")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(SourceError, match=r"it has pytorch_model\.bin, which can run code when opened"):
        load_body(BodySettings(body=str(folder)))


@pytest.mark.parametrize("kind", ["vit", "gpt_neox", None])
def test_a_model_of_another_kind_is_refused_with_those_that_are_known(tmp_path, kind):
    folder = save_tiny_body("gpt2", tmp_path / "model")
    (folder / "config.json").write_text(json.dumps({"model_type": kind}))
    with pytest.raises(SourceError, match=f"holds a model of type {kind!r}; expected .* bert, .* gpt2, .* t5"):
        load_body(BodySettings(body=str(folder)))


def test_a_pooling_model_that_does_not_begin_with_a_transformer_is_refused(tmp_path):
    (tmp_path / "modules.json").write_text(json.dumps([{"type": "sentence_transformers.models.CLIPModel", "path": ""}]))
    with pytest.raises(SourceError, match="begins with a CLIPModel; expected a Transformer"):
        load_body(BodySettings(body=str(tmp_path)))


def test_weights_of_half_a_model_are_refused(tmp_path):
    from safetensors.torch import load_file, save_file

    folder = save_tiny_body("llama", tmp_path / "llama")
    weights = load_file(folder / "model.safetensors")
    halved = {name: value for name, value in weights.items() if "layers.1" not in name}
    save_file(halved, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(SourceError, match=r"lack layers\.1\..*; expected a whole llama model"):
        load_body(BodySettings(body=str(folder)))


def test_a_damaged_weights_file_is_refused(tmp_path):
    folder = save_tiny_body("bert", tmp_path / "bert")
    (folder / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(SourceError, match="cannot be loaded as a language model"):
        load_body(BodySettings(body=str(folder)))


def test_a_configuration_that_makes_no_sense_is_refused(tmp_path):
    folder = save_tiny_body("bert", tmp_path / "bert")
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", "hidden_size": "wide"}))
    with pytest.raises(SourceError, match=r"config.json cannot be read as a model's configuration"):
        load_body(BodySettings(body=str(folder)))


@pytest.mark.parametrize("config", [{}, {"model_type": "vit"}])
def test_a_saved_configuration_of_another_type_is_refused(config):
    with pytest.raises(ArtifactError, match=f"the body is of type {config.get('model_type')!r}; known: bert"):
        body_from_config(config)


def test_a_saved_configuration_that_makes_no_sense_is_refused(load):
    with pytest.raises(ArtifactError, match="the body's configuration makes no sense to transformers"):
        body_from_config({**load("bert").config, "hidden_size": "wide"})


def test_hidden_states_are_finite_for_as_many_positions_as_are_told(load):
    assert np.isfinite(load("gpt2")(some_vectors(1, MAX_POSITIONS)).detach().numpy()).all()
