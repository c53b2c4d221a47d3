"""No secret of a URL or a connection string is left in a text."""

import pytest

from sexton.text.redaction import redact


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("postgresql://bob:pw@h/x", "postgresql://***@h/x"),
        ("at https://usr:p@S3CRET@gw/v1 now", "at https://***@gw/v1 now"),
        ("https://TOKEN@gw", "https://***@gw"),
        ("https://gw/v1?api-key=S3CRET&b=2", "https://gw/v1?api-key=***&b=***"),
        ("https://gw/v1?S3CRET", "https://gw/v1?***"),
        ("https://gw/v1#access_token=S3CRET", "https://gw/v1#access_token=***"),
        ("postgresql://h/x?sslmode=require", "postgresql://h/x?sslmode=require"),
        ("postgresql://h/x?password=S3CRET", "postgresql://h/x?password=***"),
        ("postgresql://b:S3/CRET@h/x", "postgresql://***@h/x"),
        ("https://gw:8080/x@y", "https://gw:8080/x@y"),
        ("https://[::1]:8080/x", "https://[::1]:8080/x"),
        ("host=h password='p w' user=u", "host=h password=*** user=u"),
        (r"password='it\'s S3CRET' user=u", "password=*** user=u"),
        ("host=h sslpassword=S3CRET", "host=h sslpassword=***"),
        ("nothing to hide", "nothing to hide"),
        ("", ""),
    ],
)
def test_what_is_left(text, left):
    assert redact(text) == left


def test_a_connection_strings_own_password_goes_wherever_it_stands():
    said = redact("host S3CRET@x not found", "postgresql://bob:a@S3CRET@x/db")
    assert "S3CRET" not in said
