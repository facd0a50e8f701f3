#!/usr/bin/env python3
"""Compares forecasts of flyball with those of others, paired on the same origins.

Protocol: at each of some random origins (the same ones for all) the others are fitted to a window of history, 14 days (28
at half-hour steps; 7 where the series is too short), and forecast the next 10 steps at one minute, 12 at longer steps.
flyball runs once over the series, as in the loop; its forecast from each origin is taken from
`flyball forecast evaluate --dump`. Errors are measured in those of the seasonal naive rule within the window (MASE, MSIS of the
95 % interval), a ratio of two methods on their shared origins, over all series by the geometric mean. Missing targets are
skipped; missing values are interpolated for those that need it. Prophet is compared only where the full
window fits. A ratio whose 95 % range over the origins (bootstrap) contains 1 is called a tie. Persistence and seasonal naive
are shown for comparison.
"""

import argparse
import csv
import json
import logging
import math
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import warnings

import numpy

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TARGET = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
DAY = 86_400
ORIGINS = 24
# Slow methods run over a prefix of the origins.
MOST = {"prophet": (8, 12), "holt_winters": (8, 12), "augurs": (8, 12)}
MISS = 2 / 0.05
# id, other method, what is compared, bar, aim
FIGURES = [
    ("mase_vs_hw", "holt_winters", "mase", 0.90, 0.80),
    ("mase_vs_augurs", "augurs", "mase", 0.65, 0.55),
    ("mase_vs_prophet", "prophet", "mase", 0.52, 0.45),
    ("msis_vs_prophet", "prophet", "msis", 0.50, 0.45),
]


def cpu():
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def log(text):
    print(f"rivals: {text}", file=sys.stderr, flush=True)


class Forecast:
    """Points, and the ends of their 95 % intervals where the method has any."""

    def __init__(self, point, low=None, high=None):
        self.point, self.low, self.high = (None if x is None else numpy.asarray(x, float) for x in (point, low, high))


class Series:
    def __init__(self, name, step, first, values):
        self.name, self.step, self.first = name, step, first
        self.values = values
        self.day = DAY // step
        full = 28 if step >= 1800 else 14
        days = len(values) // self.day
        self.full = days > full
        self.window = (full if self.full else 7) * self.day
        self.horizon = 10 if step <= 60 else 12
        self.fast = step <= 60

    def origins(self):
        """The newest known step, for each origin."""
        admissible = numpy.arange(self.window - 1, len(self.values) - self.horizon)
        admissible = admissible[~numpy.isnan(self.values[admissible])]
        chosen = numpy.random.default_rng(7).permutation(admissible)[:ORIGINS]
        return numpy.random.default_rng(1).permutation(chosen)

    def history(self, origin):
        return self.values[origin + 1 - self.window : origin + 1]

    def filled(self, origin):
        values = self.history(origin).copy()
        missing = numpy.isnan(values)
        at = numpy.arange(len(values))
        values[missing] = numpy.interp(at[missing], at[~missing], values[~missing])
        return values

    def targets(self, origin):
        return self.values[origin + 1 : origin + 1 + self.horizon]

    def scale(self, origin):
        history = self.history(origin)
        return float(numpy.nanmean(numpy.abs(history[self.day :] - history[: -self.day])))


