import json

import pytest
from tiny_bert import add_modules

from distilrec.encode import folder as encoder_folder
from distilrec.encode.folder import digest_of_folder, locate, read_folder
from distilrec.errors import MissingExtraError, SourceError
from distilrec.sources import Found


@pytest.fixture
def empty_model(tmp_path):
    """Enough to be read; the weights are never opened here."""
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"")
    return tmp_path


def test_a_local_folder_is_taken_as_it_is(tmp_path):
    assert locate(tmp_path) == locate(str(tmp_path)) == tmp_path


@pytest.mark.parametrize("name", ["all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"])
def test_minilm_comes_from_the_sources(name, tmp_path, monkeypatch):
    monkeypatch.setattr(encoder_folder, "find_minilm", lambda quiet: Found(tmp_path, "here", "it"))
    assert locate(name) == tmp_path


@pytest.mark.parametrize("name", ["./nowhere", "/no/where", "~/no-such-folder", "a/b/c"])
def test_a_path_that_does_not_exist_is_not_looked_for_on_the_hub(name):
    with pytest.raises(SourceError, match="does not exist; expected the folder of an encoder, or its name"):
        locate(name)


def test_a_name_that_cannot_be_had_says_what_else_to_name(monkeypatch, tmp_path):
    hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    errors = pytest.importorskip("huggingface_hub.errors")

    def unreachable(*args, **kwargs):
        raise errors.LocalEntryNotFoundError("no connection")

    monkeypatch.setattr(hub, "snapshot_download", unreachable)
    with pytest.raises(SourceError, match=r"encoder 'org/none' is no folder, .* and the hub cannot be reached"):
        locate("org/none")


def test_a_name_that_no_hub_could_have_is_refused():
    pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    with pytest.raises(SourceError, match="'what is this' is neither a folder nor a name that the hub could"):
        locate("what is this")


def test_a_name_that_the_hub_refuses_is_told_in_its_words(monkeypatch):
    hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    errors = pytest.importorskip("huggingface_hub.errors")

    class Refused(errors.RepositoryNotFoundError):
        def __init__(self):
            Exception.__init__(self, "401 Client Error")

        def __str__(self):
            return "401 Client Error"

    def refuse(*args, **kwargs):
        raise Refused

    monkeypatch.setattr(hub, "snapshot_download", refuse)
    with pytest.raises(SourceError, match=r"the hub has none of this name, or refuses it: 401 Client Error"):
        locate("org/none")


def test_without_the_hub_library_the_line_that_installs_it_is_given(monkeypatch):
    monkeypatch.setattr(encoder_folder.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"huggingface_hub is not installed. Run: pip install 'distil"):
        locate("org/model")


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(SourceError, match=r"holds no model: expected config\.json, model\.safetensors and a"):
        read_folder(tmp_path)


def test_weights_that_can_run_code_are_refused_by_name(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(SourceError, match=r"it has pytorch_model\.bin, which can run code when opened"):
        read_folder(tmp_path)


def test_an_encoder_decoder_is_refused(empty_model):
    (empty_model / "config.json").write_text(json.dumps({"is_encoder_decoder": True}))
    with pytest.raises(SourceError, match="is an encoder-decoder; expected a model that encodes by itself"):
        read_folder(empty_model)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"pooling_mode": "weightedmean"}, "weightedmean"),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": True}, "mean and max"),
    ],
)
def test_a_pooling_that_we_do_not_know_is_refused(empty_model, config, said):
    add_modules(empty_model, {"Pooling": config})
    with pytest.raises(SourceError, match=f"pools by {said}; known: mean, cls, max, lasttoken"):
        read_folder(empty_model)


def test_a_module_that_we_do_not_know_is_refused(empty_model):
    add_modules(empty_model, {"Pooling": {"pooling_mode": "mean"}, "LSTM": {}})
    with pytest.raises(SourceError, match=r"modules\.json asks for LSTM; known are Transformer, Pooling, Dense"):
        read_folder(empty_model)


def test_a_model_that_does_not_begin_with_a_transformer_is_refused(empty_model):
    (empty_model / "modules.json").write_text('[{"type": "x.StaticEmbedding", "path": ""}]')
    with pytest.raises(SourceError, match="begins with a StaticEmbedding; expected a Transformer"):
        read_folder(empty_model)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[", "is not valid JSON"),
        ("{}", "expected a list of modules, each with its type and path"),
        ("[]", "lists no module; expected a Transformer first"),
    ],
)
def test_a_damaged_list_of_modules_is_refused(empty_model, content, said):
    (empty_model / "modules.json").write_text(content)
    with pytest.raises(SourceError, match=said):
        read_folder(empty_model)


def test_a_module_without_its_settings_is_refused(empty_model):
    add_modules(empty_model, {"Pooling": {}})
    (empty_model / "1_Pooling" / "config.json").unlink()
    with pytest.raises(SourceError, match=r"1_Pooling/config\.json does not exist; the encoder's folder is not"):
        read_folder(empty_model)


def test_settings_that_are_not_an_object_are_refused(empty_model):
    (empty_model / "config.json").write_text("[]")
    with pytest.raises(SourceError, match=r"config\.json holds a list; expected a JSON object"):
        read_folder(empty_model)


def test_the_digest_changes_with_any_file_that_decides_the_vectors(empty_model):
    before = digest_of_folder(empty_model)
    (empty_model / "notes.md").write_text("anything")
    assert digest_of_folder(empty_model) == before
    (empty_model / "model.safetensors").write_bytes(b"other weights")
    assert digest_of_folder(empty_model) != before
