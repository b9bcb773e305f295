"""Perfetto's own format: strings once, lanes in order, arrows from what held a span up."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

import numpy as np

from trnlab.errors import MissingExtra
from trnlab.report.timeline import Timeline
from trnlab.trace import CAUSES

if TYPE_CHECKING:
    from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import (
        TracePacket,
        TrackDescriptor,
        TrackEvent,
    )
    from perfetto.trace_builder.proto_builder import TraceProtoBuilder

_EVENTS = 1 << 14  # events a piece, which bounds memory
_SEQUENCE = 1
_CLEARED, _NEEDED = 1, 2  # flags: numbered strings begin here, numbered strings are used
_BEGIN, _END, _COUNTER = (cast("TrackEvent.Type", kind) for kind in (1, 2, 4))
_EXPLICIT = cast("TrackDescriptor.ChildTracksOrdering", 3)  # children are shown by rank
_ROOT = 1  # uuid of the track that holds all others and shows the run
_ARGS = ("where", "cause", "result visible (ns)")


def protobuf(drawn: Timeline) -> Iterator[bytes]:
    """A timeline as Perfetto protobuf, in pieces that concatenate; needs the extra ``report``."""
    try:
        from perfetto.trace_builder.proto_builder import TraceProtoBuilder
    except ImportError as missing:
        raise MissingExtra("a Perfetto protobuf file ('.json' does not)", "report") from missing
    return _pieces(drawn, TraceProtoBuilder)


def _pieces(drawn: Timeline, builder: "type[TraceProtoBuilder]") -> Iterator[bytes]:
    head = builder()
    _strings(head.add_packet(), drawn)
    _tracks(head, drawn)
    for track, begin, end, name, said in drawn.extra:
        packet = _event(head, _BEGIN, track, begin)
        packet.track_event.name = name
        for key, value in said.items():
            note = packet.track_event.debug_annotations.add(name=key)
            if isinstance(value, int):
                note.int_value = value
            else:
                note.string_value = value
        _event(head, _END, track, end)
    _counters(head, drawn)
    yield head.serialize()
    yield from _spans(drawn, builder)


def _strings(packet: "TracePacket", drawn: Timeline) -> None:
    """Numbers every string once, from 1: names, keys of arguments, then places and causes."""
    packet.trusted_packet_sequence_id = _SEQUENCE
    packet.sequence_flags = _CLEARED | _NEEDED
    packet.first_packet_on_sequence = True
    table = packet.interned_data
    for number, text in enumerate(drawn.trace.names, 1):
        table.event_names.add(iid=number, name=text)
    for number, text in enumerate(_ARGS, 1):
        table.debug_annotation_names.add(iid=number, name=text)
    for number, text in enumerate((*drawn.trace.wheres, *CAUSES), 1):
        table.debug_annotation_string_values.add(iid=number, str=text.encode())


def _numbers(drawn: Timeline) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Numbers, as `_strings` gives them, of the name, place and cause of each span."""
    trace = drawn.trace
    name, where, cause = (
        column.astype(np.int64) + 1 for column in (trace.name, trace.where, trace.cause)
    )
    return name, where, cause + len(trace.wheres)


def _tracks(head: "TraceProtoBuilder", drawn: Timeline) -> None:
    """One root for the run; below it tracks by rank, and equal names are drawn as one."""
    for track, name in enumerate(drawn.tracks):
        about = head.add_packet().track_descriptor
        about.uuid = _ROOT + track
        if track == 0:
            about.name, about.child_ordering = drawn.title, _EXPLICIT
            continue
        about.name, about.parent_uuid = name, _ROOT
        about.sibling_order_rank = drawn.tracks.index(name)


def _counters(head: "TraceProtoBuilder", drawn: Timeline) -> None:
    for track, (name, (times, values)) in enumerate(drawn.counters.items(), len(drawn.tracks)):
        about = head.add_packet().track_descriptor
        about.uuid, about.parent_uuid, about.name = _ROOT + track, _ROOT, name
        about.sibling_order_rank = track
        about.counter.unit_name = name.split()[-1]
        for at, value in zip(times, values, strict=True):
            _event(head, _COUNTER, track, at).track_event.double_counter_value = value


def _spans(drawn: Timeline, builder: "type[TraceProtoBuilder]") -> Iterator[bytes]:
    """Begins and ends in order of time; on one track an end comes before a begin of that time."""
    leaving, arriving = _arrows(drawn)
    times = np.stack([drawn.begin[drawn.order], drawn.end[drawn.order]], axis=1).ravel()
    events = np.argsort(times, kind="stable")
    name, where, cause = _numbers(drawn)
    for first in range(0, len(events), _EVENTS):
        piece, some = builder(), events[first : first + _EVENTS]
        spans = drawn.order[some // 2]
        columns = (some % 2, spans, drawn.track[spans], times[some], drawn.visible[spans])
        columns += (name[spans], where[spans], cause[spans])
        for ends, span, track, at, visible, called, place, why in zip(
            *(column.tolist() for column in columns), strict=True
        ):
            event = _event(piece, _END if ends else _BEGIN, track, at).track_event
            if ends:
                continue
            event.name_iid = called
            event.debug_annotations.add(name_iid=1, string_value_iid=place)
            event.debug_annotations.add(name_iid=2, string_value_iid=why)
            event.debug_annotations.add(name_iid=3, int_value=visible)
            event.flow_ids.extend(leaving.get(span, ()))
            event.terminating_flow_ids.extend(arriving.get(span, ()))
        yield piece.serialize()


def _arrows(drawn: Timeline) -> tuple[dict[int, list[int]], dict[int, list[int]]]:
    """Numbers of the arrows that leave and that reach each span."""
    leaving: dict[int, list[int]] = {}
    for blocker, span in drawn.arrows:
        leaving.setdefault(blocker, []).append(span + 1)
    return leaving, {span: [span + 1] for _, span in drawn.arrows}


def _event(
    piece: "TraceProtoBuilder", kind: "TrackEvent.Type", track: int, at: int
) -> "TracePacket":
    packet = piece.add_packet()
    packet.timestamp = at
    packet.trusted_packet_sequence_id = _SEQUENCE
    packet.sequence_flags = _NEEDED
    packet.track_event.type = kind
    packet.track_event.track_uuid = _ROOT + track
    return packet
