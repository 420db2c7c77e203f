"""`make soak` keeps watch over promises: that it sees a broken one, and that a short run keeps them all."""

import sys
from pathlib import Path

import pytest
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from soak import Options, exit_code, judge_answers, show, soak
from soaking.ledger import Ledger, compare, stored_ids
from soaking.load import CUT, Answers
from soaking.memory import judge_growth
from soaking.promises import BrokenPromiseError, Promise, demand

from distilrec.serve.store.events import Store, StoredEvent


def test_an_acknowledged_event_that_the_store_lacks_is_reported_and_fails_the_soak(tmp_path, capsys):
    address, ledger = f"sqlite:///{tmp_path}/events.db", Ledger("run")
    store = Store(address)
    store.append([StoredEvent("run-1", "ada", 7), StoredEvent("older", "ada", 7)])  # "older" is of another run
    store.close()
    ledger.send(["run-1", "run-2"])
    ledger.acknowledge(["run-1", "run-2"])

    def kept():
        compared = compare(ledger, stored_ids(address))
        demand(compared.agree, compared.told())
        return compared.told()

    promise = Promise("the ledger", "nothing is lost")
    assert promise.hold(kept).startswith("BROKEN: 2 acknowledged")
    assert promise.broken == [
        "2 acknowledged, 0 more kept whose answer was cut off; 1 lost (run-2), 0 twice, 0 never sent"
    ]
    assert exit_code([Promise("another", "nothing"), promise]) == 1
    show([promise], Console(width=200))
    printed = capsys.readouterr().out
    assert "BROKEN: 2 acknowledged" in printed
    assert "0 of 1" in printed
    assert "promises broken: 1" in printed


def test_a_promise_that_was_broken_once_stays_broken_and_what_happens_next_is_still_told():
    promise = Promise("fault", "nothing", broken=["it fell over"], times=1)
    assert promise.hold(lambda: "it stood") == "it stood"
    assert promise.cells() == ("fault", "nothing", "BROKEN: it fell over", "1 of 2")


def test_events_that_are_there_twice_or_were_never_sent_are_told_from_those_whose_answer_was_cut_off():
    ledger = Ledger("run", sent={"run-1", "run-2"}, acknowledged={"run-1"})
    assert compare(ledger, ["run-1", "run-2"]).agree
    assert compare(ledger, ["run-1", "run-2"]).unacknowledged == 1
    assert compare(ledger, ["run-1", "run-1"]).twice == ["run-1"]
    assert compare(ledger, ["run-1", "run-3"]).strange == ["run-3"]
    assert not compare(ledger, ["run-1", "run-3"]).agree


@pytest.mark.parametrize("status", [400, 500, 502])
def test_a_good_request_that_is_refused_breaks_a_promise_and_503_does_not(status):
    answers = Answers()
    for one in (200, 200, 503):
        answers.count("POST /recommend", one, retry_after="1")
    assert judge_answers(answers, seconds=3) == "3 requests, 1 a second: 2 x 200, 1 x 503"
    answers.count("POST /recommend", status)
    with pytest.raises(BrokenPromiseError, match=rf"\('POST /recommend', {status}\): 1"):
        judge_answers(answers, seconds=3)


def test_a_503_has_to_say_when_to_come_back():
    answers = Answers()
    answers.count("POST /events", 503)
    with pytest.raises(BrokenPromiseError, match="1 x 503 without Retry-After"):
        judge_answers(answers, seconds=1)


def test_only_a_killed_worker_may_break_connections_off():
    answers = Answers()
    answers.kill()
    answers.count("POST /events", CUT)
    assert "1 broken off" in judge_answers(answers, seconds=1)
    unprovoked = Answers()
    unprovoked.count("POST /events", CUT)
    with pytest.raises(BrokenPromiseError, match="1 broken off though no worker had been killed"):
        judge_answers(unprovoked, seconds=1)


def test_a_worker_that_grows_beyond_the_bound_breaks_a_promise():
    assert judge_growth([90.0, 100.0], [110.0], 10) == "100 MiB at most in the first round, 110 MiB later"
    with pytest.raises(BrokenPromiseError, match="100 MiB at most in the first round, 111 MiB later"):
        judge_growth([90.0, 100.0], [111.0], 10)
    assert "not judged" in judge_growth([100.0], [], 10)


@pytest.mark.slow
def test_a_short_soak_keeps_every_promise_and_stops_by_itself(shared_exports):
    options = Options(minutes=0, folder=shared_exports("transformer"), hold_seconds=0.5, pause_seconds=0.1)
    promises = soak(options)
    assert [promise.broken for promise in promises if promise.broken] == []
    assert {promise.times for promise in promises} == {1}
    assert exit_code(promises) == 0
