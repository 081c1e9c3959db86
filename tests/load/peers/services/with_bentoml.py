"""BentoML: two workers, images as files in and out.

As in https://docs.bentoml.com/en/latest/build-with-bentoml/iotypes.html (files) and
https://docs.bentoml.com/en/latest/build-with-bentoml/parallelize-requests.html (workers).
"""

from pathlib import Path
from typing import Annotated

import bentoml  # type: ignore[import-not-found]
from bentoml.validators import ContentType  # type: ignore[import-not-found]

from tests.load.peers.services.work import PairWork

PNG = ContentType("image/png")


@bentoml.service(workers=2)
class Pairs:
    """Labels pairs."""

    def __init__(self) -> None:
        """Open the models, in each worker."""
        self.work = PairWork()

    @bentoml.api  # type: ignore[untyped-decorator]
    def pair(
        self, pre: Annotated[Path, PNG], post: Annotated[Path, PNG], context: bentoml.Context
    ) -> Annotated[Path, PNG]:
        """Return the label map of a pair."""
        answer = Path(context.temp_dir) / "labels.png"
        answer.write_bytes(self.work(pre.read_bytes(), post.read_bytes()))
        return answer
