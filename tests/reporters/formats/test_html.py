"""HTML is the page of one run."""

from sexton.reporters.formats import html


def test_the_page_shows_this_run_alone(report):
    page = html.render(report)
    assert page.lstrip().lower().startswith("<!doctype html>")
    assert "chat_without_model" in page
    assert "chat &lt;c-1&gt; &amp; more" in page
    assert html.FORMAT.endings == (".html",)
