from __future__ import annotations

import re

import numpy as np
import pytest

from wsi_embed.errors import UsageError
from wsi_embed.quality import MEASURES, QualityLimits

VALUES = {
    "focus": np.array([1.0, 5.0, 9.0, np.nan], np.float32),
    "pen": np.array([0.0, 0.5, 0.1, np.nan], np.float32),
    "dark": np.array([0.3, 0.2, 1.1, np.nan], np.float32),
}


@pytest.mark.parametrize(
    ("limits", "kept"),
    [
        ({}, [True, True, True, True]),
        ({"min_focus": 5.0}, [False, True, True, True]),
        ({"max_pen": 0.1}, [True, False, True, True]),
        ({"max_dark": 0.3}, [True, True, False, True]),
        ({"min_focus": 5.0, "max_pen": 0.2, "max_dark": 1.0}, [False, False, False, True]),
        ({"max_pen": 0.0}, [True, False, False, True]),
    ],
)
def test_tiles_beyond_a_limit_are_left_out(limits: dict[str, float], kept: list[bool]) -> None:
    assert VALUES.keys() == MEASURES.keys()
    assert QualityLimits(**limits).kept(VALUES).tolist() == kept
    assert QualityLimits(**limits).used == bool(limits)


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ({"min_focus": -1.0}, "`min_focus=-1.0`: a number of at least 0"),
        ({"min_focus": float("nan")}, "`min_focus=nan`"),
        ({"max_dark": float("inf")}, "`max_dark=inf`"),
        ({"max_pen": 1.5}, "`max_pen=1.5`: a share from 0 to 1"),
    ],
)
def test_impossible_limits_are_refused(limits: dict[str, float], says: str) -> None:
    with pytest.raises(UsageError, match=re.escape(says)):
        QualityLimits(**limits)
