import pytest

from distilrec.errors import SettingsError
from distilrec.evaluate.cost import Cost, money_per_million

COST = Cost(
    p50_ms=1,
    p95_ms=2,
    p99_ms=3,
    requests=200,
    requests_per_second=5000,
    processor_ms=3.6,
    peak_memory_bytes=3 << 20,
    model_memory_bytes=1 << 20,
    size_bytes=1234,
    load_seconds=0.5,
    joules_per_thousand=18,
    energy="an estimate",
)


def test_a_million_requests_of_a_millisecond_are_a_thousand_seconds_of_a_core():
    assert money_per_million(1.0, 3.6) == pytest.approx(1.0)
    assert COST.money_per_million(0.05) == pytest.approx(0.05)


def test_the_lines_say_every_cost_with_its_unit():
    told = dict(COST.lines(per_core_hour=0.05))
    assert told["latency p50 / p95 / p99"] == "1.00 / 2.00 / 3.00 ms"
    assert told["throughput, many at once"] == "5,000 a second"
    assert told["peak memory"] == "3.0 MiB, of which the model 1.0 MiB"
    assert told["bytes on disk"] == "1,234"
    assert told["energy a thousand requests"] == "18.00 J (an estimate)"
    assert told["money a million requests"] == "0.0500 at 0.05 a core-hour"
    assert "money a million requests" not in dict(COST.lines())


def test_a_negative_price_is_refused():
    with pytest.raises(SettingsError, match="per_core_hour is -1; expected a price, 0 or more"):
        COST.money_per_million(-1)
