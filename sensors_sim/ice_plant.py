"""An ice plant behind one Sparkplug B edge node: ten devices, one metric `measure` each.

The node's session rules live here: births with aliases, `seq` 0-255, `bdSeq` in birth and death, rebirth
every ten minutes and on request. The connection that carries them is `mqtt.py`'s; no faults here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from iot_pipeline.protocols.sparkplug_b import (
    BIRTH_DEATH_SEQUENCE,
    DataType,
    MessageType,
    Metric,
    Payload,
    SparkplugError,
    SparkplugTopic,
    decode_payload,
    encode_payload,
)
from sensors_sim.fleet import Frame, Message, Reading, SampledFleet, from_us, to_us
from sensors_sim.shapes import SECOND_US, daily, key_of, noise, uniform, wave, weekly

GROUP = "ice_plant"
NODE = "sensors"
METRIC = "measure"
REBIRTH = "Node Control/Rebirth"
REBIRTH_EVERY_US = 600 * SECOND_US
COMMAND_TOPIC = str(SparkplugTopic(GROUP, MessageType.NCMD, NODE))
NOISE_SHARE = 0.13


@dataclass(frozen=True, slots=True)
class Device:
    """A device and the range that its value never leaves unless a fault makes it."""

    name: str
    kind: str
    description: str
    low: float
    high: float
    unit: str

    @property
    def noise(self) -> float:
        """Standard deviation of the device's own noise, in its unit."""
        return NOISE_SHARE * (self.high - self.low) / 2

    def value(self, seed: int, at_us: int) -> float:
        """The measure at an instant: the middle of the range, the day, the week, a slow swing and noise.

        The shares add up to less than one half-range even at the limit of the noise.
        """
        key = key_of(self.name)
        swing = int((900 + 900 * uniform(key)) * SECOND_US)
        shape = (
            0.30 * daily(at_us, 14 + 2 * uniform(key, 1))
            + 0.12 * weekly(at_us, 2.5)
            + 0.10 * wave(at_us, swing)
            + NOISE_SHARE * noise(seed, key, at_us)
        )
        return round((self.low + self.high) / 2 + shape * (self.high - self.low) / 2, 4)


DEVICES = (
    Device("device_1", "voltmeter", "Compressor", 220, 230, "V"),
    Device("device_2", "ammeter", "Compressor", 45, 50, "A"),
    Device("device_3", "pressure_sensor", "Compressor inlet pressure", 0.45, 0.55, "bar"),
    Device("device_4", "pressure_sensor", "Compressor outlet pressure", 9.5, 10.0, "bar"),
    Device("device_5", "temperature_sensor", "Compressor outlet temperature", 52, 55, "°C"),
    Device("device_6", "temperature_sensor", "Condenser outlet temperature", 29, 31, "°C"),
    Device("device_7", "flow_meter", "Condenser outlet flow", 3.0, 3.3, "liter per hour"),
    Device("device_8", "temperature_sensor", "Thermal expansion valve outlet temperature", -16, -15, "°C"),
    Device("device_9", "temperature_sensor", "Brine temperature", -5, -4, "°C"),
    Device("device_10", "temperature_sensor", "Evaporator outlet temperature", -6, -5, "°C"),
)
# Alias 0 is the node's rebirth switch; devices count from 1.
_ALIASES = {device.name: alias for alias, device in enumerate(DEVICES, start=1)}
_BY_NAME = {device.name: device for device in DEVICES}


def device_id(name: str) -> str:
    """The device as the pipeline names it."""
    return f"{GROUP}/{NODE}/{name}"


