"""The one HTTP client to providers: where they are, how long to wait, and what their failures are called here.

`Upstream.exchange` sends one request and gives the answer as soon as its head is there; leaving its `async with`
gives the connection back, or closes it at once if some of the answer is still to come. Foreign errors (httpx's, which
our own wire raises too) become ours in one place, `failures`.
"""

from gateway.upstream.answers import MAX_ANSWER_BYTES, Answer
from gateway.upstream.client import Upstream

__all__ = ["MAX_ANSWER_BYTES", "Answer", "Upstream"]
