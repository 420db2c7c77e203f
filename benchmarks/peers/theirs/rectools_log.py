"""Training events as RecTools reads them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from files import Heard
from rectools import Columns


def frame(heard: Heard) -> pd.DataFrame:
    """An event a row; the place in the history serves as a day."""
    lengths = np.array([len(row) for row in heard.train])
    places = np.concatenate([np.arange(length) for length in lengths])
    return pd.DataFrame(
        {
            Columns.User: np.repeat(heard.users, lengths),
            Columns.Item: np.concatenate(heard.train),
            Columns.Weight: 1.0,
            Columns.Datetime: pd.Timestamp("2000-01-01") + pd.to_timedelta(places, unit="D"),
        }
    )
