"""The JSON schemas in the package, and what they say of a document."""

import json
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema

PACKAGE = Path(str(resources.files("sexton")))
FILES = {
    file.name.removesuffix(".schema.json"): file
    for file in sorted(PACKAGE.rglob("*.schema.json"))
}
SCHEMAS = {name: json.loads(file.read_text()) for name, file in FILES.items()}


def conforms(document: Any, name: str, line: str = "") -> Any:
    """The document, if it is as the schema of this name says; `line` printed it."""
    check = jsonschema.Draft202012Validator(
        SCHEMAS[name], format_checker=jsonschema.FormatChecker()
    )
    wrong = [f"{error.json_path}: {error.message}" for error in check.iter_errors(document)]
    assert not wrong, (
        f"{line} prints what {FILES[name]} does not say: correct that file (and the "
        f"CHANGELOG), or the command\n" + "\n".join(wrong)
    )
    return document
