"""The authors' own numbers from their own log, kept beside the checkout: notes on the paper, 5.2."""

from pathlib import Path

import pandas as pd
import pytest

from chemscale.tuning.speed_estimates import estimates, tse, tse_e, tse_ema

LOG = Path(__file__).parents[3] / "shared" / "data" / "tpe" / "metrics.csv"
pytestmark = pytest.mark.skipif(not LOG.exists(), reason="the authors' log is not at ../shared/data/tpe")


def test_estimates_of_the_published_log():
    table = pd.read_csv(LOG).dropna(subset="train_loss_step")
    losses, epochs = table["train_loss_step"].to_numpy(), table["epoch"].to_numpy()
    assert len(losses) == 30 * 63
    assert tse(losses, epochs, 10) == pytest.approx(129.8276312691825, rel=1e-12)
    assert tse_e(losses, epochs, 10) == pytest.approx(5.670970326378232, rel=1e-12)
    assert tse_ema(losses, epochs, 10) == pytest.approx(134.53728970599116, rel=1e-12)
    # the log cut where the paper's TSE ends, and where its TSE-E ends
    assert estimates(losses[: 10 * 63], 63)["tse"] == pytest.approx(129.8276312691825, rel=1e-12)
    assert estimates(losses[: 11 * 63], 63)["tse_e"] == pytest.approx(5.670970326378232, rel=1e-12)
