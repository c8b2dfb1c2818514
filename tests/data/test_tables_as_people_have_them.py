"""Tables as spreadsheets, R and repositories write them: each trains, or is refused with advice that works when typed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from phalanx.core.errors import DataError, RequestError
from phalanx.data import Dataset, load_dataset
from phalanx.data.csv_table import Csv
from phalanx.data.table_encoder import TableFeatures
from phalanx.data.table_reader import TableReader

PARSER = OverridesParser.create()


def words(command: str) -> list[str]:
    """The arguments that a shell makes of a command line."""
    done = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {command}"], capture_output=True, check=True, env={"HOME": "/nowhere"}
    )
    return done.stdout.decode().split("\0")[:-1]


def loaded(arguments: list[str]) -> Dataset:
    """The data of `python train.py` with these arguments, as Hydra parses them."""
    parsed = [PARSER.parse_override(argument) for argument in arguments]
    values = OmegaConf.create({p.key_or_group.removeprefix("data."): p.value() for p in parsed})
    given: Any = OmegaConf.to_container(values, resolve=True)
    assert given.pop("data") == "csv"
    return load_dataset(Csv(**given))


class Typed:
    """Types what messages advise, through a shell, until the table is read."""

    def __init__(self, path: Path, target: str = "kind", *options: str) -> None:
        self.arguments = ["data=csv", f"data.path={path}", f"data.target={target}", *options]
        self.messages: list[str] = []

    def once(self) -> Dataset | None:
        """The data; None after a refusal, whose advice is typed from now on."""
        try:
            return loaded(self.arguments)
        except RequestError as error:
            message = str(error)
        self.messages.append(message)
        assert "type " in message
        new = words(message.rpartition("type ")[2])
        keys = {word.split("=")[0] for word in new}
        self.arguments = [a for a in self.arguments if a.split("=")[0] not in keys] + new
        return None

    def until_read(self, most: int = 3) -> Dataset:
        """The data, after at most so many refusals."""
        for _ in range(most):
            if (data := self.once()) is not None:
                return data
        data = self.once()
        assert data is not None, self.messages
        return data


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write(text: str | bytes, name: str = "table.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


Write = Callable[..., Path]


def iris(separator: str = ",", decimal: str = ".", n: int = 90) -> str:
    """Flowers in four measurements."""
    draw = np.random.default_rng(0)
    lines = ["SL,SW,PL,PW,kind".replace(",", separator)]
    for i in range(n):
        kind = i % 3
        numbers = draw.normal([5 + kind, 3, 1.5 + 2 * kind, 0.3 + kind], 0.3)
        cells = [f"{x:.1f}".replace(".", decimal) for x in numbers]
        lines.append(separator.join([*cells, ("setosa", "versicolor", "virginica")[kind]]))
    return "\n".join(lines) + "\n"


# --- types


def test_a_line_says_what_the_columns_hold_and_what_was_left_out(write: Write) -> None:
    rows = "\n".join(f"{i},{i % 7},{'mf'[i % 2]},1,{'ab'[i % 2]}" for i in range(40))
    data = loaded(
        [
            "data=csv",
            f"data.path={write('id,age,sex,flag,kind' + chr(10) + rows)}",
            "data.target=kind",
            "data.drop=[id]",
        ]
    )
    assert (
        data.inputs
        == "2 numeric, 1 text (sex: 2 categories), left out: id; constant in training and so without effect: flag"
    )


def test_iris_of_a_german_spreadsheet(write: Write) -> None:
    typed = Typed(write(iris(";", ",")))
    data = typed.until_read(1)
    assert "'SL' (0 numbers in 90 cells; the first other is '5,0' in line 2)" in typed.messages[0]
    assert """if ',' is the decimal sign, type "data.decimal=','\"""" in typed.messages[0]
    assert data.inputs == "4 numeric"
    plain = loaded(["data=csv", f"data.path={write(iris(), 'plain.csv')}", "data.target=kind"])
    assert np.array_equal(data.train.x_ND, plain.train.x_ND)


