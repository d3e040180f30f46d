"""The rows of compare.py as a page and a plot, a section a machine."""

import statistics

import llama_cpp
import machine
from chart import Chart
from engines import LARGE_STEP, STEP_ROWS
from workloads import SUBJECTS

COLOURS = ("#0b6", "#06c", "#c60", "#808")

HEAD = f"""# Speed on a CPU, beside llama.cpp

Made by `./dev bench against-llama-cpp --model SmolLM2-135M-Instruct.Q4_1.gguf` from `cpu.jsonl`; do not edit.

llama.cpp is the copy in {llama_cpp.PACKAGE} {llama_cpp.VERSION}, built for the machine (`GGML_NATIVE`); it gets the best of the
settings tried. The given file is requantised with its own `llama-quantize --allow-requantize`, and both engines read
the same files. Figures are medians over pairs of runs, the two engines in turn; a ratio is taken within a pair. In each
run an engine warms up, repeats the workload and keeps its best. *Reading the weights* is what the threads get from
memory by reading the model's own packed bytes, in the order of a step, between our runs: the roofline of decoding; the
*share* of it is what our steps reach, taken within a run. *Others' CPU* is the share of the cores that other processes
had during a pair, loading included. Our decode rate is by the wall clock over whole steps, sampling included;
llama.cpp's tools sample nothing. The speeds are those of a machine in an hour; the ratios are meant to be compared.

![Times llama.cpp's speed](cpu.svg)
"""


def case_figures(rows, here, subject, case):
    """Medians over the pairs of a workload; None where there are none."""
    pairs = rows.select(**here, kind="pair", subject=subject.name, workload=case.workload.name)
    if not pairs:
        return None
    ratios = [row["ours"] / row["theirs"] for row in pairs]
    shares = [row["weights_gb_per_s"] / row["bandwidth_gb_per_s"] for row in pairs]
    return {"theirs": median(pairs, "theirs"), "ours": median(pairs, "ours"), "ratio": statistics.median(ratios),
            "lowest": min(ratios), "highest": max(ratios), "share": statistics.median(shares),
            "bandwidth": median(pairs, "bandwidth_gb_per_s"), "others": max(row["others"] for row in pairs),
            "pairs": len(pairs), **{name: pairs[-1][name] for name in ("settings", "backend", "file")}}


def step_figures(rows, here, subject):
    """{rows: medians over runs}, empty where there are none."""
    runs = [{int(m): ms for m, ms in row["ms"].items()}
            for row in rows.select(**here, kind="steps", subject=subject.name)]
    if not runs:
        return {}
    figures = {}
    for m in STEP_ROWS:
        bounds = [max(run[1], m * run[LARGE_STEP] / LARGE_STEP) for run in runs]
        figures[m] = {"ms": statistics.median(run[m] for run in runs),
                      "over_one": statistics.median(run[m] / run[1] for run in runs),
                      "bound": statistics.median(bounds),
                      "over_bound": statistics.median(run[m] / bound for run, bound in zip(runs, bounds))}
    return figures


def median(rows, field):
    return statistics.median(row[field] for row in rows)


def meets(value, bar, at_most=False):
    return bar is None or (value <= bar if at_most else value >= bar)


def meets_bars(rows, here):
    for subject in SUBJECTS:
        for case in subject.cases:
            figures = case_figures(rows, here, subject, case)
            if figures and not (meets(figures["ratio"], case.bar) and meets(figures["share"], case.bandwidth_bar)):
                return False
        if not all(meets(f["over_bound"], subject.step_bar, True) for f in step_figures(rows, here, subject).values()):
            return False
    return True


def bar_text(value, bar, form, at_most=False):
    """The bar and whether it is reached."""
    return "—" if bar is None else form.format(bar) + ("" if meets(value, bar, at_most) else ", **not reached**")


def case_table(measured):
    lines = ["| workload | llama.cpp, tokens/s | reprise, tokens/s | ratio (lowest … highest) | bar | share of reading "
             "the weights | bar | reading the weights, GB/s | pairs | others' CPU, at most |",
             "|---|---:|---:|---:|---|---:|---|---:|---:|---:|"]
    for case, f in measured:
        share = f"{f['share']:.0%}" if case.workload.streams == 1 and case.workload.generate else "—"
        lines.append(
            f"| {case.workload.title} | {f['theirs']:.0f} | {f['ours']:.0f} "
            f"| **{f['ratio']:.2f}** ({f['lowest']:.2f} … {f['highest']:.2f}) | {bar_text(f['ratio'], case.bar, '{:g}')} "
            f"| {share} | {bar_text(f['share'], case.bandwidth_bar, '{:.0%}')} | {f['bandwidth']:.1f} "
            f"| {f['pairs']} | {f['others']:.0%} |")
    return lines


def step_table(figures, bar):
    lines = ["", f"A step that decodes m streams, T(m), beside the larger of T(1) and m times T({LARGE_STEP}) / "
             f"{LARGE_STEP}, what a row takes where arithmetic decides:", "",
             "| m | T(m), ms | over T(1) | bound, ms | T(m) over it | bar |", "|---:|---:|---:|---:|---:|---|"]
    for m, f in figures.items():
        lines.append(f"| {m} | {f['ms']:.2f} | {f['over_one']:.2f} | {f['bound']:.2f} | {f['over_bound']:.2f} | "
                     f"{bar_text(f['over_bound'], bar, '{:g}', at_most=True)} |")
    return lines


def subject_section(rows, here, subject):
    measured = [(case, f) for case in subject.cases if (f := case_figures(rows, here, subject, case))]
    steps = step_figures(rows, here, subject)
    if not measured and not steps:
        return []
    lines = ["", f"### {subject.title}", ""]
    if measured:
        settings = ", ".join(f"{case.workload.name} `{f['settings']}`" for case, f in measured)
        last = measured[-1][1]
        lines += [f"`{last['file']}`; our kernels: `{last['backend']}`; llama.cpp's settings: {settings}.", "",
                  *case_table(measured)]
    return lines + (step_table(steps, subject.step_bar) if steps else [])


def machine_section(rows, here):
    last = rows.select(**here)[-1]
    lines = ["", f"## {here['cpu']}", "", f"{machine.sentence(last)}. {here['threads']} threads for both."]
    for subject in SUBJECTS:
        lines += subject_section(rows, here, subject)
    return lines


def plot(rows, path):
    """Each workload's ratio on every machine, and its bar."""
    cases = [(subject, case) for subject in SUBJECTS for case in subject.cases]
    ratios = [[(case_figures(rows, here, *both) or {}).get("ratio") for both in cases] for here in rows.machines()]
    bars = [case.bar for _, case in cases]
    top = max((value for series in (*ratios, bars) for value in series if value is not None), default=1) * 1.1
    chart = Chart([f"{subject.name}, {case.workload.name}" for subject, case in cases], top, "",
                  "times llama.cpp's speed", width=900, height=460, label_height=150)
    for here, colour, values in zip(rows.machines(), COLOURS, ratios):
        chart.points(here["cpu"].split(" (")[0], colour, values)
    chart.marks("bar", "#888", bars)
    chart.save(path)


def write(rows, folder):
    plot(rows, folder / "cpu.svg")
    lines = [line for here in rows.machines() for line in machine_section(rows, here)]
    (folder / "cpu.md").write_text(HEAD + "\n".join(lines) + "\n")
