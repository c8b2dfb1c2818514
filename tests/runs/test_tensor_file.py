"""Files of tensors: their check sum, and what of a file is refused."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save

from phalanx.core.errors import UnreadableFile
from phalanx.runs.tensor_file import CHECK, read_arrays, read_tensors, write_tensors

TENSORS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(7), "c": torch.zeros(0), "d": torch.ones(2, 3).T}
ABOUT = {"format": 1, "classes": ["x", "ü"], "nothing": None}


@pytest.fixture
def file(tmp_path):
    write_tensors(tmp_path / "model.safetensors", TENSORS, ABOUT)
    return tmp_path / "model.safetensors"


def same(found):
    about, tensors = found
    assert about == ABOUT
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert torch.as_tensor(tensors[name]).equal(tensor)
        assert torch.as_tensor(tensors[name]).dtype == tensor.dtype
    return True


def test_what_was_written_is_read(file):
    assert same(read_tensors(file))
    assert same(read_arrays(file))
    assert isinstance(read_arrays(file)[1]["a"], np.ndarray)


def test_the_bytes_of_a_file_are_those_of_its_content(file, tmp_path):
    before = file.read_bytes()
    for _ in range(20):
        write_tensors(file, TENSORS, ABOUT)
        assert file.read_bytes() == before


@given(st.data())
def test_no_changed_byte_goes_unseen(tmp_path_factory, data):
    """Except where a change means the same, such as white space in the header."""
    file = tmp_path_factory.getbasetemp() / "changed.safetensors"
    write_tensors(file, TENSORS, ABOUT)
    content = bytearray(file.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    file.write_bytes(content)
    try:
        found = read_tensors(file)
    except UnreadableFile:
        return
    assert CHECK.encode() not in content or same(found)


def test_tensors_that_changed_their_names_are_seen(file):
    content = file.read_bytes()
    file.write_bytes(content.replace(b'"a":{', b'"z":{'))
    with pytest.raises(UnreadableFile, match="check sum"):
        read_tensors(file)


def test_a_file_of_an_earlier_version_has_no_check_sum_and_is_read(file):
    file.write_bytes(save({k: t.contiguous() for k, t in TENSORS.items()}, metadata={"phalanx": json.dumps(ABOUT)}))
    assert same(read_tensors(file))


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "[" * 60_000, '{"a": 1, "a": 2}'])
def test_what_describes_the_tensors_is_read_by_the_guarded_reader(file, text):
    file.write_bytes(save({"a": torch.ones(1)}, metadata={"phalanx": text}))
    with pytest.raises(UnreadableFile):
        read_tensors(file)


def test_a_pipe_and_a_link_out_of_the_folder_are_refused(file, tmp_path):
    (tmp_path / "run").mkdir()
    os.mkfifo(tmp_path / "run" / "pipe.safetensors")
    (tmp_path / "run" / "link.safetensors").symlink_to(file)
    with pytest.raises(UnreadableFile, match="is not a regular file"):
        read_tensors(tmp_path / "run" / "pipe.safetensors")
    with pytest.raises(UnreadableFile, match="is a link out of the folder"):
        read_tensors(tmp_path / "run" / "link.safetensors")
