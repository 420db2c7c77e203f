"""A pretrained encoder's folder: where it lies, and what it says about pooling, length and further layers.

Reads sentence-transformers folders (`modules.json`, old names and new) and plain transformers folders.
Nothing here loads torch.
"""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distilrec.errors import MissingExtraError, SourceError
from distilrec.files import sha256_of_file, sha256_of_value
from distilrec.sources import find_minilm

_MINILM = ("all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2")
_WANTED = ["*.json", "*.txt", "*.model", "*.safetensors"]
_UNWANTED = ["onnx/*", "openvino/*"]
_POOLINGS = ("mean", "cls", "max", "lasttoken")
_OLD_POOLING_KEYS = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_lasttoken": "lasttoken",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
}


@dataclass(frozen=True)
class EncoderFolder:
    """What an encoder is made of, after its tokenizer."""

    path: Path
    transformer: Path  # the folder that holds the transformer and its tokenizer
    pooling: str  # mean, cls, max or lasttoken
    after: tuple[tuple[str, Path], ...]  # "Dense" or "Normalize" and its folder, in the order of use
    max_tokens: int | None
    lower_case: bool
    prompt: str  # put before every text


def locate(name: str | Path, *, quiet: bool = False) -> Path:
    """The folder of an encoder: a local one, or one found or fetched by name."""
    if Path(name).expanduser().is_dir():
        return Path(name).expanduser()
    if str(name) in _MINILM:
        return find_minilm(quiet=quiet).path
    if isinstance(name, Path) or str(name).startswith((".", "/", "~")) or str(name).count("/") > 1:
        raise SourceError(f"{name} does not exist; expected the folder of an encoder, or its name on the hub")
    return _from_hub(str(name))


def _from_hub(name: str) -> Path:
    if importlib.util.find_spec("huggingface_hub") is None:
        raise MissingExtraError("huggingface_hub", "train")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=_WANTED, ignore_patterns=_UNWANTED, etag_timeout=5))
    except HFValidationError:
        raise SourceError(f"{name!r} is neither a folder nor a name that the hub could have") from None
    except LocalEntryNotFoundError as error:
        raise SourceError(
            f"encoder {name!r} is no folder, is not in the Hugging Face cache, and the hub cannot be reached. "
            "Name a folder, or 'all-MiniLM-L6-v2', which also comes as a package"
        ) from error
    except HfHubHTTPError as error:
        raise SourceError(f"encoder {name!r}: the hub has none of this name, or refuses it: {error}") from error


def read_folder(path: Path) -> EncoderFolder:
    """Read what a folder says about itself; refuse what could not be computed faithfully."""
    transformer = transformer_folder(path)
    if read_object(transformer / "config.json").get("is_encoder_decoder"):
        raise SourceError(f"{transformer} is an encoder-decoder; expected a model that encodes by itself")
    rest = _modules(path)[1:]
    pooling = "mean"
    if rest and rest[0][0] == "Pooling":
        pooling, rest = _pooling(rest[0][1]), rest[1:]
    unknown = [kind for kind, _ in rest if kind not in ("Dense", "Normalize")]
    if unknown:
        raise SourceError(
            f"{path}/modules.json asks for {', '.join(unknown)}; known are Transformer, Pooling, Dense, Normalize"
        )
    settings = _optional(transformer / "sentence_bert_config.json")
    return EncoderFolder(
        path=path,
        transformer=transformer,
        pooling=pooling,
        after=tuple(rest),
        max_tokens=settings.get("max_seq_length"),
        lower_case=bool(settings.get("do_lower_case", False)),
        prompt=_prompt(path),
    )


def transformer_folder(path: Path) -> Path:
    """Where the transformer itself lies in a model's folder: its configuration, and weights that open safely."""
    kind, folder = _modules(path)[0]
    if kind != "Transformer":
        raise SourceError(f"{path} begins with a {kind}; expected a Transformer")
    _check_transformer(folder)
    return folder


def _modules(path: Path) -> list[tuple[str, Path]]:
    """Each module's kind, without the package it is defined in, and its folder."""
    if not (path / "modules.json").is_file():
        return [("Transformer", path)]
    listed = _read(path / "modules.json")
    if not isinstance(listed, list) or not all(isinstance(m, dict) and {"type", "path"} <= m.keys() for m in listed):
        raise SourceError(f"{path}/modules.json: expected a list of modules, each with its type and path")
    if not listed:
        raise SourceError(f"{path}/modules.json lists no module; expected a Transformer first")
    return [(str(module["type"]).rpartition(".")[2], path / str(module["path"])) for module in listed]


def _check_transformer(folder: Path) -> None:
    if not (folder / "config.json").is_file():
        raise SourceError(f"{folder} holds no model: expected config.json, model.safetensors and a tokenizer")
    if not list(folder.glob("*.safetensors")):
        others = sorted(file.name for file in (*folder.glob("*.bin"), *folder.glob("*.pt")))
        has = f"; it has {', '.join(others)}, which can run code when opened" if others else ""
        raise SourceError(f"{folder} holds no *.safetensors weights{has}. Convert them to safetensors first")


def _pooling(folder: Path) -> str:
    config = read_object(folder / "config.json")
    modes = config.get("pooling_mode") or [mode for key, mode in _OLD_POOLING_KEYS.items() if config.get(key)]
    modes = [modes] if isinstance(modes, str) else list(modes)
    if len(modes) != 1 or modes[0] not in _POOLINGS:
        raise SourceError(f"{folder}/config.json pools by {' and '.join(modes)}; known: {', '.join(_POOLINGS)}")
    return str(modes[0])


def _prompt(path: Path) -> str:
    config = _optional(path / "config_sentence_transformers.json")
    name = config.get("default_prompt_name")
    return str(config.get("prompts", {}).get(name, "")) if name else ""


def _optional(path: Path) -> dict[str, Any]:
    return read_object(path) if path.is_file() else {}


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object of an encoder's folder."""
    value = _read(path)
    if not isinstance(value, dict):
        raise SourceError(f"{path} holds a {type(value).__name__}; expected a JSON object")
    return value


def _read(path: Path) -> Any:  # noqa: ANN401  (whatever the JSON says)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SourceError(f"{path} does not exist; the encoder's folder is not whole") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise SourceError(f"{path} is not valid JSON: {error}") from None


def digest_of_folder(path: Path) -> str:
    """One digest of everything in a folder that decides its vectors."""
    files = sorted(file for pattern in _WANTED for file in path.rglob(pattern) if file.is_file())
    return sha256_of_value([[file.relative_to(path).as_posix(), sha256_of_file(file)] for file in files])
