"""Options of the user's own in the processes of an executor, where their file may be gone, changed or elsewhere."""

from __future__ import annotations

import hashlib
import pickle
import re
import sys
from pathlib import Path

import pytest
from support import modules
from support.jobs import by_number, job

from phalanx import DATASETS, MODELS, TrainerSpec, TrialSpec, load_dataset, train_trial
from phalanx.core.extensions import SIBLINGS, VARIABLE, ExtensionError, forget, import_file, load_asked, snake_case
from phalanx.jobs.executors.base import Shard
from phalanx.jobs.executors.slurm_job import SlurmJob
from phalanx.jobs.executors.worker import train_shard, unpacked
from phalanx.jobs.scheduler import train_together
from phalanx.runs.model_file import save_model
from phalanx.tracking.model_files import read_info, write_own_code

FEW = DATASETS["digits"](n_train=32, n_val=20, n_test=20)
NET = """
import phalanx
from torch import nn
{imports}

@phalanx.model
class Sent(nn.Module):
    def __init__(self, n_features, n_classes, *, units: int = 4):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n_features, units), nn.{activation}(), nn.Linear(units, n_classes))

    def forward(self, x):
        return self.layers(x)
"""


def unload(*names):
    """Makes this process one that has not loaded the options."""
    for name in ("sent", *names):
        forget("model", name)
        MODELS.pop(name, None)
    for name in [name for name in sys.modules if name.startswith("phalanx_extensions_")]:
        del sys.modules[name]
    load_asked.cache_clear()


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    (tmp_path / "extensions").mkdir()
    yield tmp_path / "extensions" / "nets.py"
    unload()


def sent(file, imports="", activation="Tanh"):
    """A pickled shard with the option, and what its job gives here; the process then forgets the option."""
    file.write_text(NET.format(imports=imports, activation=activation))
    import_file(file)
    spec = TrialSpec(data=FEW, model=MODELS["sent"](units=5), trainer=TrainerSpec(epochs=1))
    one = job(file.parent.parent, 0, trial=spec)
    here = by_number(train_together([one]))[0]
    content = pickle.dumps(Shard([one], "a note"))
    unload()
    return content, here.results[0]


def same(content, result):
    shard = pickle.loads(content)
    assert shard.note == "a note"
    (found,) = unpacked(train_shard(shard))
    assert found.error is None
    return all(found.results[0].weights[name].equal(weight) for name, weight in result.weights.items())


def place_of_code():
    return sys.modules[MODELS["sent"]._module.__module__].__file__


def test_the_file_is_imported_where_it_is_the_same(file):
    content, result = sent(file)
    assert same(content, result)
    assert place_of_code() == str(file)


@pytest.mark.parametrize("change", ["gone", "edited"])
def test_the_text_that_was_sent_is_used_where_the_file_is_not_the_same(file, change):
    content, result = sent(file)
    file.unlink() if change == "gone" else file.write_text(NET.format(imports="", activation="ReLU"))
    assert same(content, result)
    assert pickle.loads(content).jobs[0].trial.model.source == MODELS["sent"].source
    assert place_of_code() != str(file)


def test_what_the_environment_names_comes_first(file, monkeypatch):
    content, result = sent(file)
    (other := file.parent.parent / "elsewhere").mkdir()
    file.rename(other / "nets.py")
    monkeypatch.setenv(VARIABLE, str(other))
    assert same(content, result)
    assert place_of_code() == str(other / "nets.py")


def test_an_extension_that_cannot_be_imported_is_an_error_of_its_jobs(file):
    (file.parent / "help_that_stays.py").write_text("")
    sys.path.insert(0, str(file.parent))
    content, _ = sent(file, "import help_that_stays")
    sys.path.remove(str(file.parent))
    del sys.modules["help_that_stays"]
    task = pickle.dumps(SlurmJob(pickle.loads(content), n_threads=1, minutes=1, delay_s=30))
    for path in file.parent.glob("*.py"):
        path.unlink()
    arrived = pickle.loads(task).shard  # and the process goes on
    with pytest.raises(ExtensionError) as caught:
        train_shard(arrived)
    text = str(caught.value)
    assert "needs the extension model=sent (nets.py, digest" in text
    assert f"has no such file {file}; its text alone cannot be imported: line 4: ModuleNotFoundError" in text
    assert text.endswith(
        "put extensions/ at the same place on every machine, or have PHALANX_EXTENSIONS name its place there"
    )


BLOCKS = """
from torch import nn
def activation():
    from .parts.deep import factor
    return nn.Tanh() if factor == 2 else nn.ReLU()
"""


