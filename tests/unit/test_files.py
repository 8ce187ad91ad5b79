"""A folder is resumed for the same identity only."""

import pytest

from chemscale.files import resumable_folder


@pytest.mark.parametrize(
    ("marker", "kept"),
    [('{"seed": 1}', True), ('{"seed": 2}', False), ("", False), (None, False)],
    ids=["same", "other", "empty", "missing"],
)
def test_a_folder_is_resumed_for_the_same_identity_only(tmp_path, marker, kept):
    folder = tmp_path / "shards"
    folder.mkdir()
    (folder / "000000.npz").touch()
    if marker is not None:
        (folder / "identity.json").write_text(marker)
    assert resumable_folder(folder, {"seed": 1}) == folder
    assert (folder / "000000.npz").exists() == kept
    assert resumable_folder(folder, {"seed": 1}).joinpath("identity.json").exists()
