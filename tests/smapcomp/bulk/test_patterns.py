"""Patterns of paths match what the documentation says, and literal names stand for themselves."""

import os
from pathlib import Path

import pytest

from smapcomp.bulk import files
from smapcomp.bulk.patterns import Pattern
from smapcomp.errors import SmapcompError


@pytest.mark.parametrize(
    ("pattern", "root", "matching", "others"),
    [
        ("a.png", "", ["a.png"], ["b.png", "aXpng", "x/a.png"]),
        ("in/*.png", "in/", ["in/a.png", "in/.png", "in/a\\b.png", "in/a\nb.png"], ["in/x/a.png"]),
        ("in/**/*.png", "in/", ["in/a.png", "in/x/y/a.png", "in/x\n/a.png"], ["in.png", "a.png"]),
        ("in/**", "in/", ["in/a", "in/x/y"], ["in", "inx/a"]),
        ("in/", "in/", ["in/a"], ["in/x/a"]),
        ("in/a?.png", "in/", ["in/ab.png", "in/a\n.png"], ["in/a.png", "in/a/.png", "in/abc.png"]),
        ("in/[a-c1].png", "in/", ["in/b.png", "in/1.png"], ["in/d.png", "in/-.png"]),
        ("in/[!a-c].png", "in/", ["in/d.png", "in/^.png"], ["in/a.png", "in//.png"]),
        ("in/[]x].png", "in/", ["in/].png", "in/x.png"], ["in/[]x].png"]),
        ("in/[[]1].png", "in/", ["in/[1].png"], ["in/1.png"]),
        ("in/[*][?].png", "in/", ["in/*?.png"], ["in/ab.png"]),
        ("in/[\\^&~|].png", "in/", ["in/\\.png", "in/^.png", "in/&.png"], ["in/a.png"]),
        ("in/[a.png", "in/", ["in/[a.png"], ["in/a.png"]),
        ("in\\*.png", "", ["in\\a.png"], ["in/a.png"]),
        ("x*/y/*.png", "", ["xa/y/b.png"], ["x/y/z/b.png"]),
        ("gs://b/x/*.png", "gs://b/x/", ["gs://b/x/a.png"], ["gs://b/y/a.png"]),
    ],
)
def test_patterns(pattern, root, matching, others):
    made = Pattern(pattern)
    assert made.root == root
    assert [path for path in [*matching, *others] if made.matches(path)] == matching


def test_a_malformed_set_is_an_error_with_the_pattern():
    with pytest.raises(SmapcompError, match=r"in/\[c-a\]: bad character range c-a"):
        Pattern("in/[c-a]")


def test_names_of_existing_folders_with_brackets_are_literal():
    made = Pattern("x [1]/y/*.png", {"x [1]"}.__contains__)
    assert made.root == "x [1]/y/"
    assert made.matches("x [1]/y/a.png")
    assert not made.matches("x 1/y/a.png")
    absent = Pattern("x [1]/y/*.png", lambda path: False)
    assert absent.root == ""
    assert absent.matches("x 1/y/a.png")
    # A star in a folder's name remains a wildcard.
    star = Pattern("x*/*.png", lambda path: True)
    assert star.matches("xy/a.png")


def found(pattern: str) -> list[str]:
    return sorted(file.path for file in files.find_files(pattern)[1])


def test_an_existing_file_is_matched_by_its_own_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a [1].png", "a 1.png", "b*.png", "bc.png", "q?.png", "-x.png"):
        Path(name).write_bytes(b"1")
    assert found("a [1].png") == ["a [1].png"]
    assert found("./a [1].png") == ["./a [1].png"]
    assert found(str(tmp_path / "a [1].png")) == [str(tmp_path / "a [1].png")]
    assert found("b*.png") == ["b*.png", "bc.png"]
    assert found("q?.png") == ["q?.png"]
    assert found("-x.png") == ["-x.png"]
    assert found("absent.png") == []


def test_listing_goes_no_deeper_than_the_pattern(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "x/b.png", "x/y/c.png", "x/y/z/d.png"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(b"1")
    walked = []
    walk = os.walk

    def recorded(*arguments, **options):
        for folder, *rest in walk(*arguments, **options):
            walked.append(folder)
            yield folder, *rest

    monkeypatch.setattr(files.os, "walk", recorded)
    assert found("*.png") == ["a.png"]
    assert walked == ["./"]
    walked.clear()
    assert found("x/*/*.png") == ["x/y/c.png"]
    assert walked == ["x/", "x/y"]
    assert found("**/*.png") == ["a.png", "x/b.png", "x/y/c.png", "x/y/z/d.png"]
    assert found("x/**") == ["x/b.png", "x/y/c.png", "x/y/z/d.png"]


def test_a_folder_that_cannot_be_listed_is_an_error(tmp_path, monkeypatch):
    def refused(root, onerror):
        onerror(PermissionError(13, "Permission denied", f"{root}x"))
        return iter(())

    monkeypatch.setattr(files.os, "walk", refused)
    with pytest.raises(SmapcompError, match="x: Permission denied"):
        files.find_files(f"{tmp_path}/**")
    assert files.list_folder(str(tmp_path)) == []


def test_writing_replaces_no_folder_and_removing_removes_none(tmp_path):
    (tmp_path / "a.smc").mkdir()
    (tmp_path / "a.smc/mine").write_bytes(b"1")
    with pytest.raises(IsADirectoryError):
        files.write_text(f"{tmp_path}/a.smc", "text")
    files.remove(f"{tmp_path}/a.smc")
    assert os.listdir(tmp_path) == ["a.smc"]
    assert (tmp_path / "a.smc/mine").read_bytes() == b"1"


def test_a_named_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(SmapcompError, match=r"pipe\.png: is not a regular file"):
        files.fetch(f"{tmp_path}/pipe.png", f"{tmp_path}/copy")
