import pytest

pytest.register_assert_rewrite("wsi_embed.slide.conformance")  # failures show the values
