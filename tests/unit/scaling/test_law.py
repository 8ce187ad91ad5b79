"""A fitted law in the idiom of statsmodels and lmfit: read, summarised, profiled, drawn, saved and read back."""

import json

import numpy as np
import pandas as pd
import pytest

from chemscale.cli import main
from chemscale.errors import ChemscaleError
from chemscale.scaling import ScalingLaw, fit
from chemscale.scaling.inference.profile import profile_interval


@pytest.fixture(scope="module")
def table():
    n, d = (grid.ravel() for grid in np.meshgrid(np.logspace(6, 9, 6), np.logspace(8, 11, 6)))
    noise = np.exp(0.003 * np.random.default_rng(0).normal(size=36))
    return pd.DataFrame({"n": n, "d": d, "loss": (1.69 + 406.4 * n**-0.34 + 410.7 * d**-0.28) * noise})


@pytest.fixture(scope="module")
def law(table):
    return fit(table, params="n", data="d", draws=200)


def test_the_names_of_statsmodels_mean_the_same_here(law):
    assert law.params.to_dict() == law.parameters
    assert law.draws.shape == (200, 5)
    assert law.bse["alpha"] == pytest.approx(law.boot.draws_of("alpha").std(ddof=1))
    assert np.sqrt(np.diag(law.cov_params())) == pytest.approx(law.bse.to_numpy())
    assert law.cov_params().loc["A", "alpha"] > 0  # a steeper law has a larger value at x = 1
    assert law.conf_int().loc["beta"].tolist() == list(law.interval("beta"))
    narrow, wide = law.conf_int(0.5), law.conf_int(0.99)
    assert (wide["low"] <= narrow["low"]).all() and (narrow["high"] <= wide["high"]).all() and "a" in narrow.index
    assert law.nobs == 36 and law.df_resid == 31
    assert np.log(law.fit.loss / law.fittedvalues) == pytest.approx(law.resid)
    assert law.aic == pytest.approx(law.bic + 12 - 6 * np.log(36)) and law.aicc > law.aic


def test_a_summary_says_what_every_number_is(law, table):
    text = law.summary()
    for part in (
        "form:        joint: L = E + A N^-α + B D^-β",
        "columns:     loss: loss, N: n, D: d",
        "rows:        36, 31 more than parameters",
        f"objective:   Huber, δ = {law.fit.delta:.3g} of log loss; least value {law.fit.diagnostics['objective']:.6g}",
        "64 starts agree",
        "compare at the same rows, objective and δ only",
        "intervals:   90%, from 200 draws of ",
    ):
        assert part in text
    low, high = law.interval("alpha")
    shown = [f"{value:.4g}" for value in (law.params["alpha"], law.bse["alpha"], low, high)]
    assert next(line.split() for line in text.split("\n") if line.startswith("alpha")) == ["alpha", *shown]
    assert f"| alpha | {' | '.join(shown)} " in " ".join(law.summary("markdown").split()).replace("  ", " ")
    latex = law.summary("latex")
    assert rf"$\alpha$ & {' & '.join(shown)} " in latex and r"$L = E + A N^{-\alpha} + B D^{-\beta}$" in latex
    assert "90\\%" in latex and latex.count("{") == latex.count("}")
    held = fit(table, params="n", data="d", draws=50, fix={"E": 1.69}).summary()
    assert "constraints: E = 1.69 held" in held and "E 1.69 – – – held" in " ".join(held.split())
    with pytest.raises(ChemscaleError, match="style = 'html': choose text, markdown or latex"):
        law.summary("html")


def test_a_profile_is_lowest_at_the_fit_and_allows_its_interval(law):
    found = law.profile("alpha")
    assert found["objective"].min() >= law.fit.diagnostics["objective"] * (1 - 1e-6)
    assert abs(found.loc[found["objective"].idxmin(), "alpha"] - law.params["alpha"]) < found["alpha"].diff().max()
    low, high = profile_interval(law.fit, "alpha", 0.9, law.widening("alpha"))
    inside = found[found["allowed"]]["alpha"]
    step = found["alpha"].diff().max()
    assert abs(inside.min() - low) < step and abs(inside.max() - high) < step
    with pytest.raises(ChemscaleError, match="A of form joint has no profile; those with one: alpha, beta, E"):
        law.profile("A")


def test_joint_regions_hold_the_draws_that_they_should(law):
    found = law.contours("alpha", "E")
    assert (found["inside 90%"] | ~found["inside 50%"]).all() and found["inside 50%"].any()
    inside = found[found["inside 90%"]]
    assert np.corrcoef(inside["alpha"], inside["E"])[0, 1] > 0.3  # a steeper law ends at a higher floor
    low, high = law.interval("alpha")
    assert inside["alpha"].min() < low and high < inside["alpha"].max()


