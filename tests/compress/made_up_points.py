"""Points with round figures."""

from distilrec.compress.frontier import Point


def point(name="point", size=1000, ms=1.0, loss=0.0, joules=None, trained=False, p=0.5):
    """Of a student whose score is 1/10; half of its bytes are weights. p below 1/20 shows that it loses little."""
    bounds = {"loss": loss, "loss_low": loss - 0.01, "loss_high": loss + 0.01, "loss_p": p}
    return Point(name, size, size // 2, ms, joules, "ndcg@10", (1 - loss) / 10, trained=trained, **bounds)
