"""Published fits of other people's tables, kept beside the checkout: our optimum is theirs or better."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from chemscale.scaling.fitting.fit import fit_law
from chemscale.scaling.fitting.objectives import huber
from chemscale.scaling.inference.bootstrap import wider_bootstrap

FITS = Path(__file__).parents[3] / "shared" / "fits"
pytestmark = pytest.mark.skipif(not FITS.is_dir(), reason="the published tables are not at ../shared/fits")


@pytest.fixture(scope="module")
def chinchilla():
    """Points of Hoffmann et al. 2022 as read by Besiroglu et al. 2024, arXiv:2404.10102; D = C / 6N."""
    table = pd.read_csv(FITS / "epoch_chinchilla" / "svg_extracted_data.csv")
    n = table["Model Size"].to_numpy()
    return {"N": n, "D": table["Training FLOP"].to_numpy() / (6 * n)}, table["loss"].to_numpy()


def without_the_worst(points, count=5):
    x, loss = points
    kept = loss < np.sort(loss)[-count]
    return {name: values[kept] for name, values in x.items()}, loss[kept]


@pytest.mark.parametrize(
    ("worst", "published", "parameters"),
    [
        (
            5,
            0.0010182740178,
            {"A": 477.826, "B": 2143.417, "E": 1.81722, "alpha": 0.34731, "beta": 0.36717},
        ),
        (
            0,
            0.00182601052307,
            {"A": 495.726, "B": 12845.614, "E": 1.89134, "alpha": 0.34931, "beta": 0.45305},
        ),
    ],
)
def test_chinchilla_huber_optimum(chinchilla, worst, published, parameters):
    x, loss = without_the_worst(chinchilla, worst) if worst else chinchilla
    assert len(loss) == 245 - worst
    fit = fit_law("joint", x, loss, delta=1e-3)
    assert fit.diagnostics["objective"] == pytest.approx(huber(fit.residuals, 1e-3).sum(), rel=1e-9)
    assert fit.diagnostics["objective"] <= published * (1 + 1e-6)
    assert fit.diagnostics["share_in_best_basin"] > 0.5
    assert {name: float(f"{fit.parameters[name]:.6g}") for name in parameters} == pytest.approx(parameters, rel=2e-5)


def test_chinchilla_least_absolute_deviations(chinchilla):
    """The parameters that Besiroglu et al. publish are those of least absolute deviations."""
    fit = fit_law("joint", *without_the_worst(chinchilla), objective="lad")
    assert np.abs(fit.residuals).sum() <= 1.129494535 * (1 + 1e-6)
    published = {"A": 482.006, "B": 2085.43, "E": 1.81686, "alpha": 0.34781, "beta": 0.36585}
    assert fit.parameters == pytest.approx(published, rel=5e-5)


def test_chinchilla_standard_errors_of_resampled_rows(chinchilla):
    fit = fit_law("joint", *without_the_worst(chinchilla), delta=1e-3)
    boot, narrower = wider_bootstrap(fit, 300)  # by default
    assert (boot.method, narrower.method) == ("cases", "residual")
    for name, error in {"alpha": 0.0152, "beta": 0.0205, "a": 0.0198, "E": 0.0255}.items():
        assert boot.draws_of(name).std() == pytest.approx(error, rel=0.15)
    assert boot.redrawn == 0


def test_olmo_ladder():
    """OLMo ladder, Bhagia et al. 2024, arXiv:2412.04403: 16 small runs, a 7B and a 13B run predicted."""
    table = pd.read_csv(FITS / "olmo_ladder" / "ladder_ce.csv")
    length = table["run"].str.split("-").str[-1]
    small = table[
        (table["mode"] == "train")
        & table["size"].isin(["190M", "370M", "760M", "1B"])
        & length.isin(["1xC", "2xC", "5xC", "10xC"])
    ]
    assert len(small) == 16
    fit = fit_law("joint", {"N": small["N"], "D": small["D"]}, small["c4_en_ma5"], delta=1e-3)
    assert fit.diagnostics["objective"] <= 3.2998572e-05 * (1 + 1e-6)
    assert np.abs(np.expm1(fit.residuals)).mean() == pytest.approx(0.0024730743790536, rel=1e-6)
    assert np.log(fit.parameters["A"]) == pytest.approx(2.5244, abs=5e-5)
    assert np.log(fit.parameters["B"]) == pytest.approx(3.5109, abs=5e-5)
    assert fit.parameters["alpha"] == pytest.approx(0.1036, abs=5e-5)
    assert fit.parameters["beta"] == pytest.approx(0.1620, abs=5e-5)
    assert fit.parameters["E"] == pytest.approx(0.9344, abs=5e-5)

    large = table[table["mode"] == "eval"].set_index("size")
    error = fit.predict({"N": large["N"], "D": large["D"]}) / large["c4_en_ma5"] - 1
    assert error["13B"] == pytest.approx(-0.03834843, abs=1e-7)
    assert error["7B"] == pytest.approx(-0.0198116, abs=1e-6)


def test_broken_law_of_the_addition_task():
    """Caballero et al. 2023, arXiv:2210.14891: 14 sizes fitted, three larger ones foretold; their constants."""
    table = pd.read_csv(FITS / "bnsl" / "addition4.csv")
    small, large = table[table["train"] == 1], table[table["train"] == 0]
    fit = fit_law("broken", small["n"], small["loss"], objective="least_squares_log1p")
    assert fit.diagnostics["objective"] <= 1.1345e-6
    published = {
        "floor": 0.413885,
        "coefficient": 2.277272,
        "exponent": 0.055077,
        "change": 5.662904,
        "break": 612.5836,
        "width": 0.059193,
    }
    assert fit.parameters == pytest.approx(published, rel=2e-5)
    error = np.log(fit.predict(large["n"].to_numpy()) / large["loss"])
    assert np.sqrt(np.mean(error**2)) == pytest.approx(0.01092, abs=2e-5)
    floor = fit_law("power_floor", small["n"], small["loss"], objective="least_squares_log1p")
    wrong = np.log(floor.predict(large["n"].to_numpy()) / large["loss"])
    assert np.sqrt(np.mean(wrong**2)) > 10 * np.sqrt(np.mean(error**2))
