"""A BERT of two thin layers with a vocabulary of a few words, made on the spot and saved like a real one."""

import json
from pathlib import Path

WORDS = ["red", "green", "blue", "shoe", "hat", "the", "of", "big", "small", "!"]
MAX_POSITIONS = 24


def save_tiny_bert(folder: Path) -> Path:
    """A plain transformers folder."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    folder.mkdir(parents=True)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    tokenizer = BertTokenizer(vocab={word: row for row, word in enumerate(vocabulary)}, model_max_length=MAX_POSITIONS)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=MAX_POSITIONS,
        initializer_range=0.5,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = BertModel(config)
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    return folder


def add_modules(folder: Path, modules: dict[str, dict[str, object]]) -> Path:
    """Turn it into a sentence-transformers folder: kind -> the kind's config.json."""
    listed = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}]
    for number, (kind, config) in enumerate(modules.items(), start=1):
        path = f"{number}_{kind}"
        listed.append({"idx": number, "path": path, "type": f"sentence_transformers.models.{kind}"})
        (folder / path).mkdir(exist_ok=True)
        (folder / path / "config.json").write_text(json.dumps(config))
    (folder / "modules.json").write_text(json.dumps(listed))
    return folder
