"""A teacher's knowledge: what it says about positions of histories, live or on disk."""

from distilrec.knowledge.folder import Knowledge
from distilrec.knowledge.labels import DenseLabels, FactorLabels, Labels, ListLabels
from distilrec.knowledge.layout import Column, FactorPart, ListPart
from distilrec.knowledge.several import SeveralTeachers
from distilrec.knowledge.source import KnowledgeSource
from distilrec.knowledge.writer import KnowledgeWriter

__all__ = [
    "Column",
    "DenseLabels",
    "FactorLabels",
    "FactorPart",
    "Knowledge",
    "KnowledgeSource",
    "KnowledgeWriter",
    "Labels",
    "ListLabels",
    "ListPart",
    "SeveralTeachers",
]
