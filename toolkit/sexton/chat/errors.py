"""What the product's rules say no to, each with its own kind and upstream's sentence."""

from sexton.errors import NotFound, Refused


class Missing(NotFound):
    """There is no such provider, model config or chat."""

    upstream = "Resource not found or you do not have access to this resource"


class Deleted(Missing):
    """The model config is a tombstone."""


class Disabled(Refused):
    """The model config is disabled."""


class ProviderDisabled(Refused):
    """The provider is disabled."""

    status = 400
    upstream = "Provider is disabled."


class ProviderMissing(Refused):
    """The provider has no row."""

    status = 400
    upstream = "Chat provider is not configured."
