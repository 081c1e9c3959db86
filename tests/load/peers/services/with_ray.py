"""Ray Serve: two replicas of a core each behind FastAPI.

As in https://docs.ray.io/en/latest/serve/http-guide.html (FastAPI, uploads) and
https://docs.ray.io/en/latest/serve/configure-serve-deployment.html (replicas, cores).
"""

# No postponed annotations: Ray sends the class to its replicas, where FastAPI would not find what they name.
import sys
from typing import Annotated

import ray  # type: ignore[import-not-found]
from fastapi import FastAPI, File, Response
from ray import serve

from tests.load.peers.services.work import PairWork

app = FastAPI()


@serve.deployment(num_replicas=2, ray_actor_options={"num_cpus": 1})
@serve.ingress(app)
class Pairs:
    """Labels pairs."""

    def __init__(self) -> None:
        """Open the models, in each replica."""
        self.work = PairWork()

    @app.post("/pair")
    def pair(self, pre: Annotated[bytes, File()], post: Annotated[bytes, File()]) -> Response:
        """Return the label map of a pair."""
        return Response(self.work(pre, post), media_type="image/png")


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run(Pairs.bind(), blocking=True)  # type: ignore[attr-defined]
