"""Bringing the post-disaster image to the pixel grid of the pre-disaster one."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

UInt8 = npt.NDArray[np.uint8]


class SizesDoNotPair(ValueError):
    """The two images differ in shape and so cannot show the same frame."""


def check_sizes(pre: tuple[int, int], post: tuple[int, int]) -> str | None:
    """Decide from their sizes alone whether two images can be a pair.

    Two sizes pair when one is the other scaled, each side rounded to a whole pixel. With sides off by
    at most half a pixel, ``w′ = s·w ± ½`` and ``h′ = s·h ± ½``, hence
    ``|w′·h − w·h′| ≤ (w + h) / 2`` of the larger image.

    Args:
        pre: (width, height) of the pre-disaster image in pixels, as displayed.
        post: the same of the post-disaster image.

    Returns:
        What the caller should be told when `to_pre_grid` will resize; None for equal sizes.

    Raises:
        SizesDoNotPair: the aspect ratios differ.
    """
    if pre == post:
        return None
    (pre_width, pre_height), (post_width, post_height) = pre, post
    if 2 * abs(post_width * pre_height - pre_width * post_height) > max(sum(pre), sum(post)):
        raise SizesDoNotPair(f"pre is {pre_width}×{pre_height}, post is {post_width}×{post_height}")
    return f"post image resized from {post_width}×{post_height} to {pre_width}×{pre_height}"


def to_pre_grid(post: UInt8, pre_size: tuple[int, int]) -> UInt8:
    """Return `post` with the size of the pre-disaster image, whose grid the label map has.

    Args:
        post: uint8, (height, width, 3), of a size that `check_sizes` accepts.
        pre_size: (width, height) in pixels.

    Returns:
        `post` itself if it has the size; else averaged down (area) or interpolated up (bilinear).
    """
    height, width = post.shape[:2]
    if (width, height) == pre_size:
        return post
    method = cv2.INTER_AREA if width * height > pre_size[0] * pre_size[1] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(post, pre_size, interpolation=method), np.uint8)
