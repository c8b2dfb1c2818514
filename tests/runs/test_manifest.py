"""The manifest of a sweep: what is read of it, and that a damaged one is no default."""

from __future__ import annotations

import json

import pytest

from phalanx.core.errors import UnreadableFile
from phalanx.runs.layout import SweepPaths
from phalanx.runs.manifest import Manifest, Sweep, update_manifest
from phalanx.runs.sweep_folder import sweep_summary


def test_what_is_written_is_read_and_the_rest_stays(tmp_path):
    paths = SweepPaths(tmp_path)
    assert Manifest.read(paths) == Manifest()
    update_manifest(paths, search=True, repeats=3, summary=None, other=[1])
    update_manifest(paths, study="a", summary={"best": 4})
    assert Manifest.read(paths) == Manifest(study="a", search=True, repeats=3)
    assert sweep_summary(tmp_path) == {"best": 4}
    assert json.loads(paths.manifest.read_text())["other"] == [1]


@pytest.mark.parametrize("text", [
    "", "{}", "[]", "null", '{"search": 1}', '{"search": null}', '{"repeats": 3}', '{"search": true',
    '{"search": true, "repeats": "3"}', '{"search": true, "final_seeds": null}', '{"search": true, "summary": []}',
    '{"search": true, "study": 3}', '{"search": true, "trial_timeout_s": "1"}', '{"search": true, "search": false}',
])  # fmt: skip
def test_a_damaged_manifest_is_refused_since_a_search_without_it_would_read_the_test_split(tmp_path, text):
    paths = SweepPaths(tmp_path)
    paths.manifest.write_text(text)
    for read in (
        lambda: Manifest.read(paths),
        lambda: Sweep.of(paths.trial(3).root, 3),
        lambda: sweep_summary(tmp_path),
        lambda: update_manifest(paths, summary=None),
    ):
        with pytest.raises(UnreadableFile, match=r"sweep\.json is damaged"):
            read()
    assert paths.manifest.read_text() == text
