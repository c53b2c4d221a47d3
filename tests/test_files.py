"""Files: written whole, with their modes; devices, FIFOs and links are left standing."""

import os
import stat
import subprocess
import sys
import threading

import pytest

from sexton.errors import UsageError
from sexton.files import replace_file


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def umask():
    before = os.umask(0o077)
    yield
    os.umask(before)


def test_a_new_file_obeys_the_umask(tmp_path, umask):
    replace_file(tmp_path / "new", ["one\n", "two\n"])
    assert mode(tmp_path / "new") == 0o600
    assert (tmp_path / "new").read_text() == "one\ntwo\n"
    assert os.listdir(tmp_path) == ["new"]


def test_a_file_that_is_there_keeps_its_mode(tmp_path, umask):
    file = tmp_path / "report"
    file.write_text("before")
    file.chmod(0o640)
    replace_file(file, "after")
    assert (mode(file), file.read_text()) == (0o640, "after")


def test_a_symbolic_link_stays_and_its_target_is_written(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "plan").write_text("before")
    (tmp_path / "folder").symlink_to("real")
    (tmp_path / "link").symlink_to(tmp_path / "folder" / ".." / "real" / "plan")
    replace_file(tmp_path / "link", "after")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "plan").read_text() == "after"


def test_a_link_to_nothing_makes_its_target(tmp_path):
    (tmp_path / "link").symlink_to("target")
    replace_file(tmp_path / "link", "text")
    assert (tmp_path / "target").read_text() == "text"


def test_a_circle_of_links_is_told(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(UsageError, match="too many symbolic links"):
        replace_file(tmp_path / "a", "text")


def test_a_device_is_written_into(tmp_path):
    device = tmp_path / "null"
    if os.geteuid() == 0:
        os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    else:
        device.symlink_to("/dev/null")
    replace_file(device, "text")
    assert stat.S_ISCHR(device.stat().st_mode)
    assert os.listdir(tmp_path) == ["null"]


def test_a_fifo_is_written_into(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    read = []
    reader = threading.Thread(target=lambda: read.append(fifo.read_text()))
    reader.start()
    replace_file(fifo, "text")
    reader.join()
    assert read == ["text"]
    assert stat.S_ISFIFO(fifo.stat().st_mode)


@pytest.mark.parametrize("where", ["pipe", "file"])
def test_standard_output_is_written_in_turn(tmp_path, where):
    (tmp_path / "stdout").symlink_to("/proc/self/fd/1")
    program = (
        "from pathlib import Path; from sexton.files import replace_file\n"
        "print('before', flush=True)\n"
        f"replace_file(Path({str(tmp_path / 'stdout')!r}), 'report\\n')\n"
        "print('after')"
    )
    command = [sys.executable, "-c", program]
    if where == "pipe":
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    else:
        with open(tmp_path / "out", "w") as out:
            subprocess.run(command, check=True, stdout=out)
        said = (tmp_path / "out").read_text()
    assert said == "before\nreport\nafter\n"
    assert (tmp_path / "stdout").is_symlink()


def test_no_name_beside_the_file_can_be_foreseen(tmp_path):
    (tmp_path / "precious").write_text("precious")
    for name in (".plan.json.new", ".plan.json.tmp", "plan.json.new"):
        (tmp_path / name).symlink_to("precious")
    replace_file(tmp_path / "plan.json", "plan")
    assert (tmp_path / "precious").read_text() == "precious"
    assert not (tmp_path / "plan.json").is_symlink()


if os.geteuid() == 0:  # who alone may give files away

    def nobodys(path):
        os.chown(path, 65534, 65534, follow_symlinks=False)

    def test_a_link_that_anybody_could_plant_is_not_followed(tmp_path):
        (tmp_path / "precious").write_text("precious")
        shared = tmp_path / "shared"
        shared.mkdir()
        shared.chmod(0o1777)
        (shared / "plan").symlink_to(tmp_path / "precious")
        nobodys(shared / "plan")
        with pytest.raises(UsageError, match="somebody else's symbolic link"):
            replace_file(shared / "plan", "plan")
        assert (tmp_path / "precious").read_text() == "precious"

    def test_a_file_that_anybody_could_plant_is_not_kept(tmp_path):
        shared = tmp_path / "shared"
        shared.mkdir()
        shared.chmod(0o1777)
        (shared / "plan").write_text("")
        nobodys(shared / "plan")
        with pytest.raises(UsageError, match="belongs to somebody else"):
            replace_file(shared / "plan", "plan")
        assert os.listdir(shared) == ["plan"]

    @pytest.mark.parametrize("folder", ["ours", "theirs"])
    def test_a_file_keeps_its_owner(tmp_path, folder):
        file = tmp_path / "report"
        file.write_text("")
        nobodys(file)
        if folder == "theirs":
            nobodys(tmp_path)
        replace_file(file, "report")
        assert file.stat().st_uid == 65534


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("x" * 300, "text", "File name too long"),
        ("no/such/folder", "text", "No such file"),
        (".", "text", "Is a directory"),
        ("nul\0", "text", "null"),
        ("new", "lone \udc80", "UTF-8"),
        ("esc\x1b[2J/x", "text", r"esc\\x1b\[2J"),
        ("/dev/full", "text", "No space left"),
        ("/proc/self/fd/9999", "text", "Bad file descriptor"),
    ],
)
def test_what_cannot_be_written_is_said_and_leaves_nothing(tmp_path, name, text, says):
    with pytest.raises(UsageError, match=says):
        replace_file(tmp_path / name, text)
    assert os.listdir(tmp_path) == []


def test_an_interrupt_leaves_nothing(tmp_path):
    def lines():
        yield "half"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replace_file(tmp_path / "new", lines())
    assert os.listdir(tmp_path) == []


def test_a_name_of_255_bytes_is_fine(tmp_path):
    replace_file(tmp_path / ("x" * 255), "text")
    assert (tmp_path / ("x" * 255)).read_text() == "text"