def auto(odd: list[str], n: int = 200) -> str:
    """A column of numbers with a few other texts, as ISLP's Auto has it."""
    lines = ["mpg,horsepower,kind"]
    lines += [
        f"{i % 13},{odd[i // 40] if i % 40 == 30 and i // 40 < len(odd) else 50 + i},{'ab'[i % 2]}" for i in range(n)
    ]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    "odd", ["?", "-", "#DIV/0!", "$5", "3%", "5 cm", "2021-03-04", "null'", "a b", "${x}", "`ls`", "5,0,0"]
)
def test_a_number_column_with_one_other_text(odd: str, write: Write) -> None:
    cell = f'"{odd}"' if "," in odd else odd
    typed = Typed(write(auto([cell])))
    data = typed.until_read(1)
    (message,) = typed.messages
    assert f"'horsepower' (199 numbers in 200 cells; the first other is {odd!r} in line 32)" in message
    assert data.inputs.startswith("2 numeric; 1 of 200 rows left out, with missing horsepower 1")


def test_five_question_marks(write: Write) -> None:
    typed = Typed(write(auto(["?"] * 5)))
    data = typed.until_read(1)
    assert (
        """if '?' mean missing values, type "data.missing_markers=['?']" data.missing=drop_rows""" in typed.messages[0]
    )
    assert data.inputs == "2 numeric; 5 of 200 rows left out, with missing horsepower 5 ('?')"
    again = Typed(write(auto(["?"] * 5)), "kind", "data.numeric=[horsepower]")
    assert again.until_read(1).inputs == data.inputs


def test_thousands(write: Write) -> None:
    text = "price;kind\n" + "".join(f"{'1,' if i % 2 else ''}{100 + i};{'ab'[i // 2 % 2]}\n" for i in range(40))
    typed = Typed(write(text), "kind", "data.normalize=none")
    assert max(typed.until_read(1).train.x_ND[:, 0]) > 1000
    assert "',' stands between thousands" in typed.messages[0]


def test_several_columns_with_the_same_fault_have_one_advice(write: Write) -> None:
    rows = "".join(f"{i},{i if i % 9 else '?'},{2 * i if i % 8 else '-'},{'ab'[i % 2]}\n" for i in range(60))
    typed = Typed(write("x,y,the z,kind\n" + rows))
    data = typed.until_read(1)
    assert "2 columns of numbers and other text" in typed.messages[0]
    assert data.inputs.startswith("3 numeric")


def test_what_was_typed_before_is_kept(write: Write) -> None:
    rows = "".join(
        f"{i},n{i},{i},{'?' if i % 9 == 0 else '!' if i % 11 == 0 else i},{'ab'[i % 2]}\n" for i in range(80)
    )
    typed = Typed(write("id,name,x,y,kind\n" + rows), "kind", "data.drop=[id]", "data.missing_markers=['?']")
    data = typed.until_read(1)
    assert "left out: id, name" in data.inputs
    assert data.inputs.startswith("2 numeric")


def test_names_and_tickets(write: Write) -> None:
    """As in the list of the Titanic's passengers."""
    draw = np.random.default_rng(0)
    rows = [
        f'{i},"Name {i}, Mr.",{"male" if i % 3 else "female"},{"" if i % 5 == 0 else i % 60},'
        f"{f'PC {i}' if i % 4 == 0 else draw.integers(10**6)},{f'C{i}' if i % 4 == 0 else ''},{i % 2}"
        for i in range(400)
    ]
    typed = Typed(write("id,name,sex,age,ticket,cabin,survived\n" + "\n".join(rows)), "survived")
    data = typed.until_read(1)
    assert (
        data.inputs == "2 numeric, 1 text (sex: 2 categories), left out: ticket, name, cabin; imputed: age 80 (empty)"
    )


