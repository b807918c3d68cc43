"""What a provider has to offer."""

from typing import Any

import msgspec


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """One model under the provider's own name; `created` is a Unix time in seconds, 0 when it is not known.

    `details` keeps what else the provider tells of it (size, digest, family, …).
    """

    id: str
    created: int = 0
    owned_by: str | None = None
    details: dict[str, Any] = {}
