"""Where outputs go: beside inputs, into a folder, to one file, and never onto each other."""

from pathlib import Path

import pytest

from ugicm_client.errors import OutputExists, SourceError
from ugicm_client.outputs import STANDARD_STREAM, Job, expand, plan, refuse_existing_outputs

A, B = Path("in/a.png"), Path("in/b.png")


def test_a_folder_stands_for_its_files_by_name(tmp_path):
    for name in ("b.png", "a.JPG", "notes.txt", "c.ugi"):
        (tmp_path / name).touch()
    assert expand([Path("x.png"), tmp_path], {".png", ".jpg"}) == [
        Path("x.png"),
        tmp_path / "a.JPG",
        tmp_path / "b.png",
    ]


def test_a_folder_without_such_files_is_refused(tmp_path):
    with pytest.raises(SourceError, match=r"no files ending in \.png"):
        expand([tmp_path], {".png"})


def test_outputs_go_beside_their_inputs():
    assert plan([A, B], None, [".ugi"]) == [
        Job(A, (Path("in/a.ugi"),)),
        Job(B, (Path("in/b.ugi"),)),
    ]


def test_one_output_may_be_named():
    assert plan([A], "x.ugi", [".ugi"]) == [Job(A, (Path("x.ugi"),))]


@pytest.mark.parametrize("sources", [[A], [A, B]])
def test_outputs_go_into_a_folder(tmp_path, sources):
    jobs = plan(sources, str(tmp_path), [".ugi"])
    assert [job.targets for job in jobs] == [(tmp_path / f"{s.stem}.ugi",) for s in sources]


def test_a_name_with_a_slash_at_its_end_is_a_folder_to_be():
    assert plan([A], "new/", [".ugi"]) == [Job(A, (Path("new/a.ugi"),))]


def test_several_endings_make_several_outputs():
    jobs = plan([A], "out", [".human.png", ".machine.png"])
    assert jobs == [Job(A, (Path("out/a.human.png"), Path("out/a.machine.png")))]


def test_standard_input_goes_to_standard_output_unless_told_otherwise():
    assert plan([STANDARD_STREAM], None, [".ugi"]) == [Job(STANDARD_STREAM, (STANDARD_STREAM,))]
    assert plan([STANDARD_STREAM], "x.ugi", [".ugi"]) == [Job(STANDARD_STREAM, (Path("x.ugi"),))]


@pytest.mark.parametrize(("sources", "endings"), [([A, B], [".u"]), ([A], [".1", ".2"])])
def test_standard_output_takes_one_result(sources, endings):
    with pytest.raises(ValueError, match="one result"):
        plan(sources, "-", endings)


def test_two_inputs_may_not_become_one_output():
    with pytest.raises(
        ValueError, match=r"in/a\.png and other/a\.jpg would both become out/a\.ugi"
    ):
        plan([A, Path("other/a.jpg")], "out", [".ugi"])


def test_one_output_by_two_names_is_still_one_output(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"would both become .*/in/a\.ugi"):
        plan([A, tmp_path / "in" / "a.jpg"], None, [".ugi"])


def test_an_input_is_never_an_output():
    with pytest.raises(ValueError, match="is an input"):
        plan([A], str(A), [".png"])


def test_existing_outputs_are_named_before_any_work(tmp_path):
    (tmp_path / "a.ugi").touch()
    (tmp_path / "b.ugi").touch()
    jobs = plan([A, B, Path("c.png")], str(tmp_path), [".ugi"])
    with pytest.raises(OutputExists, match=r"a\.ugi and 1 more exist"):
        refuse_existing_outputs(jobs)
