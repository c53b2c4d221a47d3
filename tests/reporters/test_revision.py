"""What `sexton revision` says."""

from sexton.reporters import revision as reporter


def test_the_text_or_the_file_and_its_changes():
    document = {"changes": [], "written": False, "text": None, "file": None}
    assert reporter.text(document).startswith("nothing differs")
    document["changes"] = [{"change": "add x\x1b to t"}]
    document["text"] = "import sqlalchemy\n\n"
    assert reporter.text(document) == "import sqlalchemy"
    document |= {"written": True, "file": "db/versions/1_x.py"}
    assert reporter.text(document).splitlines() == [
        "wrote db/versions/1_x.py",
        "  add x\\x1b to t",
    ]
