"""How a model's arrays are stored: in fewer bits, fewer numbers, or once for several. Numpy alone."""

from distilrec.storage.codebooks import Codebooks
from distilrec.storage.factors import LowRank, Sparse
from distilrec.storage.floats import BFloat16, Float16, Float32, Integers
from distilrec.storage.form import Form
from distilrec.storage.forms import FORMS, TableForm
from distilrec.storage.integers import Int4, Int8
from distilrec.storage.packed import Packed
from distilrec.storage.shared import Alias, Hashed, QuotientRemainder, SharedRows

__all__ = [
    "FORMS",
    "Alias",
    "BFloat16",
    "Codebooks",
    "Float16",
    "Float32",
    "Form",
    "Hashed",
    "Int4",
    "Int8",
    "Integers",
    "LowRank",
    "Packed",
    "QuotientRemainder",
    "SharedRows",
    "Sparse",
    "TableForm",
]