def read(path):
    rows = list(csv.reader(open(path)))[1:]
    stamps = [numpy.datetime64(row[0].rstrip("Z").replace(" ", "T"), "s").astype(int) for row in rows]
    differences = numpy.diff(stamps)
    step = int(numpy.median(differences[differences > 0]))
    cells = [stamp // step - stamps[0] // step for stamp in stamps]
    values = numpy.full(max(cells) + 1, numpy.nan)
    for cell, row in zip(cells, rows):
        values[cell] = float(row[1]) if row[1] else numpy.nan
    return Series(pathlib.Path(path).stem, step, stamps[0], values)


def flyball(binary, path, series):
    """flyball's forecast from each origin: {step: Forecast}."""
    horizons = ",".join(str(h) for h in range(1, series.horizon + 1))
    with tempfile.NamedTemporaryFile(suffix=".csv") as dump:
        command = [binary, "forecast", "evaluate", "--input", path, "--horizons", horizons, "--dump", dump.name]
        subprocess.run([*command, "--output", "json"], check=True, stdout=subprocess.DEVNULL)
        wanted, said = set(series.origins().tolist()), {}
        for row in csv.DictReader(open(dump.name)):
            at = int(row["origin"]) // series.step - series.first // series.step
            if at in wanted:
                said.setdefault(at, []).append([float(row[key]) for key in ("point", "q0.025", "q0.975")])
    return {at: Forecast(*numpy.array(rows).T) for at, rows in said.items()}


def persistence(series, origin):
    return Forecast(numpy.full(series.horizon, series.values[origin]))


def seasonal_naive(series, origin):
    values = series.filled(origin)
    return Forecast(values[-series.day :][: series.horizon])


def holt_winters(series, origin):
    from statsmodels.tsa.holtwinters import ExponentialSmoothing

    model = ExponentialSmoothing(
        series.filled(origin),
        trend="add",
        damped_trend=True,
        seasonal="add",
        seasonal_periods=series.day,
        initialization_method="heuristic",
    )
    return Forecast(model.fit().forecast(series.horizon))


def augurs(series, origin):
    import augurs as library

    periods = [series.day] if series.window < 14 * series.day else [series.day, 7 * series.day]
    model = library.MSTL.ets(periods)
    model.fit(series.filled(origin))
    said = model.predict(series.horizon, level=0.95)
    return Forecast(said.point(), said.lower(), said.upper())


def prophet(series, origin):
    import pandas
    from prophet import Prophet

    if not series.full:
        return None
    start = series.first + (origin + 1 - series.window) * series.step
    stamps = pandas.to_datetime(start + series.step * numpy.arange(series.window + series.horizon), unit="s")
    model = Prophet(seasonality_mode="multiplicative", interval_width=0.95, changepoint_prior_scale=0.05)
    model.fit(pandas.DataFrame({"ds": stamps[: series.window], "y": series.history(origin)}))
    said = model.predict(pandas.DataFrame({"ds": stamps[series.window :]}))
    return Forecast(said["yhat"], said["yhat_lower"], said["yhat_upper"])


METHODS = {
    "persistence": persistence,
    "seasonal_naive": seasonal_naive,
    "holt_winters": holt_winters,
    "augurs": augurs,
    "prophet": prophet,
}


def errors(series, origin, said):
    """Mean absolute error and mean interval score over the targets, both in the scale of the window."""
    targets, scale = series.targets(origin), series.scale(origin)
    known = ~numpy.isnan(targets)
    if said is None or not known.any() or not scale > 0:
        return None
    mase = float(numpy.mean(numpy.abs(said.point - targets)[known])) / scale
    msis = math.nan
    if said.low is not None:
        missed = numpy.maximum(said.low - targets, 0) + numpy.maximum(targets - said.high, 0)
        msis = float(numpy.mean((said.high - said.low + MISS * missed)[known])) / scale
    return {"mase": mase, "msis": msis}


def ratio(ours, theirs, key):
    """Ratio on the shared origins, their number, and its 95 % range over resampled origins."""
    pairs = numpy.array([[ours[at][key], theirs[at][key]] for at in theirs if at in ours])
    if len(pairs) == 0 or numpy.isnan(pairs).any() or not pairs[:, 1].sum() > 0:
        return None
    draws = numpy.random.default_rng(3).integers(0, len(pairs), (2000, len(pairs)))
    sums = pairs[draws].sum(axis=1)
    spread = numpy.quantile(sums[:, 0] / numpy.maximum(sums[:, 1], 1e-300), [0.025, 0.975])
    value = pairs[:, 0].sum() / pairs[:, 1].sum()
    return {"ratio": float(value), "origins": len(pairs), "low": float(spread[0]), "high": float(spread[1])}


def measure(binary, path, wanted):
    series = read(path)
    if series.day < 2 or len(series.values) <= series.window + series.horizon:
        return None
    results = {"flyball": {}}
    said = flyball(binary, path, series)
    for origin in series.origins():
        found = errors(series, origin, said.get(int(origin)))
        if found:
            results["flyball"][int(origin)] = found
    for name in wanted:
        results[name], begun, most = {}, cpu(), MOST.get(name, (ORIGINS, ORIGINS))[0 if series.fast else 1]
        for origin in series.origins()[:most]:
            try:
                found = errors(series, origin, METHODS[name](series, origin))
            except Exception as error:  # report a failed fit of another method and skip it
                log(f"{series.name}: {name} failed at step {origin}: {error}")
                found = None
            if found:
                results[name][int(origin)] = found
        log(f"{series.name}: {name}, {len(results[name])} origins, {cpu() - begun:.1f} s CPU")
    return results


def table(all_results, wanted):
    names = ["flyball", *wanted]
    print("\nMASE, mean over the origins of each method (their number)")
    print(f"{'series':<28}" + "".join(f"{name:>22}" for name in names))
    for series, results in all_results.items():
        cells = []
        for name in names:
            found = [one["mase"] for one in results.get(name, {}).values()]
            cells.append(f"{numpy.mean(found):.3f} ({len(found)})" if found else "-")
        print(f"{series:<28}" + "".join(f"{cell:>22}" for cell in cells))


def compare(all_results, wanted):
    report = []
    for name in wanted:
        for key in ("mase", "msis"):
            rows = {s: ratio(r["flyball"], r.get(name, {}), key) for s, r in all_results.items()}
            rows = {series: row for series, row in rows.items() if row}
            if not rows:
                continue
            mean = math.exp(numpy.mean([math.log(max(row["ratio"], 1e-9)) for row in rows.values()]))
            report.append({"other": name, "score": key, "ratio": mean, "series": rows})
            print(f"\n{key} of flyball / {name}: {mean:.3f} over {len(rows)} series (geometric mean), losses first")
            for series, row in sorted(rows.items(), key=lambda item: -item[1]["ratio"]):
                verdict = "tie" if row["low"] <= 1 <= row["high"] else "won" if row["ratio"] < 1 else "LOST"
                spread = f"{row['low']:.2f}-{row['high']:.2f}"
                print(f"  {series:<28} {row['ratio']:.3f}  ({spread}, {row['origins']} origins)  {verdict}")
    return report


def write(report):
    rows = []
    for figure, other, key, bar, aim in FIGURES:
        found = next((one["ratio"] for one in report if (one["other"], one["score"]) == (other, key)), None)
        value = None if found is None else round(found, 3)
        ok = value is not None and value <= bar
        command = "just score rivals"
        row = {"id": figure, "value": value, "unit": "", "bar": bar, "aim": aim, "better": "lower", "ok": ok}
        rows.append({**row, "command": command})
    file = TARGET / "scores" / "forecast.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    ours = {row["id"] for row in rows}
    kept = [row for row in (json.loads(file.read_text()) if file.exists() else []) if row["id"] not in ours]
    file.write_text(json.dumps(kept + rows, indent=2) + "\n")
    print()
    for row in rows:
        shown = "not measured" if row["value"] is None else f"{row['value']:g}"
        print(f"{row['id']:<20} {shown:>12}   bar {row['bar']:g}   aim {row['aim']:g}   {'yes' if row['ok'] else 'NO'}")
    print(f"written to {file}")
    return all(row["ok"] for row in rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flyball", required=True, help="the binary")
    parser.add_argument("--series", required=True, help="directory of series")
    parser.add_argument("--methods", default=",".join(METHODS), help="some of them")
    parser.add_argument("--only", default="", help="series whose name contains this")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    for noisy in ("prophet", "cmdstanpy"):
        # With a handler present, cmdstanpy does not add its own.
        logging.getLogger(noisy).addHandler(logging.NullHandler())
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
        logging.getLogger(noisy).propagate = False
    wanted = arguments.methods.split(",")
    paths = [path for path in sorted(pathlib.Path(arguments.series).glob("*.csv")) if arguments.only in path.stem]
    all_results = {}
    for number, path in enumerate(paths, 1):
        log(f"{path.stem} ({number} of {len(paths)})")
        try:
            results = measure(arguments.flyball, str(path), wanted)
        except (ValueError, IndexError, subprocess.CalledProcessError) as error:
            log(f"{path.stem} is left out: {error}")
            continue
        if results is None:
            log(f"{path.stem} is left out: too short")
            continue
        all_results[path.stem] = results
    if not all_results:
        sys.exit("rivals: no series to compare on")
    table(all_results, wanted)
    report = compare(all_results, wanted)
    (TARGET / "rivals" / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    if set(wanted) == set(METHODS) and not arguments.only:
        sys.exit(0 if write(report) else 1)


main()