@pytest.mark.parametrize("form", ["${}.50", "{}%", "{} cm", "2021-03-{:02d}", "{}/3/2021", "{},5"])
def test_a_text_column_whose_cells_all_look_like_numbers_has_a_note(form: str, write: Write) -> None:
    lines = [f"{form.format(i % 28 + 1)};{i}.5;{'ab'[i % 2]}" for i in range(60)]
    path = write("\n".join(["odd;x;kind", *lines]))
    data = loaded(["data=csv", f"data.path={path}", "data.target=kind"])
    (note,) = [note for note in data.notes if "look like" in note]
    assert note.startswith("column 'odd': 60 of 60 cells look like numbers or dates, such as ")
    assert note.endswith("if that is right, 'data.categorical=[odd]' says so")
    said = loaded(["data=csv", f"data.path={path}", "data.target=kind", "data.categorical=[odd]"])
    assert not any("look like" in note for note in said.notes)


def test_a_few_codes_with_numbers_in_them_are_categories(write: Write) -> None:
    text = "cabin,kind\n" + "".join(f"{['1st', '2nd', '3rd'][i % 3]},{'ab'[i % 2]}\n" for i in range(60))
    notes = loaded(["data=csv", f"data.path={write(text)}", "data.target=kind"]).notes
    assert not any("look like" in note for note in notes)


def test_a_misspelt_target_is_typed_as_advised(write: Write) -> None:
    assert Typed(write(iris()), "knid").until_read(1).inputs == "4 numeric"


def test_columns_between_spaces_with_one_tab(write: Write) -> None:
    lines = [f'{i}.0   8   30{i % 7}.0\t"car {i % 5}"  {"ab"[i % 2]}' for i in range(60)]
    typed = Typed(write("\n".join(["mpg  cylinders   power\tname   kind", *lines])))
    assert typed.until_read(1).features.names == ("mpg", "cylinders", "power", "name")
    assert "the file comes out as 2 columns, separated by '\\t'" in typed.messages[0]


def test_codes_as_categories(write: Write) -> None:
    rows = "".join(f"{i % 4 + 1},{'ab'[i % 4 == 2]}\n" for i in range(60))
    data = loaded(
        ["data=csv", f"data.path={write('code,kind' + chr(10) + rows)}", "data.target=kind", "data.categorical=[code]"]
    )
    assert data.features.column_names == ("code=1", "code=2", "code=3", "code=4")


def test_other_encodings(write: Write) -> None:
    text = "größe,kind\n" + "".join(f"{['weiß', 'grün'][i % 2]},{'ab'[i // 2 % 2]}\n" for i in range(40))
    for encoding in ("cp1252", "utf-16", "latin1"):
        data = Typed(write(text.encode(encoding))).until_read(1)
        assert data.features.column_names == ("größe=grün", "größe=weiß")


# --- order of steps


def test_a_line_of_units_and_a_line_of_totals(write: Write) -> None:
    lines = iris().splitlines()
    for odd in (1, len(lines)):
        rows = [*lines[:odd], "cm,cm,cm,cm," if odd == 1 else "Total,,,,", *lines[odd:]]
        typed = Typed(write("\n".join(rows)))
        data = typed.until_read(1)
        assert data.inputs.startswith("4 numeric; 1 of 91 rows left out, with missing")
        assert "kind 1 (empty)" in data.inputs
        imputed = Typed(write("\n".join(rows)), "kind", "data.missing=impute").until_read(0)
        assert imputed.inputs == "4 numeric; 1 of 91 rows left out, with missing kind 1 (empty)"


@pytest.mark.parametrize("name", ["None", "NA", "null"])
def test_a_class_that_is_called_like_a_missing_value(name: str, write: Write) -> None:
    path = write("x,kind\n" + "".join(f"{i},{['mild', name, 'severe'][i % 3]}\n" for i in range(60)))
    for options in ([], ["data.missing=drop_rows"], ["data.missing=impute"]):
        typed = Typed(path, "kind", *options)
        assert typed.once() is None
        (message,) = typed.messages
        assert (
            f"data.target=kind has {name!r} in 20 rows: if that is a class, type 'data.missing_markers=[]'" in message
        )
        assert typed.until_read(0).classes == ("mild", "severe")
        kept = loaded(["data=csv", f"data.path={path}", "data.target=kind", *options, "data.missing_markers=[]"])
        assert set(kept.classes) == {"mild", "severe", name}


