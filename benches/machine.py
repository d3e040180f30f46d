"""What a benchmark row carries about where it was measured, and how quiet the machine was. Standard library only."""

import os
import pathlib
import resource
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
_AT_PRIORITY = "REPRISE_BENCH_AT_PRIORITY"


def cpu_model():
    """The name and what tells generations apart, as hosts often hide it in the name."""
    fields = {}
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    generation = ", ".join(f"{key} {fields[key]}" for key in ("cpu family", "model") if key in fields)
    return fields.get("model name", "unknown") + (f" ({generation})" if generation else "")


def commit():
    described = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    return described.stdout.strip() or "unknown"


def description():
    """Fields of every row."""
    memory = next(line for line in pathlib.Path("/proc/meminfo").read_text().splitlines() if "MemTotal" in line)
    return {"cpu": cpu_model(), "cores": os.cpu_count(), "memory_gib": round(int(memory.split()[1]) / 2**20, 1),
            "commit": commit(), "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())}


def sentence(fields):
    return (f"{fields['cpu']}, {fields['cores']} cores, {fields['memory_gib']} GiB of memory; "
            f"commit {fields['commit']}, {fields['date']}")


def at_priority(nice):
    """Runs this very script again at that priority and exits with its code; returns in the run that has it.

    The same priority holds for all that is measured: on a machine with other work it keeps that work from deciding
    a comparison. Raising it needs root.
    """
    if nice == 0 or os.environ.get(_AT_PRIORITY):
        return
    process = subprocess.Popen([sys.executable, *sys.argv], env={**os.environ, _AT_PRIORITY: "1"},
                               start_new_session=True, preexec_fn=lambda: _set_priority(nice))
    # Whatever ends this process ends all of the other session.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: os.killpg(process.pid, number))
    sys.exit(process.wait())


def _set_priority(nice):
    os.nice(nice)
    # Where the kernel groups processes by session, `nice` only counts within the group.
    group = pathlib.Path("/proc/self/autogroup")
    if group.exists():
        group.write_text(str(nice))


class Disturbance:
    """Share of the cores that went to anything but this process's children between start and end.

    Children count when they have been waited for. What the hypervisor took away ("steal") counts as others'.
    """

    def __enter__(self):
        self._busy, self._own, self._time = _busy_seconds(), _children_seconds(), time.monotonic()
        return self

    def __exit__(self, *unused):
        wall = time.monotonic() - self._time
        others = (_busy_seconds() - self._busy) - (_children_seconds() - self._own)
        self.share = max(0.0, others / (wall * os.cpu_count()))


def wait_until_quiet(share, timeout_s):
    """Waits until others use less than this share of the cores, but no longer than the time given."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        with Disturbance() as others:
            time.sleep(0.5)
        if others.share < share:
            return


def _busy_seconds():
    # user nice system idle iowait irq softirq steal: ticks since boot.
    user, nice, system, _, _, irq, softirq, steal = map(
        int, pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def _children_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
