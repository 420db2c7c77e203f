"""Codes of a fast scan that were learnt at export are read, never those of another table, and never missed."""

import json

import numpy as np
import pytest

from distilrec.errors import ArtifactError
from distilrec.exported import read_export, write_codes, write_export
from distilrec.recommender import Recommender
from distilrec.run import exporting
from distilrec.run.exporting import ExportSettings, export
from distilrec.search import Codes, IndexSettings, rows_of
from distilrec.serve.runtime import Runtime
from distilrec.storage.sizes import sizes_of
from served_models import N_ITEMS

QUICK = ExportSettings(histories=3, all_in_one=False)
SCANS = IndexSettings(kind="fast_scan", shortlist=3)


@pytest.fixture
def kept(transformer, tmp_path, monkeypatch):
    """An export of thirty items, as if learning their codes took seconds."""
    monkeypatch.setattr(exporting, "codes_to_keep", lambda packed: Codes.grid(rows_of(packed)))
    export(transformer, tmp_path / "out", QUICK)
    return tmp_path / "out"


def no_codes_are_made(rows):
    raise AssertionError("codes were made anew")


def test_codes_that_were_kept_are_not_made_again(kept, monkeypatch):
    made_anew = Runtime.load(kept, index=IndexSettings(kind="flat")).recommend([[100, 105]], k=4)[0]
    monkeypatch.setattr("distilrec.search.fast_scan.codes_for", no_codes_are_made)
    assert Runtime.load(kept, index=SCANS).recommend([[100, 105]], k=4)[0].item_ids == made_anew.item_ids


def test_codes_that_were_kept_are_passed_over_where_faiss_is_not_installed(kept, monkeypatch):
    monkeypatch.setattr("distilrec.search.choose.faiss_is_installed", lambda: False)
    monkeypatch.setattr("distilrec.search.choose.FastScanIndex", no_codes_are_made)
    assert len(Runtime.load(kept, index=IndexSettings(scan_from=1)).recommend([[100]], k=4)[0].item_ids) == 4


def test_a_folder_without_codes_is_read_as_before_and_says_the_older_version(transformer, tmp_path):
    report = export(transformer, tmp_path / "out", QUICK.with_changes(codes=False))
    assert (report.codes_bytes, read_export(tmp_path / "out").codes) == (0, None)
    assert json.loads((tmp_path / "out" / "export.json").read_text())["format_version"] == 1
    assert len(Runtime.load(tmp_path / "out", index=SCANS).recommend([[100]], k=4)[0].item_ids) == 4


def test_a_small_table_has_no_codes_beside_it(transformer, tmp_path):
    export(transformer, tmp_path / "out", QUICK)
    assert not (tmp_path / "out" / "codes.safetensors").exists()


def test_whoever_cannot_read_codes_is_told_to_upgrade(kept):
    assert json.loads((kept / "export.json").read_text())["format_version"] == 2


def test_damaged_codes_are_named(kept):
    codes = bytearray((kept / "codes.safetensors").read_bytes())
    codes[-1] ^= 1
    (kept / "codes.safetensors").write_bytes(bytes(codes))
    with pytest.raises(ArtifactError, match=r"codes\.safetensors was altered or cut short: .* export\.json says"):
        read_export(kept)


def test_codes_of_another_table_are_refused_even_where_all_digests_match(kept, transformer):
    """The table is changed, and `export.json` written anew, as who puts a folder together by hand might do."""
    changed = Recommender.from_pretrained(transformer)
    changed.model.table.weight.data *= 2
    changed.save_pretrained(transformer)
    for name in ("config.json", "model.safetensors"):
        (kept / name).write_bytes((transformer / name).read_bytes())
    write_export(kept, {"input_table": "table.weight", "max_length": 6})
    with pytest.raises(ArtifactError, match=r"has codes of other weights: of those with the digest .* Export"):
        read_export(kept)


def test_codes_of_another_shape_are_refused_when_they_are_used(kept):
    write_codes(kept, Codes(np.ones((4, 16, 2), dtype=np.float32), np.zeros((9, 2), dtype=np.uint8)).to_arrays())
    write_export(kept, {"input_table": "table.weight", "max_length": 6})
    with pytest.raises(ArtifactError, match="the codes are of 9 items of width 8; the table has 30 of width 8"):
        Runtime.load(kept, index=SCANS)


def test_a_file_of_codes_that_is_none_is_named(kept):
    (kept / "codes.safetensors").write_bytes(b"not what it says")
    write_export(kept, {"input_table": "table.weight", "max_length": 6})
    with pytest.raises(ArtifactError, match=r"codes\.safetensors cannot be read although its digest matches"):
        read_export(kept)


def test_their_bytes_are_counted_and_told(kept):
    size = (kept / "codes.safetensors").stat().st_size
    weighed = {part.name: part.stored_bytes for part in sizes_of(kept).parts}
    assert weighed["codes of the fast scan"] == size
    assert sizes_of(kept).total.stored_bytes == sum(file.stat().st_size for file in kept.iterdir())
    assert "- codes.safetensors has the codes that the table is scanned by" in (kept / "README.md").read_text()


def test_the_folder_is_still_a_model(kept):
    assert Recommender.from_pretrained(kept).n_items == N_ITEMS
