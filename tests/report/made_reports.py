"""A made-up run for reports, and a reader of pages that notices what is wrong with them."""

import dataclasses
from html.parser import HTMLParser

import numpy as np
import polars as pl

from distilrec.evaluate.bootstrap import Interval
from distilrec.evaluate.cost import Cost, CostTable
from distilrec.evaluate.evaluation import Evaluation
from distilrec.evaluate.verdicts import verdicts
from distilrec.latency import Latency
from distilrec.report.facts import Curve, Model, Recommended, RunFacts, Sample, Shown, Slice, Stage
from distilrec.report.html import VOID

EVIL = "<script>alert('x & y')</script>"
PROTOCOL = {"split": "test", "exclude_history": True, "n_items": 24, "ties": "against the model", "cases": "abc"}


class Outline(HTMLParser):
    """What a page is made of; `problems` names what a browser would have to guess."""

    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.open, self.problems, self.ids, self.links, self.text, self.tags = [], [], [], [], [], []
        self.feed(page)
        self.close()
        self.problems += [f"<{tag}> is never closed" for tag in self.open]
        self.problems += [f"id {name} comes twice" for name in set(self.ids) if self.ids.count(name) > 1]
        self.problems += [f"{to} leads nowhere" for to in self.links if to[1:] not in self.ids]

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.ids += [value for name, value in attributes if name == "id"]
        self.links += [value for name, value in attributes if name == "href"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"</{tag}> closes what is not open")

    def handle_data(self, data):
        self.text.append(data)

    def named(self, tag):
        return [attributes for found, attributes in self.tags if found == tag]

    @property
    def words(self):
        return " ".join("".join(self.text).split())


def evaluation(values, **protocol):
    """NDCG@10 of as many users as there are values."""
    about = {"user": np.arange(len(values)), "history_length": [5] * len(values), "n_relevant": [1] * len(values)}
    return Evaluation(pl.DataFrame({**about, "ndcg@10": np.array(values, dtype=np.float64)}), {**PROTOCOL, **protocol})


def model(name, values, **changes):
    found = evaluation(values)
    made = Model(
        name,
        name.replace("_", " "),
        found,
        found.summary(),
        parameters=1000,
        bytes_on_disk=4000,
        latency=Latency(0.5, 1.0, 2.0, 4),
        milliseconds=(0.4, 0.5, 0.5, 2.0),
        curves=(Curve(None, [{"loss": 3 - n, "score": n / 10, "seconds": 1.0} for n in (1, 2)], 2),),
        lists=np.array([[1, 2]] * len(values)),
    )
    return dataclasses.replace(made, **changes)


def made_facts():
    """A run of three models and four users in which every text that data may hold is an attack."""
    alone, teacher = model("student_alone", [0, 0, 0.5, 0.5]), model("teacher", [0, 1, 1, 0.5], bytes_on_disk=40_000)
    epochs = [{"loss": 3.0, "hard": 2.0, "soft": 4.0, "score": 0.3, "seconds": 2.0}]
    distilled = model("distilled", [0.5, 0.5, 1, 1], curves=(Curve(0, epochs, 1),))
    sample = Sample(EVIL, [EVIL, "two"], [EVIL], {
        "teacher": [Recommended(EVIL, False, False)],
        "distilled": [Recommended(EVIL, True, True), Recommended("three", False, True)],
    })  # fmt: skip
    return RunFacts(
        place="runs/small",
        name=EVIL,
        metric="ndcg@10",
        models=[alone, teacher, distilled],
        verdicts=[verdicts(distilled.evaluation, teacher.evaluation, names=("the distilled student", "the teacher"))],
        notes=[EVIL],
        costs=CostTable({"distilled": Cost(1, 2, 3, 10, 5000, 3.6, 3 << 20, 2 << 20, 1234, 0.25, 18.0, EVIL)}, EVIL),
        data=[("Log", EVIL), ("Split", "leave last out")],
        protocol=PROTOCOL,
        slices=[Slice("history", EVIL, 4, {"teacher": Interval(0.5, 0.4, 0.6), "distilled": Interval(0.7, 0.6, 0.8)})],
        shown=[Shown(EVIL, "distilled", [0.5, 0.25, 0.25], {"coverage": 0.125, "novelty": 3.0})],
        samples=[sample],
        recipe=f"name: {EVIL}\n",
        stages=[Stage("data", "k", 1.5), Stage("teacher", "k", None)],
        machine={"processor": EVIL},
        digests=[("data", "0123abcd")],
        missing=[EVIL],
    )
