"""The OpenAPI 3.1 document of every endpoint."""

from gateway.api.openapi.document import write_document

__all__ = ["write_document"]
