"""From history vectors to the best items, on one thread, from tables as they are stored. Numpy; faiss if asked."""

from distilrec.search.choose import index_for, rows_of
from distilrec.search.flat import FlatIndex
from distilrec.search.question import Found, ItemIndex
from distilrec.search.rows import FloatRows, Int8Rows, Rows

__all__ = ["FlatIndex", "FloatRows", "Found", "Int8Rows", "ItemIndex", "Rows", "index_for", "rows_of"]