def test_rows_that_are_left_out_and_what_counts_as_missing_are_said(write: Write) -> None:
    rows = "".join(f"{'NA' if i % 10 == 0 else i},{'' if i % 20 == 1 else 'red'},{'ab'[i % 2]}\n" for i in range(60))
    path = write("x,colour,kind\n" + rows)
    base = ["data=csv", f"data.path={path}", "data.target=kind"]
    assert loaded([*base, "data.missing=drop_rows"]).inputs.endswith(
        "9 of 60 rows left out, with missing x 6 ('NA'), colour 3 (empty)"
    )
    assert loaded([*base, "data.missing=impute"]).inputs.endswith("imputed: x 6 ('NA'), colour 3 (empty)")


# --- the first lines and other files


def test_a_file_without_a_header(write: Write) -> None:
    typed = Typed(write(iris().split("\n", 1)[1], "iris.data"))
    data = typed.until_read(1)
    assert "line 1 looks like a row of data" in typed.messages[0]
    assert len(data.train) + len(data.val) + len(data.test) == 90
    assert data.classes == ("setosa", "versicolor", "virginica")


def test_a_file_of_texts_without_a_header_whose_class_is_first(write: Write) -> None:
    draw = np.random.default_rng(0)
    text = "\n".join(",".join([draw.choice(["p", "e"]), *draw.choice(list("xyzbn"), 5)]) for _ in range(100))
    typed = Typed(write(text), "class", "data.categorical=[]")
    assert typed.once() is None
    assert "data.header=false" in typed.messages[0]


def test_a_first_line_of_counts(write: Write) -> None:
    """As in the files that scikit-learn ships."""
    rows = [line.rpartition(",") for line in iris().splitlines()[1:]]
    codes = {"setosa": 0, "versicolor": 1, "virginica": 2}
    text = "\n".join(["90,4,setosa,versicolor,virginica", *(f"{row},{codes[kind]}" for row, _, kind in rows)])
    typed = Typed(write(text))
    data = typed.until_read(1)
    assert "if line 1 is no header and column_5 holds the class, type data.skip_lines=1" in typed.messages[0]
    assert (data.inputs, data.classes) == ("4 numeric", ("0", "1", "2"))
    assert len(data.train) + len(data.val) + len(data.test) == 90


@pytest.mark.parametrize("target", ["class", "Class", "kind"])
def test_an_arff_file_needs_one_advice(target: str, write: Write) -> None:
    lines = ["% a title", "%", "@RELATION iris", "", *(f"@attribute 'the {x}'\tREAL" for x in "abcd")]
    lines += ["@attribute class {setosa,versicolor}", "", "@DATA"]
    rows = [f"{i},{i % 7},{'?' if i == 9 else i % 5},{i % 3},{'setosa' if i % 2 else 'versicolor'}" for i in range(60)]
    typed = Typed(write("\n".join([*lines, *rows, "%", "%"]), "iris.arff"), target)
    data = typed.until_read(1)
    assert "is an ARFF file: its rows begin below line 11" in typed.messages[0]
    assert data.inputs == "4 numeric; 1 of 60 rows left out, with missing column_3 1 ('?')"
    assert isinstance(data.features, TableFeatures)
    new = write("\n".join([*lines, *rows[:7]]), "new.arff")
    assert len(data.features.reader.read(str(new), "INPUT", data.features.names).frame) == 7
    with pytest.raises(DataError, match=r"INPUT=.*new.arff is an ARFF file; save its table as CSV"):
        TableReader().read(str(new), "INPUT", ("the a",))


def test_columns_between_spaces_below_names_between_tabs(write: Write) -> None:
    """As ISLP has the cars."""
    lines = [f'{i}.0   8   30{i % 7}.0\t"car {i % 5}"  {"ab"[i % 2]}' for i in range(60)]
    typed = Typed(write("\n".join(["mpg\tcylinders\tpower name\tkind", *lines])))
    assert typed.until_read(1).features.names == ("mpg", "cylinders", "power", "name")
    assert "60 lines have fewer cells than the header in line 1, which has 4" in typed.messages[0]


