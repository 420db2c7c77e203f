"""The peers: which library, in which environment, with which settings for which data, and who published them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# "SASRec+SS" of "eSASRec: Enhancing Transformer-based Recommendations in a Modular Fashion" (RecSys 2025), by RecTools'
# authors: github.com/blondered/transformer_benchmark, README.md at commit 2b03992, "Hyperparameters for all datasets".
# Their Beauty is this file, split the same way. Their configs/paper/loo/s3_vanilla.yaml says n_factors 256 for it, not
# 64: both are trained, the wide one with less patience for want of time.
_RECTOOLS = "github.com/blondered/transformer_benchmark (README, Hyperparameters)"
_RECTOOLS_SCRIPTS = (
    "sasrec_rectools.py",
    "rectools_lean.py",
    "by_matrices.py",
    "curve.py",
    "files.py",
    "rectools_log.py",
)
_SAMPLED = {"loss": "sampled_softmax", "n_negatives": 256, "lr": 0.001, "batch_size": 128, "deterministic": True}
_RECTOOLS_BEAUTY = {"n_factors": 64, "n_blocks": 1, "n_heads": 1, "dropout_rate": 0.2, "session_max_len": 50}
_RECTOOLS_ML_1M = {"n_factors": 64, "n_blocks": 2, "n_heads": 1, "dropout_rate": 0.1, "session_max_len": 200}

# RecBole publishes no settings for this Beauty: its SASRec.yaml (version 1.2.1), lists of 50 as its users take for it.
_RECBOLE = "RecBole 1.2.1, properties/model/SASRec.yaml (its defaults)"
_RECBOLE_DEFAULTS = {
    "n_layers": 2,
    "n_heads": 2,
    "hidden_size": 64,
    "inner_size": 256,
    "hidden_dropout_prob": 0.5,
    "attn_dropout_prob": 0.5,
    "loss_type": "CE",
    "train_batch_size": 2048,
    "learning_rate": 0.001,
}
_LONG = {"epochs": 200, "patience": 50}

_OWN_TRIALS = "tried here, the best on validation"
_ALS = [  # factors, regularization, alpha
    {"factors": factors, "regularization": regularization, "alpha": alpha, "iterations": 15}
    for factors, regularization, alpha in (
        (64, 0.01, 10),
        (128, 0.01, 10),
        (128, 1.0, 10),
        (128, 1.0, 40),
        (128, 1.0, 100),
        (256, 1.0, 40),
    )
]


@dataclass(frozen=True)
class Peer:
    """One model of another library."""

    title: str
    environment: str
    """The name of its file of pins."""
    scripts: tuple[str, ...]
    """What is run there, in `theirs/`, and what that imports."""
    settings: dict[str, dict[str, Any]]
    """By data set; where one is missing the peer is not trained on it."""
    source: str
    """Where the settings come from."""


PEERS = {
    "als": Peer(
        "implicit ALS",
        "implicit",
        ("als_implicit.py", "files.py"),
        {"beauty": {"choices": _ALS}, "ml-1m": {"choices": _ALS}},
        _OWN_TRIALS,
    ),
    "ease": Peer(
        "RecTools EASE",
        "rectools_training",
        ("ease_rectools.py", "files.py", "rectools_log.py"),
        {
            "beauty": {"choices": [{"regularization": l2} for l2 in (50.0, 250.0)]},
            "ml-1m": {"choices": [{"regularization": l2} for l2 in (50.0, 100.0, 250.0, 500.0)]},
        },
        _OWN_TRIALS,
    ),
    "rectools": Peer(
        "RecTools SASRec, sampled softmax",
        "rectools_training",
        _RECTOOLS_SCRIPTS,
        {
            "beauty": {**_LONG, "model": {**_RECTOOLS_BEAUTY, **_SAMPLED}},
            "ml-1m": {**_LONG, "epochs": 100, "model": {**_RECTOOLS_ML_1M, **_SAMPLED}},
        },
        _RECTOOLS,
    ),
    "rectools_wide": Peer(
        "RecTools SASRec, width 256",
        "rectools_training",
        _RECTOOLS_SCRIPTS,
        {"beauty": {**_LONG, "patience": 10, "model": {**_RECTOOLS_BEAUTY, "n_factors": 256, **_SAMPLED}}},
        "github.com/blondered/transformer_benchmark (configs/paper/loo/s3_vanilla.yaml)",
    ),
    "recbole": Peer(
        "RecBole SASRec",
        "recbole_training",
        ("sasrec_recbole.py", "recbole_lean.py", "coin.py", "curve.py", "files.py"),
        {
            "beauty": {**_LONG, "patience": 10, "model": {**_RECBOLE_DEFAULTS, "MAX_ITEM_LIST_LENGTH": 50}},
            "ml-1m": {**_LONG, "patience": 10, "model": {**_RECBOLE_DEFAULTS, "MAX_ITEM_LIST_LENGTH": 50}},
        },
        _RECBOLE,
    ),
}
