"""The node `speech`: audio in; accepted words out on `instruction`; every utterance, refused ones too, on `~/heard`."""

from __future__ import annotations

import dataclasses
import queue
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.duration import Duration
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.exceptions import ParameterException
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.task import Future
from rclpy.time import Time
from std_msgs.msg import String

from refseg_ros.msg import Heard as HeardMessage
from refseg_ros.nodes import parameters
from refseg_ros.nodes.audio_gaps import HELD_BACK, LOST, AudioGaps
from refseg_ros.nodes.audio_messages import frame_of, message_type, samples_of
from refseg_ros.nodes.diagnostics import array
from refseg_ros.nodes.running import run_until_told
from refseg_ros.nodes.speech_parameters import SPECS, check, endpoint_config, trust
from refseg_ros.speech.audio import SpeechError, mono, read_wav
from refseg_ros.speech.endpoint import Utterance, UtteranceDetector
from refseg_ros.speech.listener import Heard, judge_utterance, recognise
from refseg_ros.speech.recognizer import Recognizer, WhisperRecognizer
from refseg_ros.srv import Transcribe

RecognizerFactory = Callable[[dict[str, Any]], Recognizer]
MOST_WAITING = 8  # utterances; speech that is recognised a minute later would surprise everybody
TICK_S = 0.1
PATIENCE_S, LAST_WORDS_S = 5.0, 1.0  # at the end: for the utterance in work, and for answers to reach who waits
STOPPED = "the node stopped before it was recognised; say it again"
AUDIO_QOS = QoSProfile(depth=200, reliability=ReliabilityPolicy.BEST_EFFORT)


def load_recognizer(values: dict[str, Any]) -> Recognizer:
    """The recogniser that the parameters name. Raises SpeechError."""
    return WhisperRecognizer(values["model"], values["device"], values["threads"], values["language"])


@dataclasses.dataclass(eq=False)
class Job:
    """work: gives what was heard, on the worker's thread; answer: gets it, there too."""

    work: Callable[[], Heard]
    answer: Callable[[Heard], None]


