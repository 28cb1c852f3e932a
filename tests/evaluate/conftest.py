"""Evaluations need the extra `train` or `mil`."""

import pytest

pytest.importorskip("sklearn")
