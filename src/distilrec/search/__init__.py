"""From history vectors to the best items, on one thread, from tables as they are stored. Numpy; faiss if asked."""

from distilrec.search.choose import IndexSettings, index_for
from distilrec.search.flat import FlatIndex
from distilrec.search.question import Found, ItemIndex
from distilrec.search.rows import FloatRows, Int8Rows, Rows
from distilrec.search.stored import rows_of

__all__ = [
    "FlatIndex",
    "FloatRows",
    "Found",
    "IndexSettings",
    "Int8Rows",
    "ItemIndex",
    "Rows",
    "index_for",
    "rows_of",
]
