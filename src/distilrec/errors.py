"""What can go wrong, as one tree. Each message says which thing, what was expected, what came, what to do.

DistilRecError
├── DataError          a log, catalogue or split that cannot be used
├── SettingsError      a recipe or argument that makes no sense
├── SourceError        a file or model that cannot be found, fetched or verified
├── StorageError       a disk that is full or cannot be written
├── ArtifactError      a saved model or run folder that is damaged or belongs elsewhere
├── KnowledgeError     a teacher's knowledge that is damaged or belongs to other data
├── TrainingError      a training run that cannot go on
└── MissingExtraError  an optional library that is not installed

The command line prints the message and exits with code 2.
"""

from __future__ import annotations


class DistilRecError(Exception):
    """Anything that DistilRec refuses, in words for the person who caused it."""


class DataError(DistilRecError, ValueError):
    """A log, catalogue or split that cannot be used."""


class SettingsError(DistilRecError, ValueError):
    """A recipe or argument that makes no sense."""


class SourceError(DistilRecError, OSError):
    """A file or model that cannot be found, fetched or verified."""


class StorageError(DistilRecError, OSError):
    """A disk that is full or cannot be written."""


class ArtifactError(DistilRecError, ValueError):
    """A saved model or run folder that is damaged or belongs elsewhere."""


class KnowledgeError(DistilRecError, ValueError):
    """A teacher's knowledge that is damaged or belongs to other data."""


class TrainingError(DistilRecError, RuntimeError):
    """A training run that cannot go on."""


class MissingExtraError(DistilRecError, ImportError):
    """An optional library that is not installed; the message gives the line that installs it."""

    def __init__(self, library: str, extra: str) -> None:
        super().__init__(f"{library} is not installed. Run: pip install 'distilrec[{extra}]'")
        self.library, self.extra = library, extra
