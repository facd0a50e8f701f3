#!/usr/bin/env python3
"""Records reference numbers for tests/suite/oracle.rs.

    python3 -m venv /tmp/oracle && /tmp/oracle/bin/pip install statsmodels
    /tmp/oracle/bin/python scripts/oracle/holt_winters.py > tests/suite/oracle/holt_winters.json

Each case is a series made by a formula, a known initial state, fixed smoothing parameters, and what statsmodels'
ExponentialSmoothing (additive damped trend, additive season) makes of them: some one-step forecasts, and the path after
the last value. The test runs the same recursion through the product's model.
"""

import json
import math
import sys

import numpy
import statsmodels
from statsmodels.tsa.holtwinters import ExponentialSmoothing

HORIZONS = [1, 2, 3, 5, 10, 15, 20, 30]


def series(length, m):
    """A wave of length m on a slope, with a bump each 37 steps and a fixed jitter. The test does not need the formula:
    the values are recorded too."""
    return [
        round(100 + 0.02 * t + 20 * math.sin(2 * math.pi * t / m) + (15 if t % 37 == 0 else 0) + (t * 7919) % 13 - 6, 3)
        for t in range(length)
    ]


def case(name, length, m, alpha, beta, gamma, phi):
    values = series(length, m)
    level, trend = 95.0, 0.5
    season = [round(10 * math.cos(2 * math.pi * i / m), 4) for i in range(m)]
    model = ExponentialSmoothing(
        numpy.array(values),
        trend="add",
        damped_trend=phi < 1,
        seasonal="add",
        seasonal_periods=m,
        initialization_method="known",
        initial_level=level,
        initial_trend=trend,
        initial_seasonal=season,
    )
    damping = {"damping_trend": phi} if phi < 1 else {}
    fit = model.fit(
        smoothing_level=alpha, smoothing_trend=beta, smoothing_seasonal=gamma, optimized=False, **damping
    )
    path = fit.forecast(max(HORIZONS))
    every = max(1, length // 40)
    return {
        "name": name,
        "smoothing": {"alpha": alpha, "beta": beta, "gamma": gamma, "phi": phi, "rho": 0.0},
        "level": level,
        "trend": trend,
        "season": season,
        "values": values,
        "one_step": [[t, float(fit.fittedvalues[t])] for t in range(0, length, every)],
        "path": [float(path[h - 1]) for h in HORIZONS],
    }


def main():
    cases = [
        case("24 steps, damped", 400, 24, 0.3, 0.1, 0.2, 0.9),
        case("24 steps, not damped", 400, 24, 0.15, 0.05, 0.1, 1.0),
        case("7 steps, quick", 200, 7, 0.8, 0.4, 0.15, 0.8),
        case("a day of minutes", 3000, 1440, 0.1, 0.02, 0.3, 0.95),
        case("level only", 150, 12, 0.5, 0.0, 0.0, 0.5),
    ]
    document = {
        "made_with": {"statsmodels": statsmodels.__version__},
        "holt_winters": cases,
    }
    json.dump(document, sys.stdout, separators=(",", ":"))
    print()


if __name__ == "__main__":
    main()
