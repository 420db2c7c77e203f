"""Points with round figures."""

from distilrec.compress.frontier import Point


def point(name="point", size=1000, ms=1.0, loss=0.0, joules=None, trained=False):
    """Of a student whose score is 1/10; half of its bytes are weights."""
    return Point(name, size, size // 2, ms, joules, "ndcg@10", (1 - loss) / 10, loss, loss - 0.01, loss + 0.01, trained)
