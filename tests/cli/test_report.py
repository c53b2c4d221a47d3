"""`sexton report` makes a page of documents, and of nothing else."""

import json

import pytest

from tests.support.documents import audited, check


def test_runs_become_a_page(sexton, tmp_path):
    for day in (1, 2):
        document = json.dumps(audited(day, check("default_missing", day)))
        (tmp_path / f"{day}.json").write_text(document)
    out = tmp_path / "page.html"
    runs = [str(tmp_path / f"{day}.json") for day in (1, 2)]
    assert sexton("report", str(out), *runs, database=False).code == 0
    assert "default_missing" in out.read_text()


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"run": {}}', '{"run": 1, "summary": 1}']
)
def test_what_is_no_document_is_named(sexton, tmp_path, text):
    file = tmp_path / "run.json"
    file.write_text(text)
    result = sexton("report", str(tmp_path / "page.html"), str(file), database=False)
    assert result.code == 2
    assert f"{file} is not a document of audit or fleet" in result.stderr
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize("day", [1, 2])
def test_a_document_that_lacks_what_the_page_shows_is_named(sexton, tmp_path, day):
    files = []
    for number in (1, 2):
        document = audited(number, check("default_missing", number))
        if number == day:
            document["summary"] = {}
        files.append(tmp_path / f"{number}.json")
        files[-1].write_text(json.dumps(document))
    out = tmp_path / "page.html"
    result = sexton("report", str(out), *map(str, files), database=False)
    assert (result.code, out.exists()) == (2, False)
    assert f"{files[day - 1]} is not a document of audit or fleet" in result.stderr


def test_a_file_that_is_not_there_is_said(sexton, tmp_path):
    result = sexton("report", str(tmp_path / "p.html"), str(tmp_path / "x"), database=False)
    assert (result.code, "No such file" in result.stderr) == (2, True)
