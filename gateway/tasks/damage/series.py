"""What the modules of scenes import from here: images of several dates are told apart in `inputs`."""

from gateway.tasks.damage.inputs import between_of as between_of
from gateway.tasks.damage.inputs import tiles_of as tiles_of
from gateway.tasks.damage.pipeline import inputs_of as inputs_of
