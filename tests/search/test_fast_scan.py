"""A scan of codes finds what all products find, and says so where it can't."""

import builtins

import numpy as np
import pytest

from distilrec.errors import ArtifactError, MissingExtraError, SettingsError
from distilrec.search import (
    Codes,
    FastScanIndex,
    FlatIndex,
    FloatRows,
    IndexSettings,
    codes,
    codes_for,
    codes_to_keep,
    index_for,
)
from distilrec.search.fast_scan import shortlist_for
from distilrec.storage import Codebooks, Int8, LowRank, Packed

DRAW = np.random.default_rng(0)
TABLE = DRAW.standard_normal((4000, 16)).astype(np.float32)
VECTORS = DRAW.standard_normal((20, 16)).astype(np.float32)
SCANNED = IndexSettings(kind="fast_scan")


def packed(form):
    return Packed.of({"table.weight": TABLE}, {"table.weight": form})


def recall(index, expected, k=10, **limits):
    """Which share of the best is found."""
    pairs = zip(index.search(VECTORS, k, **limits)[0], expected.search(VECTORS, k, **limits)[0], strict=True)
    return np.mean([len(np.intersect1d(found, best)) / k for found, best in pairs])


@pytest.fixture
def only_scans(monkeypatch):
    """Fails where every item is scored."""

    def refuse(*asked):
        raise AssertionError("every item was scored")

    monkeypatch.setattr("distilrec.search.fast_scan.best_of_all", refuse)


@pytest.mark.usefixtures("only_scans")
@pytest.mark.parametrize(
    "form", [Int8(), LowRank(rank=8), LowRank(rank=8, left=Int8()), Codebooks(codes=8, bits=4, rounds=3, rotate=True)]
)
def test_a_scan_finds_what_scoring_every_item_finds(form):
    """Of a turned or low-rank table the thin rows are scanned; of codebooks of 4 bits their own codes."""
    index = index_for(packed(form), settings=SCANNED)
    assert recall(index, index_for(packed(form), settings=IndexSettings(kind="flat"))) >= 0.99


def test_a_longer_shortlist_finds_more():
    exact = FlatIndex(TABLE)
    coarse = Codes.learn(FloatRows(TABLE), 4)
    found = [recall(FastScanIndex(FloatRows(TABLE), shortlist=n, codes=coarse), exact) for n in (20, 100, 400)]
    assert found[0] < found[1] < found[2]


@pytest.mark.usefixtures("only_scans")
def test_what_is_excluded_pushes_nothing_out():
    """The forty best are excluded, more than half a shortlist; the ten that follow are found."""
    exact = FlatIndex(TABLE)
    best = list(exact.search(VECTORS, 40)[0])
    assert recall(FastScanIndex(FloatRows(TABLE)), exact, exclude=best) >= 0.99


@pytest.mark.usefixtures("only_scans")
def test_what_is_not_allowed_makes_the_shortlist_longer():
    index = FastScanIndex(FloatRows(TABLE))
    assert recall(index, FlatIndex(TABLE), allow=np.arange(0, 4000, 3)) >= 0.99


def test_where_a_scan_finds_too_few_every_item_is_scored():
    """Half of the items are allowed: those that the vector wants least."""
    vector = VECTORS[:1]
    worst = np.sort(np.argsort(TABLE @ vector[0])[:2000])
    found = FastScanIndex(FloatRows(TABLE)).search(vector, 5, allow=worst)
    expected = FlatIndex(TABLE).search(vector, 5, allow=worst)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])


def test_kept_codes_find_the_same():
    index, arrays = FastScanIndex(FloatRows(TABLE)), codes_for(FloatRows(TABLE)).to_arrays()
    assert {name: (array.dtype.name, array.shape) for name, array in arrays.items()} == {
        "books": ("float32", (16, 16, 1)),
        "codes": ("uint8", (4000, 8)),
    }
    again = FastScanIndex(FloatRows(TABLE), codes=Codes.from_arrays(arrays))
    for found, before in zip(again.search(VECTORS, 10), index.search(VECTORS, 10), strict=True):
        np.testing.assert_array_equal(found, before)


def test_learning_again_gives_the_same_codes():
    first, second = (Codes.learn(FloatRows(TABLE), 4).to_arrays() for _ in range(2))
    assert all((first[name] == second[name]).all() for name in first)


def test_large_tables_have_half_as_many_codes(monkeypatch):
    """4000 rows of a code for each of 16 columns take 32,000 bytes."""
    for cache, n_codes in ((32_000, 16), (31_999, 8)):
        monkeypatch.setattr("distilrec.search.fast_scan._IN_CACHE", cache)
        assert len(codes_for(FloatRows(TABLE)).books) == n_codes
    assert len(codes_for(FloatRows(TABLE[:, :15])).books) == 15