class IcePlant(SampledFleet):
    """The edge node. `rate_factor` multiplies one reading a second of each device (10: one in 0.1 s).

    A connection calls `next_will` before each CONNECT and `session_started` after each CONNACK; the next
    `messages` then begins with the births.
    """

    name = "ice_plant"

    def __init__(self, *, seed: int, start: datetime, rate_factor: float = 1.0) -> None:
        super().__init__(start=start, period_us=int(SECOND_US / rate_factor), slots=len(DEVICES))
        self._seed = seed
        self._seq = 0
        # Not 0: after a crash and a quick restart the broker may still send the old session's will, which
        # must not match the new session's birth.
        self._bd_seq = to_us(start) // SECOND_US % 256
        self._birth_due = True
        self._born_ms = -1
        self._last_birth = to_us(start) // REBIRTH_EVERY_US

    def next_will(self, now: datetime) -> Message:
        """Begin the next session: its bdSeq, in the NDEATH that the broker is to publish if we vanish."""
        self._bd_seq = (self._bd_seq + 1) % 256
        return self.death(now)

    def death(self, now: datetime) -> Message:
        """The NDEATH of the current session, also published by hand before a clean disconnect."""
        now_ms = to_us(now) // 1000
        payload = Payload(timestamp_ms=now_ms, metrics=[self._bd_seq_metric(now_ms)])
        return Message(now, str(SparkplugTopic(GROUP, MessageType.NDEATH, NODE)), encode_payload(payload), qos=1)

    def session_started(self) -> None:
        """A connection was accepted: births come before anything else."""
        self._birth_due = True

    def command(self, payload: bytes) -> bool:
        """Take an NCMD. A rebirth request makes births due; anything else is ignored (returns False)."""
        try:
            metrics = decode_payload(payload).metrics
        except SparkplugError:
            return False
        wanted = any(metric.value is True and (metric.name == REBIRTH or metric.alias == 0) for metric in metrics)
        self._birth_due = self._birth_due or wanted
        return wanted

    def frames(self, now: datetime) -> Iterator[Frame]:
        """Births when they are due, then the turns."""
        if self._birth_due:
            yield from self._births(to_us(now))
        yield from super().frames(now)

    def sample(self, turn: int, at_us: int) -> Iterator[Frame]:
        """One device's measure; every ten minutes the births of all, which hold the measures of that instant."""
        if at_us // REBIRTH_EVERY_US != self._last_birth:
            self._last_birth = at_us // REBIRTH_EVERY_US
            yield from self._births(at_us)
        elif at_us // 1000 != self._born_ms:  # else the birth has told the measure of this instant
            yield self._frame(MessageType.DDATA, DEVICES[turn % len(DEVICES)], at_us)

    def _births(self, at_us: int) -> Iterator[Frame]:
        self._birth_due = False
        self._born_ms = at_us // 1000
        yield Frame(str(SparkplugTopic(GROUP, MessageType.NBIRTH, NODE)), at_us, [], vital=True)
        for device in DEVICES:
            yield self._frame(MessageType.DBIRTH, device, at_us)

    def _frame(self, kind: MessageType, device: Device, at_us: int) -> Frame:
        topic = str(SparkplugTopic(GROUP, kind, NODE, device.name))
        whole_ms = at_us // 1000 * 1000  # what the payload can tell
        value = device.value(self._seed, whole_ms)
        reading = Reading(device_id(device.name), METRIC, whole_ms, value, device.noise)
        return Frame(topic, at_us, [reading], vital=kind is MessageType.DBIRTH)

    def encode(self, frame: Frame) -> Message:
        """NBIRTH (seq 0), DBIRTH (names and aliases, `Properties/...`) or DDATA (alias only); QoS 0."""
        _, _, kind, _, *device = frame.topic.split("/")
        now_ms = frame.due_us // 1000
        if kind == MessageType.NBIRTH:
            self._seq = 0
            rebirth = Metric(REBIRTH, 0, now_ms, DataType.BOOLEAN, value=False)
            metrics = [self._bd_seq_metric(now_ms), rebirth]
        elif kind == MessageType.DBIRTH:
            metrics = _birth_metrics(_BY_NAME[device[0]], frame, now_ms)
        else:
            alias = _ALIASES[device[0]]
            metrics = [
                Metric("", alias, reading.at_us // 1000, DataType.DOUBLE, reading.value, is_historical=frame.late)
                for reading in frame.readings
            ]
        payload = encode_payload(Payload(now_ms, self._seq, metrics))
        self._seq = (self._seq + 1) % 256
        return Message(from_us(frame.due_us), frame.topic, payload, qos=0)

    def _bd_seq_metric(self, now_ms: int) -> Metric:
        return Metric(BIRTH_DEATH_SEQUENCE, None, now_ms, DataType.INT64, self._bd_seq)


def _birth_metrics(device: Device, frame: Frame, now_ms: int) -> list[Metric]:
    # A birth must announce the metric even when a fault has taken its value away.
    measure = Metric(METRIC, _ALIASES[device.name], now_ms, DataType.DOUBLE, is_null=not frame.readings)
    for reading in frame.readings:
        measure.timestamp_ms, measure.value = reading.at_us // 1000, reading.value
    about = {"type": device.kind, "description": device.description, "unit": device.unit}
    texts = [Metric(f"Properties/{name}", None, now_ms, DataType.STRING, text) for name, text in about.items()]
    return [measure, *texts]