def test_figures_show_points_residuals_profiles_and_regions(law):
    figure = law.plot_residuals()
    assert [axes.get_xlabel() for axes in figure.axes] == ["fitted loss", "n", "d"]
    assert list(figure.axes[1].lines[1].get_ydata()) == pytest.approx(list(100 * np.expm1(law.resid)))
    axes = law.plot_profile("beta")
    assert axes.get_xlabel() == "beta" and axes.lines[0].get_ydata().min() == pytest.approx(1, rel=1e-4)
    axes = law.plot_contours("alpha", "beta")
    assert len(axes.lines[0].get_xdata()) == 200 and axes.get_ylabel() == "beta"


def test_a_saved_law_is_read_back_without_a_fit(law, table, tmp_path):
    law.save(tmp_path / "fit.json")
    back = ScalingLaw.load(tmp_path / "fit.json")
    assert back.to_dict() == law.to_dict() and str(back) == str(law)
    for runs in (None, 2):
        pd.testing.assert_frame_equal(
            back.predict(runs, N=[1e9, 1e10], D=1e12), law.predict(runs, N=[1e9, 1e10], D=1e12)
        )
    assert back.profile("beta").equals(law.profile("beta"))
    own = fit(table, params="n", data="d", draws=30, form="E + A*N**-alpha + B*D**-beta", bounds={"alpha": (0.1, None)})
    own.save(tmp_path / "own.json")
    assert ScalingLaw.load(tmp_path / "own.json").conf_int().equals(own.conf_int())


def test_a_law_is_predicted_from_its_file(table, tmp_path, capsys):
    table["flops"] = 7 * table["n"] * table["d"]
    table.to_csv(tmp_path / "t.csv", index=False)
    columns = [
        "--loss",
        "loss",
        "--params",
        "n",
        "--data",
        "d",
        "--draws",
        "100",
        "--cost",
        "flops",
        "--budget",
        "1e21",
        "--at",
        "N=1e10,D=1e12",
    ]
    kept, out = str(tmp_path / "fit.json"), str(tmp_path / "more.json")
    files = ["--plot", str(tmp_path / "f.svg"), "--summary", str(tmp_path / "s.md")]
    assert main(["fit", str(tmp_path / "t.csv"), *columns, *files, "--out", kept]) == 0
    assert (tmp_path / "f.svg").read_text().count("<svg") == 1 and "| alpha " in (tmp_path / "s.md").read_text()
    capsys.readouterr()
    assert main(["predict", kept, "--at", "N=1e10,D=1e12", "--budget", "1e21", "--out", out]) == 0
    fitted, found = json.loads((tmp_path / "fit.json").read_text()), json.loads((tmp_path / "more.json").read_text())
    assert found["predictions"] == fitted["predictions"] and found["allocation"] == fitted["allocation"]
    assert "N=1e+10, D=1e+12: loss " in capsys.readouterr().err
    assert main(["predict", kept, "--at", "N=1e10,D=1e12", "--runs", "1", "--out", out]) == 0
    one = json.loads((tmp_path / "more.json").read_text())["predictions"][0]
    assert one["low"] < found["predictions"][0]["low"] and one["high"] > found["predictions"][0]["high"]


def test_what_holds_no_law_is_refused(law, tmp_path, capsys):
    (tmp_path / "other.json").write_text(json.dumps(law.to_dict()))
    for args, message in (
        (["other.json", "--at", "N=1,D=1"], "other.json: holds no law with its draws (KeyError: 'rows')"),
        (["none.json", "--at", "N=1,D=1"], "none.json: no such file; write one with `chemscale fit TABLE"),
        (["other.json"], "--at, --budget: give a point to predict"),
    ):
        assert main(["predict", str(tmp_path / args[0]), *args[1:], "--out", str(tmp_path / "x")]) == 2
        assert message in capsys.readouterr().err
    for option, message in (("--plot f.txt", ".svg, .pdf, .png"), ("--summary s.html", ".txt, .md, .tex")):
        table = tmp_path / "t.csv"
        table.write_text("n,loss\n1,2\n")
        asked = ["fit", str(table), "--loss", "loss", "--params", "n", *option.split(), "--out", str(tmp_path / "x")]
        assert main(asked) == 2
        assert f"choose a name that ends in {message}" in capsys.readouterr().err