def test_only_codes_that_would_be_learnt_each_time_are_worth_keeping(monkeypatch):
    """20,000 items are scanned; of 4 columns their codes take 40,000 bytes, which fit into most caches."""
    table = np.tile(TABLE[:, :4], (5, 1))
    large, own = (
        Packed.of({"table.weight": table}, forms)
        for forms in ({}, {"table.weight": Codebooks(codes=2, bits=4, rounds=1)})
    )
    assert codes_to_keep(large) is None
    monkeypatch.setattr("distilrec.search.fast_scan._IN_CACHE", 39_999)
    kept = codes_to_keep(large).to_arrays()
    assert all((kept[name] == array).all() for name, array in codes_for(FloatRows(table)).to_arrays().items())
    assert codes_to_keep(own) is None
    assert codes_to_keep(Packed.of({"table.weight": table[1:]})) is None
    monkeypatch.setattr("distilrec.search.choose.faiss_is_installed", lambda: False)
    assert codes_to_keep(large) is None


def test_a_grid_is_even_and_reaches_the_far_ends():
    """Columns of mean 1 and standard deviation 1, and of one number only."""
    table = np.array([[0, 7], [2, 7]], dtype=np.float32)
    found = Codes.grid(FloatRows(table))
    np.testing.assert_allclose(found.books[0, :, 0], 1 + 0.45 * (np.arange(16) - 7.5), rtol=1e-6)
    np.testing.assert_allclose(found.books[1, :, 0], 7, rtol=1e-6)
    assert (found.packed & 15).tolist() == [[5], [10]]


def test_shortlists_grow_with_the_square_root():
    assert [shortlist_for(n, 1) for n in (10, 10_000, 1_000_000)] == [64, 100, 1000]
    assert [shortlist_for(n, 2) for n in (10, 10_000, 1_000_000)] == [64, 150, 1500]


def test_auto_scans_from_so_many_items_on():
    kinds = [type(index_for(packed(Int8()), settings=IndexSettings(scan_from=n))) for n in (4000, 4001)]
    assert kinds == [FastScanIndex, FlatIndex]
    assert type(index_for(packed(Int8()), settings=IndexSettings(kind="flat", scan_from=1))) is FlatIndex
    assert index_for(packed(Int8()), settings=IndexSettings(kind="fast_scan", shortlist=77)).shortlist == 77


def test_a_small_table_is_held_decoded_and_a_scanned_one_as_it_is_stored():
    flat = index_for(packed(Int8()), settings=IndexSettings(kind="flat"))
    assert flat.rows.nbytes == flat.nbytes == 4000 * 16 * 4
    assert index_for(packed(Int8()), settings=SCANNED).rows.nbytes == 4000 * (16 + 4)


def test_without_faiss_auto_scores_every_item_and_a_scan_is_refused(monkeypatch):
    monkeypatch.setattr("distilrec.search.choose.faiss_is_installed", lambda: False)
    plain_import = builtins.__import__

    def without_faiss(name, *rest):
        if name == "faiss":
            raise ImportError(name)
        return plain_import(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_faiss)
    assert type(index_for(packed(Int8()), settings=IndexSettings(scan_from=1))) is FlatIndex
    with pytest.raises(MissingExtraError, match=r"pip install 'distilrec\[search\]'"):
        index_for(packed(Int8()), settings=SCANNED)


BOOKS, HALVES = np.ones((4, 16, 4), dtype=np.float32), np.zeros((4000, 2), dtype=np.uint8)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"books": BOOKS}, "a fast scan is made of books and codes; the file has books"),
        ({}, "the file has none"),
        ({"books": BOOKS[:, :8], "codes": HALVES}, r"books are float32 \(4, 8, 4\); expected float32 \[M, 16, D / M\]"),
        ({"books": BOOKS, "codes": HALVES[:, :1]}, r"codes are uint8 \(4000, 1\); expected uint8 \[N, 2\]"),
        ({"books": BOOKS, "codes": HALVES.astype(int)}, "codes are int64"),
        ({"books": BOOKS * np.nan, "codes": HALVES}, "a book holds NaN"),
        ({"books": BOOKS, "codes": HALVES[1:]}, "the codes are of 3999 items of width 16; the table has 4000 of"),
        ({"books": BOOKS[:, :, 1:], "codes": HALVES}, "the codes are of 4000 items of width 12"),
    ],
)
def test_codes_that_are_damaged_or_of_another_table_are_refused(arrays, message):
    with pytest.raises(ArtifactError, match=message):
        FastScanIndex(FloatRows(TABLE), codes=Codes.from_arrays(arrays))


def test_a_table_without_rows_has_no_codes():
    with pytest.raises(ArtifactError, match="the table has no rows"):
        FastScanIndex(FloatRows(TABLE[:0]))


def test_unknown_kinds_are_refused():
    with pytest.raises(SettingsError, match=r"kind: .*'auto', 'flat' or 'fast_scan'"):
        SCANNED.with_changes(kind="hnsw")


def test_faiss_is_told_to_work_on_one_thread():
    """OpenMP keeps a number for each thread that asks, so it is told at every search."""
    faiss = codes._faiss()
    faiss.omp_set_num_threads(2)
    FastScanIndex(FloatRows(TABLE)).search(VECTORS, 3)
    assert faiss.omp_get_max_threads() == 1
