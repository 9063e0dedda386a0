"""What the scripts that train many runs share: their Python, psctl, what a run came to, pictures of curves."""
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PSCTL = ROOT / ".build/release/psctl"
SMOOTHED_STEPS = 20
# One grey that is readable on white and on black; the ground of pictures stays transparent.
GREY = "#808080"


def with_packages(name, *packages, without_dependencies=()):
    """Starts the script again in a virtual environment under .build with these packages of PyPI; in it already, returns.

    Asked for help the script says what it is for, and installs nothing.
    """
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(sys.modules["__main__"].__doc__.strip())
        sys.exit()
    environment = ROOT / ".build" / name
    if Path(sys.prefix) == environment:
        return
    if not (environment / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
        install = [environment / "bin/pip", "install", "--quiet"]
        subprocess.run([*install, *packages], check=True)
        if without_dependencies:
            subprocess.run([*install, "--no-deps", *without_dependencies], check=True)
        (environment / "complete").touch()
    os.execv(environment / "bin/python", [environment / "bin/python", *sys.argv])


def build(*dependencies):
    """What the scripts run, built from this tree."""
    subprocess.run([ROOT / "scripts/install-dependencies", *dependencies], check=True, stdout=sys.stderr)
    subprocess.run(["swift", "build", "--package-path", ROOT, "--configuration", "release"], check=True,
                   stdout=sys.stderr)


def output(*command):
    return subprocess.run([str(word) for word in command], check=True, stdout=subprocess.PIPE, text=True).stdout


def summary(directory):
    """What a complete run came to; None for one that is not."""
    try:
        found = json.loads((directory / "summary.json").read_text())
    except FileNotFoundError:
        return None
    return found if found["exit_code"] == 0 and found.get("eval") else None


def losses(directory):
    """Steps and losses, in the order of the steps; a step that was taken again counts as it ended."""
    lines = map(json.loads, (directory / "metrics.jsonl").read_text().splitlines())
    return sorted({line["step"]: line["loss"] for line in lines if "loss" in line}.items())


def smoothed(values):
    """Of each step the mean of the last few."""
    return [statistics.fmean(values[max(0, end - SMOOTHED_STEPS):end]) for end in range(1, len(values) + 1)]


def draw_curves(path, title, x_label, y_label, plot):
    """Writes an SVG of what `plot(axes)` draws, for light and dark pages; the same bytes for the same curves."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    pyplot.rcParams["svg.hashsalt"] = path.stem
    figure, axes = pyplot.subplots(figsize=(9, 5))
    plot(axes)
    axes.set_title(title, color=GREY)
    axes.set_xlabel(x_label, color=GREY)
    axes.set_ylabel(y_label, color=GREY)
    axes.tick_params(colors=GREY)
    axes.grid(color=GREY, alpha=0.25, linewidth=0.5)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(GREY)
    legend = axes.legend(frameon=False, labelcolor=GREY)
    for line in legend.get_lines():
        line.set_linewidth(2.5)
    figure.savefig(path, transparent=True, bbox_inches="tight", metadata={"Date": None})
    pyplot.close(figure)
