"""A shop with a project file of its own."""

from tests.support.shop import file, run, shop_url

__all__ = ["file", "run", "shop_url"]
