"""Tables of a profile that say what was profiled: a row or a few, for all of the run."""

from typing import Any

from trnlab import __version__
from trnlab.machine.chip import Chip
from trnlab.report.counters import counters
from trnlab.report.energy import cores_used
from trnlab.trace import Trace

SCHEMA_VERSION = "7.4.0"


def metadata(trace: Trace, chip: Chip) -> dict[str, list[Any]]:
    """What the profile was taken of, as one row of Metadata."""
    core, ghz = chip.core, 1e-9
    total = counters(trace, chip)["total_time"]
    found = {
        "profile_schema_version": SCHEMA_VERSION,
        "num_physical_cores": cores_used(trace),
        "vnc_enabled": cores_used(trace) > 1,
        "first_hw_timestamp": 0,
        "last_hw_timestamp": round(total * 1e9),
        "dma_ddr_bandwidth": core.dma.engines * core.dma.rate,
        "num_dma_engines_per_neuroncore": core.dma.engines,
        "hbm_ddr_bandwidth": chip.hbm.rate / chip.hbm.stacks,
        "tensor_engine_num_rows": core.array.rows,
        "tensor_engine_num_cols": core.array.columns,
        "tensor_engine_clock_freq": core.engine("tensor").hz * ghz,
        "ticks_per_nanosec": 1,
        "profile_name": str(trace.meta.get("kernel", "")),
        "is_simulation": True,
    }
    for name in ("vector", "scalar", "gpsimd"):
        found[f"{name}_engine_clock_freq"] = core.engine(name).hz * ghz
        found[f"{name}_engine_num_channels"] = core.lanes
    return {name: [value] for name, value in found.items()}


def header(trace: Trace) -> dict[str, list[Any]]:
    """What ran, as one row of NeffHeader."""
    cores = cores_used(trace)
    return {
        "network_name": [str(trace.meta.get("kernel", ""))], "neuroncore_count": [cores],
        "logical_neuroncore_count": [1], "pcore_count_per_lnc": [cores],
    }  # fmt: skip


def execution(trace: Trace, chip: Chip) -> dict[str, list[Any]]:
    """The one run, as a row of ExecutionInfo."""
    return {
        "execution_index": [0], "execution_start_ts": [0],
        "execution_end_ts": [round(counters(trace, chip)["total_time"] * 1e9)],
    }  # fmt: skip


def warnings(trace: Trace) -> dict[str, list[Any]]:
    """What whoever reads the profile has to know, as rows of Warning."""
    notes = trace.meta.get("notes", ())
    said = [f"written by trnlab {__version__}: simulated, and measured on no device"]
    said += [str(note) for note in notes] if isinstance(notes, (list, tuple)) else []
    return {"message": said, "category": ["Simulated", *["Note"] * (len(said) - 1)]}
