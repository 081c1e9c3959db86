"""What the modules of scenes import from here: the inference of one request is in `segmenter`."""

from gateway.inference.segmenter import in_order as in_order
from gateway.inference.segmenter import together as together
