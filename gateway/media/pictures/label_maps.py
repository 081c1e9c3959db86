"""What the modules of scenes import from here: label maps are encoded in `png`, and drawn over images in `overlays`."""

from gateway.media.pictures.overlays import encode_overlay as encode_overlay
from gateway.media.pictures.png import encode_label_map as encode_label_map
