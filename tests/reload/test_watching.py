"""When a change of the files is loaded, and which files count."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.document import Files
from bridge.reload.watching import Settled

if TYPE_CHECKING:
    from pathlib import Path

STATES = st.sampled_from("abc").map(lambda content: {"bridge.yaml": content})


def test_a_change_is_loaded_when_it_has_settled() -> None:
    """Seen twice in a row: a file that is being written is not read in between, and nothing is loaded twice."""
    settled = Settled({"f": "1"})
    looks = ["1", "half", "2", "2", "2", "1", "1"]
    assert [settled.saw({"f": look}) for look in looks] == [False, False, False, True, False, False, True]


def test_what_was_asked_for_is_not_loaded_again() -> None:
    """After a signal the watch begins anew with what was loaded then."""
    settled = Settled({"f": "1"})
    settled.saw({"f": "2"})
    settled.load({"f": "2"})
    assert not settled.saw({"f": "2"})
    assert [settled.saw({"f": "1"}), settled.saw({"f": "1"})] == [False, True]


@given(STATES, st.lists(STATES, max_size=20))
def test_what_stays_is_loaded_in_the_end(first: dict[str, str], looks: list[dict[str, str]]) -> None:
    """Whatever happened before, after two looks at the same state that state is loaded, and only settled ones are."""
    settled = Settled(first)
    loaded, before = first, first
    for look in looks:
        if settled.saw(look):
            assert look == before != loaded
            loaded = look
        before = look
    last = looks[-1] if looks else first
    if settled.saw(last):
        loaded = last
    assert loaded == last


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rules").mkdir()
    (tmp_path / "bridge.yaml").write_text("include: rules/*.yaml\n")
    (tmp_path / "rules" / "a.yaml").write_text("rules: []\n")
    return tmp_path


def test_included_files_count(folder: Path) -> None:
    """A file that a glob matches is looked at as soon as it is there, and missed when it is gone."""
    files = Files(folder / "bridge.yaml")
    first = files.look()
    assert set(first) == {str(folder / "bridge.yaml"), str(folder / "rules" / "a.yaml")}
    (folder / "rules" / "b.yaml").write_text("rules: []\n")
    second = files.look()
    assert second != first
    (folder / "rules" / "b.yaml").unlink()
    assert files.look() == first


def test_only_content_counts(folder: Path) -> None:
    """A file put in the place of another one is a change if it says something else, and none if it does not."""
    files = Files(folder / "bridge.yaml")
    first = files.look()
    for content, same in (("rules: []\n", True), ("rules: [1]\n", False)):
        new = folder / "new"
        new.write_text(content)
        new.rename(folder / "rules" / "a.yaml")
        assert (files.look() == first) is same


def test_a_link_that_points_elsewhere_is_a_change(tmp_path: Path) -> None:
    """Kubernetes mounts a ConfigMap as links through ``..data``, and swaps that one."""
    for version in ("1", "2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "bridge.yaml").write_text(f"vars: {{v: {version}}}\n")
    (tmp_path / "..data").symlink_to("1")
    (tmp_path / "bridge.yaml").symlink_to("..data/bridge.yaml")
    files = Files(tmp_path / "bridge.yaml")
    first = files.look()
    (tmp_path / "..data_tmp").symlink_to("2")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")
    assert files.look() != first


def test_a_broken_file_is_still_watched_with_its_includes(folder: Path) -> None:
    """What was included before a mistake is looked at until it is mended; a file that is gone is a state, too."""
    files = Files(folder / "bridge.yaml")
    files.look()
    (folder / "bridge.yaml").write_text("include: [\n")
    broken = files.look()
    assert str(folder / "rules" / "a.yaml") in broken
    (folder / "bridge.yaml").unlink()
    assert files.look()[str(folder / "bridge.yaml")] == ""


def test_further_files_count_while_they_are_named(folder: Path) -> None:
    """Such as those that the last attempt could not read."""
    files = Files(folder / "bridge.yaml")
    more = str(folder / "shadow.yaml")
    assert files.look([more])[more] == ""
    (folder / "shadow.yaml").write_text("rules: []\n")
    assert files.look([more])[more] != ""
    assert more not in files.look()


@pytest.mark.parametrize("name", ['"\\0"', '"**.yaml"', "x" * 5_000, "/", "[", "../" * 2_000])
def test_whatever_a_file_names_it_can_be_looked_at(folder: Path, name: str) -> None:
    """A name that no file can have ends no running bridge."""
    (folder / "bridge.yaml").write_text(f"include: {name}\nshadow: {name}\n")
    assert str(folder / "bridge.yaml") in Files(folder / "bridge.yaml", ("shadow",)).look()
