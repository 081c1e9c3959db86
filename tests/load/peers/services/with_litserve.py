"""LitServe: two workers on the CPU, the parts of a form read in `decode_request`.

As in https://lightning.ai/docs/litserve/features/request-response-format and
https://lightning.ai/docs/litserve/api-reference/litserver (`workers_per_device`).
"""

# No postponed annotations: LitServe compares that of `decode_request` with the class.
import sys

import litserve as ls  # type: ignore[import-not-found]
from fastapi import Request, Response

from tests.load.peers.services.work import PairWork


class PairAPI(ls.LitAPI):  # type: ignore[misc]
    """Labels pairs."""

    def setup(self, device: str) -> None:
        """Open the models, in each worker."""
        self.work = PairWork()

    def decode_request(self, request: Request) -> tuple[bytes, bytes]:
        """Return both images as they were sent."""
        return request["pre"].file.read(), request["post"].file.read()

    def predict(self, pair: tuple[bytes, bytes]) -> bytes:
        """Return the label map as a PNG."""
        return self.work(*pair)

    def encode_response(self, output: bytes) -> Response:
        """Return it as an answer."""
        return Response(output, media_type="image/png")


if __name__ == "__main__":
    server = ls.LitServer(PairAPI(), accelerator="cpu", workers_per_device=2)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False)
