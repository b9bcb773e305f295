"""Chrome's trace-event format: JSON that ui.perfetto.dev and chrome://tracing open."""

import json
from collections.abc import Iterator
from itertools import islice

from trnlab.report.timeline import Timeline
from trnlab.trace import CAUSES

_LINES = 1 << 15  # events a piece


def chrome(drawn: Timeline) -> Iterator[bytes]:
    """A timeline as JSON, in pieces; times in microseconds with three decimals."""
    lines = _events(drawn)
    yield b'{"traceEvents":[\n' + next(lines).encode()
    while piece := list(islice(lines, _LINES)):
        yield "".join(f",\n{line}" for line in piece).encode()
    yield b"\n]}\n"


def _events(drawn: Timeline) -> Iterator[str]:
    yield f'{{"ph":"M","pid":1,"name":"process_name","args":{{"name":{json.dumps(drawn.title)}}}}}'
    for track, name in enumerate(drawn.tracks):
        yield f'{{"ph":"M",{_on(track)},"name":"thread_name","args":{{"name":{json.dumps(name)}}}}}'
    for track, begin, end, name, said in drawn.extra:
        yield _box(track, begin, end, json.dumps(name), json.dumps(said))
    yield from _spans(drawn)
    yield from _arrows(drawn)
    for name, (times, values) in drawn.counters.items():
        head = f'{{"ph":"C","pid":1,"name":{json.dumps(name)}'
        for at, value in zip(times, values, strict=True):
            said = json.dumps({"value": value}, allow_nan=False)
            yield f'{head},"ts":{at / 1000:.3f},"args":{said}}}'


def _spans(drawn: Timeline) -> Iterator[str]:
    trace = drawn.trace
    names, wheres, causes = (
        [json.dumps(text) for text in texts] for texts in (trace.names, trace.wheres, CAUSES)
    )
    columns = (drawn.track, drawn.begin, drawn.end, drawn.visible)
    columns += (trace.name, trace.where, trace.cause)
    rows = zip(*(column[drawn.order].tolist() for column in columns), strict=True)
    for track, begin, end, visible, name, where, cause in rows:
        said = (
            f'{{"where":{wheres[where]},"cause":{causes[cause]},"result visible (ns)":{visible}}}'
        )
        yield _box(track, begin, end, names[name], said)


def _arrows(drawn: Timeline) -> Iterator[str]:
    track, begin, end = drawn.track.tolist(), drawn.begin.tolist(), drawn.end.tolist()
    cause = drawn.trace.cause.tolist()
    for blocker, span in drawn.arrows:
        # A viewer looks for the slice that is open here; at its very end it is closed already.
        leaves = max(begin[blocker], end[blocker] - 1)
        same = f'"id":{span + 1},"cat":"wait","name":"{CAUSES[cause[span]]}"'
        yield f'{{"ph":"s",{same},{_on(track[blocker])},"ts":{leaves / 1000:.3f}}}'
        yield f'{{"ph":"f","bp":"e",{same},{_on(track[span])},"ts":{begin[span] / 1000:.3f}}}'


def _box(track: int, begin: int, end: int, name: str, said: str) -> str:
    when = f'"ts":{begin / 1000:.3f},"dur":{(end - begin) / 1000:.3f}'
    return f'{{"ph":"X",{_on(track)},{when},"name":{name},"args":{said}}}'


def _on(track: int) -> str:
    return f'"pid":1,"tid":{track + 1}'
