"""Files that open at ui.perfetto.dev: Chrome JSON, or Perfetto's own protobuf."""

import os
from os import PathLike
from pathlib import Path

from trnlab.errors import TrnlabError, UnknownName
from trnlab.report.chrome import chrome
from trnlab.report.protobuf import protobuf
from trnlab.report.timeline import timeline
from trnlab.trace import Trace

WRITERS = {".json": chrome, ".pftrace": protobuf, ".perfetto-trace": protobuf}


def save(trace: Trace, path: str | PathLike[str]) -> Path:
    """Writes a trace for ui.perfetto.dev and returns where; the same trace gives the same bytes.

    The suffix chooses: ``.json`` is the Chrome trace-event format, ``.pftrace`` and
    ``.perfetto-trace`` are Perfetto's protobuf. The file appears complete or not at all. Raises
    UnknownName for another suffix, MissingExtra where the protobuf part is not installed and
    TrnlabError where the folder does not exist.
    """
    path = Path(path)
    if path.suffix not in WRITERS:
        raise UnknownName("trace format", path.suffix or path.name, WRITERS)
    if not path.parent.is_dir():
        raise TrnlabError(f"cannot save '{path.name}': there is no folder '{path.parent}'")
    pieces = WRITERS[path.suffix](timeline(trace))
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with partial.open("wb") as file:
            file.writelines(pieces)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path
