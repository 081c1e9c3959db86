"""What the modules of scenes import from here: what a caller asks of a route is in `parameters`."""

from gateway.http.parameters import JSON as JSON
from gateway.http.parameters import PNG as PNG
from gateway.http.parameters import Wish as Wish
