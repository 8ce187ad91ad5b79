"""What somebody with a table of their own does: fit it, read the answer, plot it, keep it, or be told what is wrong."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from chemscale import cli
from chemscale.errors import ChemscaleError
from chemscale.files import read_json, read_table
from chemscale.scaling import fit


def truth(n, d):
    return 1.2 + 1.8 * (n / 2e4) ** -0.25 + (d / 1000) ** -0.35


@pytest.fixture
def table():
    n, d = (values.ravel() for values in np.meshgrid(np.logspace(4, 6, 4), np.logspace(3, 5, 5)))
    noise = np.exp(0.004 * np.random.default_rng(0).normal(size=20))
    return pd.DataFrame({"size": n, "tokens": d, "flops": 6 * n * d, "ppl": truth(n, d) * noise, "run": np.arange(20)})


def test_a_surface_reads_predicts_and_keeps(table, tmp_path):
    law = fit(table, "ppl", params="size", data="tokens", group="run", draws=100)
    shown = str(law)
    assert re.search(
        r"form: +joint: L = E \+ A N\^-α \+ B D\^-β\n.*loss: ppl, N: size, D: tokens\n.*20, 15 more", shown
    )
    low, high = law.interval("beta")
    row = next(line.split() for line in shown.split("\n") if line.startswith("beta"))
    assert low < 0.35 < high
    assert row[1:] == [f"{value:.4g}" for value in (law.params["beta"], law.bse["beta"], low, high)]
    ahead = law.predict(N=[1e7], D=[1e6]).iloc[0]
    assert ahead["low"] < truth(1e7, 1e6) < ahead["high"]
    one, four = (np.ptp(law.predict(runs, N=1e7, D=1e6)[["low", "high"]].to_numpy()) for runs in (1, 4))
    assert four < one
    law.save(tmp_path / "fit.json")
    kept = read_json(tmp_path / "fit.json")
    assert kept["parameters"] == law.parameters and kept["columns"] == {"loss": "ppl", "N": "size", "D": "tokens"}
    assert kept["intervals"]["beta"] == [low, high]
    other = kept["second_bootstrap"]
    assert {kept["bootstrap"]["method"], other["method"]} == {"residual", "cases"}
    narrower = np.ptp(law.narrower.interval("beta", 0.9))
    assert other["width_over_quoted"]["beta"] == pytest.approx(narrower / (high - low))
    assert np.prod(list(other["width_over_quoted"].values())) < 1


def test_a_curve_plots_its_points_law_and_band(table):
    law = fit(table[table["size"] == 1e4], "ppl", data="tokens", draws=50)
    axes = law.plot()
    assert law.fit.form.name == "power_floor" and axes.get_xlabel() == "tokens" and axes.get_xscale() == "log"
    points = next(line for line in axes.lines if line.get_marker() == "o")
    assert list(points.get_ydata()) == list(table.loc[table["size"] == 1e4, "ppl"])
    assert len(axes.collections) == 1
    surface = fit(table, "ppl", params="size", data="tokens", draws=20).plot()
    assert len(surface.lines[0].get_xdata()) == 20


def test_the_form_follows_from_the_columns(table):
    assert fit(table, "ppl", compute="flops", form="power", draws=20).columns == {"loss": "ppl", "x": "flops"}
    seen = table.assign(distinct=table["tokens"] / np.resize([1, 4, 16], 20))
    assert fit(seen, "ppl", params="size", data="tokens", distinct="distinct", draws=20).fit.form.name == "repeated"


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({}, {"form": "joint", "data": "tokens"}, "form = 'joint': takes two of params, data and compute; data given"),
        ({}, {"form": "power", "data": "tokens", "params": "size"}, "takes exactly one of params, data and compute"),
        ({}, {"form": "power"}, "form = 'power': takes exactly one of params, data and compute; none given"),
        ({}, {"form": "power", "data": "token"}, "needs the column token; the table has size, tokens"),
        ({"ppl": -1.0}, {"data": "tokens", "params": "size"}, r"ppl: must be positive numbers.*row 1 \(-1\)"),
        (
            {"ppl": np.nan},
            {"data": "tokens", "params": "size"},
            r"missing values: ppl in row 1, row 2.*; fill them in, or leave such rows out with drop_missing",
        ),
        ({"size": 1e4}, {"data": "tokens", "params": "size"}, "N has 1 distinct values"),
        (
            {"run": None},
            {"data": "tokens", "params": "size", "group": "run"},
            "run: empty in row 1, row 2.*; name a group",
        ),
    ],
    ids=["no params", "two columns", "no column", "unknown column", "negative", "NaN", "one size", "no group"],
)
def test_bad_tables_are_refused(table, change, options, message):
    with pytest.raises(ChemscaleError, match=message):
        fit(table.assign(**change), "ppl", draws=20, **options)


def test_a_row_twice_is_refused(table):
    with pytest.raises(ChemscaleError, match="row 21: equal to an earlier row in all columns; remove them"):
        fit(pd.concat([table, table.iloc[[3]]]), "ppl", params="size", data="tokens")


@pytest.mark.parametrize(
    ("column", "rows", "factor", "message"),
    [
        ("ppl", [3, 7], 1000, "loss of row 4, row 8 is a factor of 1,000 away"),
        ("ppl", [5], 1 / 27.2114, "loss of row 6 is hartree against eV away"),
        ("size", [0, 4, 8, 12, 16], 1e-6, r"N has no values between 0.01 and .* are some rows in different units"),
    ],
)
def test_units_that_are_mixed_up_are_refused(table, column, rows, factor, message):
    table.loc[rows, column] *= factor
    with pytest.raises(ChemscaleError, match=message):
        fit(table, "ppl", params="size", data="tokens", draws=20)


def test_the_verb_fits_a_csv_as_the_issue_writes_it(table, tmp_path, capsys):
    table.to_csv(tmp_path / "table.csv", index=False)
    asked = "--loss ppl --params size --data tokens --group run --form joint --objective huber --delta 1e-3 --draws 50"
    assert cli.main(["fit", str(tmp_path / "table.csv"), *asked.split(), "--out", str(tmp_path / "fit.json")]) == 0
    found = json.loads((tmp_path / "fit.json").read_text())
    assert found["diagnostics"]["delta"] == 1e-3 and found["parameters"]["beta"] == pytest.approx(0.35, abs=0.05)
    assert "starts agree" in capsys.readouterr().err
    assert cli.main(["fit", str(tmp_path / "table.csv"), "--loss", "lost", "--data", "tokens", "--out", "x"]) == 2
    assert "no column lost" in capsys.readouterr().err


def test_compute_and_one_size_give_the_other(table):
    by_data = fit(table, "ppl", params="size", data="tokens", draws=20)
    for columns in ({"params": "size", "compute": "flops"}, {"data": "tokens", "compute": "flops"}):
        law = fit(table, "ppl", draws=20, **columns)
        assert law.parameters == pytest.approx(by_data.parameters, rel=1e-6)
    assert law.columns == {"loss": "ppl", "N": "flops / (6 tokens)", "D": "tokens"}


def test_seeds_with_equal_losses_are_no_repeats(table):
    rounded = table.assign(ppl=table["ppl"].round(2), seed=0)
    both = pd.concat([rounded, rounded.assign(seed=1)], ignore_index=True)
    assert len(fit(both, "ppl", params="size", data="tokens", draws=20).fit.loss) == 40


def test_rows_are_chosen_by_a_condition_and_without_missing_values(table):
    other = pd.concat([table.assign(kind="a"), table.assign(kind="b", ppl=9.0)], ignore_index=True)
    other.loc[3, "ppl"] = np.nan
    law = fit(other, "ppl", params="size", data="tokens", draws=20, where="kind == 'a'", drop_missing=True)
    assert len(law.fit.loss) == 19 and 9.0 not in law.fit.loss
    with pytest.raises(ChemscaleError, match="where = 'kind == c4': no condition on rows"):
        fit(other, "ppl", params="size", data="tokens", where="kind == c4")
    with pytest.raises(ChemscaleError, match="holds for no row"):
        fit(other, "ppl", params="size", data="tokens", where="kind == 'c'")


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])
def test_messages_name_the_lines_of_the_file(table, tmp_path, suffix):
    table.loc[[2, 5], "ppl"] = [-1.0, 0.0]
    path = tmp_path / f"a{suffix}"
    if suffix == ".jsonl":
        table.to_json(path, orient="records", lines=True)
    else:
        table.to_csv(path, index=False, sep="\t" if suffix == ".tsv" else ",")
    lines = "line 3 (-1), line 6 (0)" if suffix == ".jsonl" else "line 4 (-1), line 7 (0)"
    with pytest.raises(ChemscaleError, match=re.escape(lines)):
        fit(read_table(path), "ppl", params="size", data="tokens")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"confidence": 95}, "confidence = 95: must lie between 0 and 1; write 0.95"),
        ({"draws": 0}, "draws = 0: too few"),
        ({"draws": 1}, "draws = 1: too few for an interval; draw 500, or at least 20"),
    ],
)
def test_levels_and_draws_without_an_interval_are_refused(table, options, message):
    with pytest.raises(ChemscaleError, match=message):
        fit(table, "ppl", params="size", data="tokens", **options)


def test_names_of_the_literature(table):
    assert fit(table, "ppl", params="size", data="tokens", form="chinchilla", draws=20).fit.form.name == "joint"


def test_predictions_and_the_line_come_from_the_draws_of_the_interval(table):
    runs = pd.concat([table.assign(copy=n) for n in range(4)], ignore_index=True)
    law = fit(runs, "ppl", params="size", data="tokens", group="run", draws=100)
    assert law.boot.method == "cases" and law.to_dict()["bootstrap"]["method"] == "cases"
    at = law.predict(N=1e6, D=1e5).iloc[0]
    low, high = law.boot.band({"N": [1e6], "D": [1e5]}, 0.9)
    assert (at["low"], at["high"]) == (low[0], high[0])
    narrow = law.narrower.band({"N": [1e6], "D": [1e5]}, 0.9)
    assert high[0] - low[0] > narrow[1][0] - narrow[0][0]


def test_rows_are_chosen_on_the_command_line_for_a_fit_with_costs_and_for_a_comparison(table, tmp_path, capsys):
    runs = pd.concat([table.assign(kind="a"), table.assign(kind="b", ppl=9.0)], ignore_index=True)
    runs.loc[3, "ppl"] = np.nan
    runs.to_csv(tmp_path / "runs.csv", index=False)
    base = ["fit", str(tmp_path / "runs.csv"), "--loss", "ppl", "--params", "size", "--data", "tokens", "--draws", "20"]
    base += ["--out", str(tmp_path / "fit.json"), "--cost", "flops", "--where", "kind == 'a'"]
    assert cli.main(base) == 2
    assert "missing values: ppl in line 5" in capsys.readouterr().err
    assert cli.main([*base, "--drop-missing"]) == 0
    assert read_json(tmp_path / "fit.json")["points"] == 19
    assert cli.main([*base, "--drop-missing", "--compare"]) == 0
    best = read_json(tmp_path / "fit.json")["forms"]["joint"]
    assert best["values"]["E"] < 2  # with the losses of 9 it would not be
