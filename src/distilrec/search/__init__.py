"""From history vectors to the best items, on one thread, from tables as they are stored. Numpy; faiss if asked."""

from distilrec.search.choose import IndexSettings, codes_to_keep, index_for
from distilrec.search.codes import Codes
from distilrec.search.fast_scan import FastScanIndex, codes_for
from distilrec.search.flat import FlatIndex
from distilrec.search.question import Found, ItemIndex
from distilrec.search.rows import FloatRows, Int8Rows, Rows, pieces
from distilrec.search.small_rows import CodebookRows, Int4Rows, ProjectedRows
from distilrec.search.stored import rows_of

__all__ = [
    "CodebookRows",
    "Codes",
    "FastScanIndex",
    "FlatIndex",
    "FloatRows",
    "Found",
    "IndexSettings",
    "Int4Rows",
    "Int8Rows",
    "ItemIndex",
    "ProjectedRows",
    "Rows",
    "codes_for",
    "codes_to_keep",
    "index_for",
    "pieces",
    "rows_of",
]
