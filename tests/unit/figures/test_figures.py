"""Figures from tables that lack something."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from chemscale.figures.style import loss_against_data


def test_without_unseen_molecules_their_figure_says_so():
    rows = [
        {"arm": "potential", "family": "schnet", "size": "d1-w8", "status": "finished", "data": data, "parameters": 500}
        for data in (10, 100)
    ]
    runs = pd.DataFrame(rows)
    figure = loss_against_data(runs, {"curves": []}, "potential", "unseen_force_mae", "unseen")
    figure.canvas.draw()
    (axes,) = figure.axes
    assert not axes.lines and [text.get_text() for text in axes.texts] == ["no run has a\nunseen"]
    full = loss_against_data(runs.assign(unseen_force_mae=[0.3, 0.2]), {"curves": []}, "potential", "unseen_force_mae")
    assert np.isfinite(full.axes[0].lines[0].get_ydata()).all()
    plt.close("all")