def test_faults_that_would_come_after_the_first_advice_come_with_it(write: Write) -> None:
    """As ISLP has the cars: a wrong separator hides the question marks, and those a column of many names."""
    lines = [f'{"?" if i in (4, 9) else i}.0   {i % 4}   30{i % 7}.0\t"car {i}"  {"ab"[i % 2]}' for i in range(60)]
    path = write("\n".join(["mpg\tcylinders\tpower\tname\tkind", *lines]).replace("?.0", "?"))
    typed = Typed(path)
    data = typed.until_read(1)
    assert data.inputs == "3 numeric, left out: name; 2 of 60 rows left out, with missing mpg 2 ('?')"
    assert f"data.path={path} has 3 faults:\n  - it is not a table separated by '\\t'" in typed.messages[0]
    assert typed.messages[0].count("type ") == 3  # the last line, and two alternatives to it


def test_counts_above_rows_without_a_header(write: Write) -> None:
    """As scikit-learn has breast_cancer.csv."""
    rows = [f"{i}.5,{i % 7}.25,{i * i % 11}.5,{i % 5}.75,{i * 5 % 3}.1,{i % 2}" for i in range(60)]
    typed = Typed(write("\n".join(["60,5,malignant,benign", *rows])))
    data = typed.until_read(1)
    assert "if column_6 holds the class, type data.skip_lines=1 data.header=false data.tar" in typed.messages[0]
    assert (data.inputs, len(data.train) + len(data.val) + len(data.test)) == ("5 numeric", 60)


def test_advice_that_leads_nowhere_is_given_alone(write: Write) -> None:
    """A column that has no second class whatever is typed."""
    path = write("a title\nx,y,kind\n" + "".join(f"{i},{i % 3},a\n" for i in range(30)))
    with pytest.raises(DataError) as caught:
        loaded(["data=csv", f"data.path={path}", "data.target=kind"])
    assert str(caught.value).endswith("begin in line 2 (x, y, kind); type data.skip_lines=1")


def test_years_in_a_header_are_names(write: Write) -> None:
    text = "country,1990,1991,1992\n" + "".join(f"{'ab'[i % 2]},{i},{i + 1},{i * 2}\n" for i in range(40))
    assert loaded(["data=csv", f"data.path={write(text)}", "data.target=country"]).features.names == (
        "1990",
        "1991",
        "1992",
    )


@pytest.mark.parametrize(
    "top", ["Iris of 1936\n", "Iris of 1936\n\nby Fisher, R. A.\n", "Iris,,,,\n", '"a title\nof two lines"\n']
)
def test_title_lines(top: str, write: Write) -> None:
    typed = Typed(write(top + iris()))
    data = typed.until_read(1)
    assert f"seems to begin in line {top.count(chr(10)) + 1} (SL, SW, PL, PW, kind)" in typed.messages[0]
    assert data.features.names == ("SL", "SW", "PL", "PW")
    assert len(data.train) + len(data.val) + len(data.test) == 90


def test_the_first_line_of_excel_names_the_separator(write: Write) -> None:
    for sign in ";|^":
        assert (
            loaded(["data=csv", f"data.path={write(f'sep={sign}' + chr(10) + iris(sign))}", "data.target=kind"]).inputs
            == "4 numeric"
        )


def test_comments(write: Write) -> None:
    lines = iris().splitlines()
    text = "\n".join(["# by Fisher, 1936", lines[0], "# it's \"setosa", *lines[1:]])
    data = loaded(["data=csv", f"data.path={write(text)}", "data.target=kind", "data.comment='#'"])
    assert data.inputs == "4 numeric"
    assert len(data.train) + len(data.val) + len(data.test) == 90


@pytest.mark.parametrize("mark", ["#", "%"])
def test_comments_that_look_like_a_title_are_advised_as_comments(mark: str, write: Write) -> None:
    typed = Typed(write(f"{mark} of 1936\n{iris()}{mark} the end\n"))
    data = typed.until_read(1)
    assert typed.messages[0].endswith(f"""; type "data.comment='{mark}'\"""")
    assert (data.inputs, len(data.train) + len(data.val) + len(data.test)) == ("4 numeric", 90)


