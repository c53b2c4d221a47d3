"""The page that people look at: one file of HTML, from one run or many."""

from sexton.page.render import render

__all__ = ["render"]
