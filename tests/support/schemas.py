"""The JSON schemas in the package, and what they say of a document."""

import inspect
import json
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import jsonschema
import msgspec

from sexton.rehearse.document import Rehearsal

PACKAGE = Path(str(resources.files("sexton")))
FILES = {
    file.name.removesuffix(".schema.json"): file
    for file in sorted(PACKAGE.rglob("*.schema.json"))
}
SCHEMAS = {name: json.loads(file.read_text()) for name, file in FILES.items()}
# Documents that are Structs: their schema is derived.
DERIVED = {"rehearsal": (Rehearsal, "sexton rehearse --format json")}
for _name, (_kind, _title) in DERIVED.items():
    FILES[_name] = Path(str(inspect.getsourcefile(_kind)))
    SCHEMAS[_name] = msgspec.json.schema(Annotated[_kind, msgspec.Meta(title=_title)])


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