@pytest.mark.parametrize(("old", "new"), [(",", "  "), (",", "   "), (",", ":"), (",", "~")])
def test_a_file_that_comes_out_as_one_column(old: str, new: str, write: Write) -> None:
    typed = Typed(write(iris().replace(old, new)))
    data = typed.until_read(1)
    assert "the file comes out as one column" in typed.messages[0]
    assert data.inputs == "4 numeric"


def test_a_line_break_in_a_name(write: Write) -> None:
    text = iris().replace("SL", '"length\n(sepal)"', 1)
    assert loaded(["data=csv", f"data.path={write(text)}", "data.target=kind"]).features.names[0] == "length (sepal)"


def test_equal_names_can_be_left_out(write: Write) -> None:
    text = iris().replace("SW", "SL", 1)
    typed = Typed(write(text))
    data = typed.until_read(1)
    assert "more than once: SL" in typed.messages[0]
    assert "data.drop=" in typed.arguments[-1]
    assert data.features.names == ("SL", "PL", "PW")


def test_empty_lines_of_a_spreadsheet_do_not_count(write: Write) -> None:
    lines = iris().splitlines()
    text = "\n".join([lines[0] + ",", *(line + "," for line in lines[1:]), ",,,,,", ",,,,,"])
    assert loaded(["data=csv", f"data.path={write(text)}", "data.target=kind"]).inputs == "4 numeric"


OTHER_FILES: dict[str, tuple[bytes, str]] = {
    "page.csv": (b"<!DOCTYPE html>\n<html><body>a,b</body></html>", "a web page (HTML)"),
    "old.xls": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(99), "an Excel workbook"),
    "new.xlsx": (b"PK\x03\x04" + bytes(99), "an Excel workbook"),
    "x.gz": (b"\x1f\x8b" + bytes(99), "a gzip archive"),
    "one.csv": (b'"', "the quotation mark that opens a cell in line 1 is never closed"),
    "two.csv": (b'a,kind\n1,"b\n2,c\n', "the quotation mark that opens a cell in line 2 is never closed"),
}


@pytest.mark.parametrize("name", OTHER_FILES)
def test_other_files_are_named(name: str, write: Write) -> None:
    content, message = OTHER_FILES[name]
    with pytest.raises(DataError) as caught:
        loaded(["data=csv", f"data.path={write(content, name)}", "data.target=kind"])
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["data.json", "lines.json"])
def test_files_that_pandas_can_convert(name: str, write: Write, tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": range(30), "kind": ["a", "b"] * 15})
    path = tmp_path / name
    if name == "data.json":
        path.write_text(json.dumps(frame.to_dict("list")))
    else:
        frame.to_json(path, orient="records", lines=True)
    with pytest.raises(DataError) as caught:
        loaded(["data=csv", f"data.path='{path}'", "data.target=kind"])
    command = words(str(caught.value).rpartition("type python ")[2])
    assert command[0] == "-c"
    exec(command[1])
    assert loaded(["data=csv", f"data.path='{path.with_suffix('.csv')}'", "data.target=kind"]).inputs == "1 numeric"


# --- classes


def test_half_steps_can_be_classes(write: Write) -> None:
    typed = Typed(write("x,stars\n" + "".join(f"{i},{4 + i % 3 / 2}\n" for i in range(60))), "stars")
    data = typed.until_read(1)
    assert data.classes == ("4", "4.5", "5")


def test_leading_zeros_are_part_of_a_class(write: Write) -> None:
    text = "x,kind\n" + "".join(f"{i},{['01', '1', '2'][i % 3]}\n" for i in range(60))
    assert loaded(["data=csv", f"data.path={write(text)}", "data.target=kind"]).classes == ("01", "1", "2")


def test_a_whole_number_of_more_than_64_bits_changes_no_other_cell(write: Write) -> None:
    text = "code,kind\n" + "".join(
        f"{['007', '7', '12345678901234567890123', 'X1', 'X2', 'X3', 'X4'][i % 7]},{'ab'[i % 2]}\n" for i in range(70)
    )
    data = loaded(["data=csv", f"data.path={write(text)}", "data.target=kind"])
    assert data.features.columns[0].categories == ("007", "12345678901234567890123", "7", "X1", "X2", "X3", "X4")