class SpeechNode(Node):
    """Callbacks find utterances; one thread recognises them, in order, and publishes. Raises SpeechError."""

    def __init__(self, factory: RecognizerFactory = load_recognizer) -> None:
        super().__init__("speech")
        parameters.declare(self, SPECS)
        self._values = parameters.values(self, SPECS)
        problem = check([self.get_parameter(name) for name in SPECS])
        if not problem.successful:
            raise SpeechError(f"{problem.reason}.")
        audio_type = message_type(self._values["audio_transport"])
        self._recognizer = factory(self._values)
        self._detector = UtteranceDetector(endpoint_config(self._values))
        self.counts: Counter[str] = Counter()
        self._last_problem, self._last_text, self._audio_problem = "", "", ""
        self._latencies_ms: deque[float] = deque(maxlen=200)
        self._last_audio_s, self._silent_ticks, self._frame_id = 0.0, 0, ""
        self._gaps, self._ended_by_silence = AudioGaps(), False
        self.add_on_set_parameters_callback(check)
        self.add_post_set_parameters_callback(self._on_parameters)
        self._instruction = self.create_publisher(String, "instruction", 10)
        self._heard = self.create_publisher(HeardMessage, "~/heard", 10)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._jobs: queue.Queue[Job | None] = queue.Queue()
        self._closing, self._unanswered = False, 0  # calls of ~/transcribe
        self._thread = threading.Thread(target=self._work, name="recognition", daemon=True)
        self._thread.start()
        self.create_subscription(
            audio_type, "audio", self._on_audio, AUDIO_QOS,
            event_callbacks=SubscriptionEventCallbacks(message_lost=self._on_audio_lost),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )  # fmt: skip
        # A callback that awaits holds its group: in the default one, no audio would be heard meanwhile.
        self.create_service(Transcribe, "~/transcribe", self._on_transcribe, callback_group=ReentrantCallbackGroup())
        self.create_timer(TICK_S, self._end_when_audio_stops)
        self.create_timer(1.0, self._publish_diagnostics)
        self.get_logger().info(f"listening on {self.resolve_topic_name('audio')} with {self._recognizer.name}")

    def close(self) -> None:
        """End the recognition. What is being said or waits is refused, and every call answered, before the end."""
        self._closing = True
        waiting, utterance = self._waiting(), self._detector.flush()
        if rclpy.ok():
            for job in waiting:
                job.answer(Heard("", 0.0, False, STOPPED, 0.0))
            if utterance is not None:
                self._take(utterance)
        self._jobs.put(None)
        self._thread.join(PATIENCE_S)
        if not rclpy.ok():
            return
        end = time.monotonic() + LAST_WORDS_S
        while self._unanswered and self.executor is not None and time.monotonic() < end:
            self.executor.spin_once(timeout_sec=0.05)
        self._heard.wait_for_all_acked(Duration(seconds=LAST_WORDS_S))

    def _waiting(self) -> list[Job]:
        """Takes what nobody has begun to recognise out of the queue."""
        with self._jobs.mutex:
            jobs = [job for job in self._jobs.queue if job is not None]
            self._jobs.queue.clear()
        return jobs

    # Audio

    def _on_audio(self, message: Any, info: Any) -> None:
        self.counts["audio_messages"] += 1
        self._last_audio_s, self._silent_ticks = time.monotonic(), 0
        gap, pause_s = self._gaps.before(info), self._gaps.since_published_s(info)
        held_back = self._ended_by_silence and 0 < pause_s <= self._values["end_silence_s"]
        self._ended_by_silence = False
        if not self._values["listening"]:
            self.counts["audio_ignored"] += 1
            return
        try:
            samples = mono(samples_of(message), self._values["channels"])
        except SpeechError as error:
            self.counts["audio_unusable"] += 1
            self._audio_problem = self._last_problem = str(error)
            self._detector.lose(LOST)
            return
        self._audio_problem, self._frame_id = "", frame_of(message)
        if gap or held_back:
            self._detector.lose(LOST if gap else HELD_BACK)
        for utterance in self._detector.feed(samples):
            self._take(utterance)

    def _on_audio_lost(self, lost: Any) -> None:
        if self._gaps.reported(lost.total_count_change):
            self._detector.lose(LOST)

    def _end_when_audio_stops(self) -> None:
        """A push-to-talk microphone falls silent by sending nothing.

        Counted in ticks: a node that stood still itself has one of them, and then the audio that waited meanwhile.
        """
        self._silent_ticks += 1
        if self._detector.speaking and self._silent_ticks * TICK_S > self._values["end_silence_s"]:
            utterance = self._detector.flush()
            self._ended_by_silence = True
            if utterance is not None:
                self._take(utterance)

    def _take(self, utterance: Utterance) -> None:
        """Queue an utterance, or report at once that it has to be dropped."""
        self.counts["utterances"] += 1
        ended, ended_s, frame_id = self.get_clock().now(), time.monotonic(), self._frame_id

        def answer(heard: Heard) -> None:
            latency_s = time.monotonic() - ended_s
            self._latencies_ms.append(1000 * latency_s)
            self._report(heard, ended, latency_s, frame_id, publish_instruction=True)

        limits = trust(self._values)
        if self._closing or self._jobs.qsize() >= MOST_WAITING:
            slow = "the recogniser is slower than the speech on this machine; say it again later"
            reason = STOPPED if self._closing else slow
            answer(Heard("", 0.0, False, reason, utterance.seconds))
        else:
            self._jobs.put(Job(lambda: judge_utterance(utterance, self._recognizer, limits), answer))

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._recognizer.hints = self._values["hints"]
            try:
                heard = job.work()
            except Exception as error:  # noqa: BLE001  (a thread that ends in silence would leave all speech unheard)
                heard = Heard("", 0.0, False, f"the recognition failed: {error!r}", 0.0)
            if rclpy.ok():
                job.answer(heard)

    def _report(
        self, heard: Heard, ended: Time, latency_s: float, frame_id: str, publish_instruction: bool
    ) -> HeardMessage:
        """Publish what was heard; its words as an instruction too, if they are one and that is wanted."""
        message = HeardMessage(
            text=heard.text, confidence=heard.confidence, accepted=heard.accepted, reason=heard.reason,
            duration_s=heard.seconds, latency_s=latency_s,
        )  # fmt: skip
        message.header.frame_id = frame_id
        message.header.stamp = (ended - Duration(seconds=heard.seconds)).to_msg()
        if heard.accepted:
            self.counts["accepted"] += 1
            self._last_text = heard.text
            if publish_instruction:
                self._instruction.publish(String(data=heard.text))
        else:
            self.counts["refused"] += 1
            self._last_problem = heard.reason
        self._heard.publish(message)
        verdict = "accepted" if heard.accepted else f"refused: {heard.reason}"
        self.get_logger().info(f"heard {heard.text!r} ({heard.confidence:.2f}), {verdict}")
        return message

    # Files

    async def _on_transcribe(self, request: Any, response: Any) -> Any:
        began, began_s = self.get_clock().now(), time.monotonic()
        try:
            if self._closing:
                raise SpeechError(STOPPED)
            samples = read_wav(request.path)
        except SpeechError as error:
            response.success, response.message = False, str(error)
            return response
        executor, limits = self.executor, trust(self._values)
        assert executor is not None
        future: Any = Future(executor=executor)

        def finish(heard: Heard) -> None:
            future.set_result(heard)
            executor.wake()  # the callback that waits is resumed in the next turn, which would else wait for an event

        def answer(heard: Heard) -> None:
            executor.create_task(finish, heard)  # by the executor itself: it runs what follows

        self._unanswered += 1
        self._jobs.put(Job(lambda: recognise(samples, self._recognizer, limits), answer))
        heard = await future
        self._unanswered -= 1
        ended = began + Duration(seconds=heard.seconds)
        response.heard = self._report(heard, ended, time.monotonic() - began_s, "", request.publish_instruction)
        response.success, response.message = True, heard.reason or "accepted"
        return response

    # Parameters and diagnostics

    def _on_parameters(self, changed: list[Any]) -> None:
        self._values |= {p.name: p.value for p in changed if p.name in SPECS}
        config, torn = endpoint_config(self._values), ""
        if config != self._detector.config or not self._values["listening"]:
            if config != self._detector.config and self._detector.speaking:
                torn = "a parameter changed while it was said; say it again"
                self._detector.lose(torn)
            utterance = self._detector.flush()
            if utterance is not None:  # whole where only `listening` changed, as when a button is let go
                self._take(utterance)
            self._detector = UtteranceDetector(config)
            if torn:
                self._detector.lose(torn)

    def _publish_diagnostics(self) -> None:
        level, message = DiagnosticStatus.OK, "listening"
        silent_s = time.monotonic() - self._last_audio_s
        if not self._values["listening"]:
            message = "the parameter listening is false: audio is ignored"
        elif not self.counts["audio_messages"]:
            level, message = DiagnosticStatus.WARN, "no audio has arrived; check the topic audio, its type and QoS"
        elif silent_s > 2.0:
            message = f"the last audio came {silent_s:.0f} s ago"
        if self._audio_problem:
            level, message = DiagnosticStatus.WARN, self._audio_problem
        values = {"recognizer": self._recognizer.name, "waiting": str(self._jobs.qsize())}
        values |= {k: str(v) for k, v in sorted({**self.counts, "audio_lost": self._gaps.lost}.items())}
        if self._latencies_ms:
            p50, p95 = np.percentile(list(self._latencies_ms), [50, 95])
            values |= {"latency_p50_ms": f"{p50:.0f}", "latency_p95_ms": f"{p95:.0f}"}
        values |= {"last_text": self._last_text, "last_problem": self._last_problem}
        pairs = [KeyValue(key=k, value=v) for k, v in values.items()]
        name = f"{self.get_fully_qualified_name()}: speech"
        one = DiagnosticStatus(level=level, name=name, message=message, hardware_id="refseg", values=pairs)
        self._diagnostics.publish(array(self.get_clock().now().to_msg(), one))


def main(args: list[str] | None = None, factory: RecognizerFactory = load_recognizer) -> int:
    """Run the node until it is told to stop. 1: it cannot work as it is set up; one sentence has said why."""
    return run_until_told(lambda: SpeechNode(factory), "speech", args, (SpeechError, ParameterException))


if __name__ == "__main__":
    sys.exit(main())