def test_files_that_it_imports_by_a_dot_travel_with_it(file):
    (file.parent / "_blocks.py").write_text(BLOCKS)
    (file.parent / "parts").mkdir()
    (file.parent / "parts" / "__init__.py").write_text("")
    (file.parent / "parts" / "deep.py").write_text("factor = 2")
    text = NET.replace("nn.{activation}()", "_blocks.activation()")
    file.write_text(text.format(imports="from . import _blocks"))
    import_file(file)
    spec = TrialSpec(data=FEW, model=MODELS["sent"](units=5), trainer=TrainerSpec(epochs=1))
    one = job(file.parent.parent, 0, trial=spec)
    here, content, digest = by_number(train_together([one]))[0], pickle.dumps(Shard([one], "a note")), spec.model.source
    unload()
    for path in file.parent.rglob("*.py"):
        path.unlink()
    assert same(content, here.results[0])
    assert MODELS["sent"].source == digest


def test_the_code_in_a_model_file_has_them_and_stays_in_its_folder(file, tmp_path):
    (file.parent / "_help.py").write_text("")
    file.write_text(NET.format(imports="from . import _help", activation="Tanh"))
    import_file(file)
    source = MODELS["sent"].source
    spec, data = TrialSpec(data=FEW, model=MODELS["sent"](), trainer=TrainerSpec(epochs=1)), load_dataset(FEW)
    save_model(tmp_path / "model.safetensors", spec, data, train_trial(spec, data))
    info = read_info(tmp_path / "model.safetensors")
    unload()
    (tmp_path / "copy").mkdir()
    (own,) = write_own_code(info, tmp_path / "copy")
    import_file(own / "nets.py")
    assert MODELS["sent"].source == source
    (tmp_path / "bad").mkdir()
    with pytest.raises(ExtensionError, match=r"nets\.py has a sibling outside its folder: \.\./\.\./x\.py"):
        write_own_code({**info, SIBLINGS: {"../../x.py": ""}}, tmp_path / "bad")
    assert not (tmp_path / "x.py").exists()


def test_a_changed_sibling_is_other_code(file):
    digests = []
    for content in ("", "x = 1", "x = 1\r\n", "x = 1\n"):
        (file.parent / "_help.py").write_bytes(content.encode())
        sent(file, "from . import _help")
        import_file(file)
        digests.append(MODELS["sent"].source)
        unload()
    assert digests[0] != digests[1]
    assert digests[2] == digests[3]
    assert file.write_text(NET.format(imports="", activation="Tanh"))
    import_file(file)
    plain = hashlib.sha256(file.read_bytes()).hexdigest()[:12]
    assert MODELS["sent"].source == f"nets.py, digest {plain}"  # as before there were siblings


def test_other_code_that_is_loaded_already_is_refused(file):
    content, _ = sent(file)
    file.write_text(NET.format(imports="", activation="ReLU"))
    import_file(file)
    with pytest.raises(ExtensionError, match=r"and this process has nets\.py, digest \w{12}; put extensions/"):
        _ = pickle.loads(content).jobs


ALL = """
import phalanx
for net in (*MODULES, *WRONG):
    phalanx.model(net)
"""


def test_every_kind_of_network_gives_the_same_in_a_process_that_gets_its_text(file):
    """Also an error: of a network that is wrong, with what is wrong with it."""
    file.write_text(Path(modules.__file__).read_text() + ALL)
    import_file(file)
    right, wrong = ([snake_case(module.__name__) for module in kinds] for kinds in (modules.MODULES, modules.WRONG))
    wrong.remove("one_by_one")  # which is right where no sample is left over
    trainer, place = TrainerSpec(epochs=1), file.parent.parent
    specs = [TrialSpec(data=FEW, model=MODELS[name](), trainer=trainer) for name in (*right, *wrong)]
    jobs = [job(place, number, trial=spec) for number, spec in enumerate(specs)]
    here = [by_number(train_together([one]))[number] for number, one in enumerate(jobs)]
    content = [pickle.dumps(Shard([one])) for one in jobs]
    file.unlink()
    unload(*right, *wrong)
    there = [unpacked(train_shard(pickle.loads(one)))[0] for one in content]
    unload(*right, *wrong)
    for name, one, other in zip((*right, *wrong), here, there, strict=True):
        if name in right:
            assert one.results[0].weights.keys() == other.results[0].weights.keys()
            for key, weight in one.results[0].weights.items():
                assert weight.equal(other.results[0].weights[key]), (name, key)
            assert one.results[0].metrics == other.results[0].metrics
        else:
            assert str(one.error) == str(other.error)
            assert re.search(rf"model={name} cannot be", str(other.error))
