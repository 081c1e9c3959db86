from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.tasks.damage.pipeline import SizesDoNotPair, check_sizes, to_pre_grid

sides = st.integers(64, 12_000)


@given(sides, sides)
def test_equal_sizes_pair_without_a_notice(width: int, height: int) -> None:
    assert check_sizes((width, height), (width, height)) is None


def test_scaled_post_pairs_and_is_reported() -> None:
    assert check_sizes((1024, 1024), (2048, 2048)) == "post image resized from 2048×2048 to 1024×1024"
    assert check_sizes((1600, 1200), (800, 600)) == "post image resized from 800×600 to 1600×1200"


@given(sides, sides, st.floats(0.1, 10))
def test_any_scale_pairs_though_sides_are_rounded(width: int, height: int, scale: float) -> None:
    other = (max(1, round(width * scale)), max(1, round(height * scale)))
    check_sizes((width, height), other)
    check_sizes(other, (width, height))


@given(sides, sides, st.floats(1.05, 10))
def test_stretched_post_does_not_pair(width: int, height: int, stretch: float) -> None:
    with pytest.raises(SizesDoNotPair):
        check_sizes((width, height), (width, round(height * stretch) + 1))


@pytest.mark.parametrize(
    ("pre", "post"), [((1024, 768), (768, 1024)), ((1024, 1024), (1024, 1000)), ((64, 64), (128, 131))]
)
def test_other_shapes_do_not_pair(pre: tuple[int, int], post: tuple[int, int]) -> None:
    for sizes in ((pre, post), (post, pre)):
        with pytest.raises(SizesDoNotPair):
            check_sizes(*sizes)


def test_equal_size_is_handed_through() -> None:
    post = np.zeros((70, 80, 3), np.uint8)
    assert to_pre_grid(post, (80, 70)) is post


def test_shrinking_averages() -> None:
    post = np.zeros((140, 160, 3), np.uint8)
    post[::2, ::2] = 200
    small = to_pre_grid(post, (80, 70))
    assert small.shape == (70, 80, 3)
    assert (small == 50).all()


def test_growing_keeps_the_frame() -> None:
    post = np.zeros((64, 64, 3), np.uint8)
    post[:, 32:] = 255
    large = to_pre_grid(post, (128, 128))
    assert large.shape == (128, 128, 3)
    # Pixel centres align: the edge stays in the middle and the interpolation is symmetric about it.
    assert np.array_equal(large, 255 - large[:, ::-1])
    assert large[0, 62:66, 0].tolist() == [0, 64, 191, 255]
