"""Each refusal has a sentence of ours, and the product's."""

from sexton.errors import SextonError


def test_our_sentence_is_the_text_and_upstreams_is_in_the_document(sexton):
    said = sexton("provider", "delete", "nope")
    assert "sexton: no provider is called 'nope'\n" in said.stderr
    error = sexton("provider", "delete", "nope", "--format", "json").json["error"]
    assert error["message"].startswith("Resource not found")
    assert error["hint"].startswith("no provider is called 'nope'")


def test_every_refusal_says_what_is_wrong_in_words_of_its_own():
    for kind in SextonError.__subclasses__():
        assert kind.upstream is None or kind.upstream != kind().message
