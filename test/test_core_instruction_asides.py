"""Unknown verbs, exclusions with a place, side remarks, appositions: what a speaker says beside the plain request."""

import contextlib
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refseg_ros.core.instruction import Number, parse
from refseg_ros.core.outcome import ErrorCode, RequestError


def texts(instruction):
    return [("not " if p.negated else "") + p.text for p in parse(instruction)]


VERBS = [
    ("flip the mug", "the mug"),
    ("yeet that mug", "that mug"),
    ("plonk me the mug", "the mug"),
    ("could you grip her mug", "her mug"),
    ("robot flip the mug", "the mug"),
    ("rotate the red mug and flip the bowl", "the red mug|the bowl"),
    ("don't flip the mug, take the can", "not the mug|the can"),
    ("unplug the charger", "the charger"),
    ("rinse two cups", "two cups"),
    ("switch off the lamp", "the lamp"),
    ("turn the stove on", "the stove"),
    ("turn on the stove and put the moka pot on it", "the stove|the moka pot"),
    ("hang the towel on the hook", "the towel|the hook"),
    ("swap the mug for the bowl", "the mug|the bowl"),
    ("replace the mug with the bowl", "the mug|the bowl"),
    ("fill the red glass with water", "the red glass|water"),
    ("fill the cup for me", "the cup"),
    ("cut the bread with the knife", "the bread|the knife"),
    ("wipe the plate with the red rim", "the plate with the red rim"),
    ("stir the cup with the spoon in it", "the cup with the spoon in it"),
    ("grasp the mug by its handle", "the mug"),
    ("take the pan by the handle and the mug by the bowl", "the pan|the mug by the bowl"),
    ("put the mug over here", "the mug"),
    ("the mugs that are here", "the mugs that are here"),
    ("turn the bottle around", "the bottle"),
    ("the path around the table", "the path around the table"),
    ("the tall, thin, green bottle, the bowl", "the tall, thin, green bottle|the bowl"),
    ("give me either the mug or the bowl", "the mug|the bowl"),
    ("the mug + the bowl", "the mug|the bowl"),
    ("1. pick up the mug 2. take block 2. 3. the bowl", "the mug|block 2|the bowl"),
    ("take block 2. then the bowl", "block 2|the bowl"),
    ("the mug, never mind, the bowl", "the bowl"),
    ("never mind the bowl, take the mug", "not the bowl|the mug"),
    ("hand me that, the one next to the bowl", "the one next to the bowl"),
    ("the bottle with the red cap and white label", "the bottle with the red cap and white label"),
    ("the bottle with a red cap and a white label", "the bottle with a red cap and a white label"),
    ("the bottle with a red cap and the label", "the bottle with a red cap|the label"),
    ("the bottle with a red cap and the bowl", "the bottle with a red cap|the bowl"),
    ("the red, the green and the blue mug", "the red mug|the green mug|the blue mug"),
    ("not the bowl but the red, the green and the blue mug", "not the bowl|the red mug|the green mug|the blue mug"),
    ("bring me the left mug, then go back and get the right one", "the left mug|the right mug"),
    ("I'm thirsty, give me the water bottle", "the water bottle"),
    ("there's a mug on the table, get it", "a mug on the table"),
    ("what I want is the mug", "the mug"),
    ("if the mug is empty, bring it", "the mug is empty"),
    ("only if you see a mug, bring it", "a mug"),
    ("bring me a mug; if there isn't one, bring a glass", "a mug|a glass"),
    ("the mug and/or the bowl", "the mug|the bowl"),
    ("rotate the mug 90 degrees", "the mug"),
    ("pick up the mug with your left hand", "the mug"),
    ("hold the mug with the red handle for 5 seconds", "the mug with the red handle"),
    ("the picture with the hand", "the picture with the hand"),
    ("would you mind passing me the salt", "the salt"),
    ("list all objects", "all objects"),
    ("let me have the mug", "the mug"),
    ("let me see the mug", "the mug"),
    ("gimme the mug", "the mug"),
    ("lemme see the mug", "the mug"),
    ("first take the mug then the plate", "the mug|the plate"),
    ("First, take the mug. Then the plate.", "the mug|the plate"),
    ("go grab the mug", "the mug"),
    ("what color is the mug", "the mug"),
    ("what colour is the mug", "the mug"),
    ("how big is the bowl?", "the bowl"),
    ("how tall is the bottle", "the bottle"),
    ("what kind of fruit is that", "fruit"),
    # no verbs
    ("mug that is red", "mug that is red"),
    ("mug that stands on the table", "mug that stands on the table"),
    ("man eating the pizza", "man eating the pizza"),
    ("the man that wears a hat and holds the phone", "the man that wears a hat|holds the phone"),
    ("first mug from the left", "first mug from the left"),
    ("first one from the left", "first one from the left"),
    ("the mug outside the box", "the mug outside the box"),
]
QUESTIONS = [
    ("is the mug on the table?", "the mug on the table"),
    ("are the mugs on the table", "the mugs on the table"),
    ("have you seen the mug?", "the mug"),
    ("where did I put the milk?", "the milk"),
    ("do you know where the mug is?", "the mug"),
    ("do you see a red mug anywhere?", "a red mug"),
    ("I think I need the scissors", "the scissors"),
    ("what is on the table?", "everything on the table"),
    ("grab what's in the basket", "everything in the basket"),
    ("what do you see?", "everything"),
    ("what is that on the table", "what is that on the table"),  # asks for one thing's name
    ("bring me the mug if there is one", "the mug"),
    ("if there is a mug, hand it to me", "a mug"),
    ("if there is no mug, bring the bowl", "not mug|the bowl"),
    ("hand me the mug. If there is none, stop.", "the mug"),
    ("the mugs that are big and are the same colour", "the mugs that are big and are the same colour"),
]
CARES = [
    ("pick up the mug, and be careful with the glass next to it", "the mug"),
    ("watch out for the knife and hand me the spoon", "the spoon"),
    ("careful with the glass and the cup, take the bowl", "the bowl"),
    ("be careful with the glass and put it on the table", "the glass|the table"),
    ("hand me the bowl. Careful with the glass, it's fragile.", "the bowl"),
    ("hand me the careful robot book", "the careful robot book"),
]
ONLY = [
    ("hand me nothing but the mug", "the mug"),
    ("nothing except the mug please", "the mug"),
    ("don't take anything but the mug", "the mug"),
    ("don't touch anything except the bowl", "the bowl"),
    ("don't give me anything other than the milk and the can", "the milk|the can"),
]
WAYS = [
    ("move the mug to the left", "the mug"),
    ("move the mug a bit to the left", "the mug"),
    ("push the left one to the right", "the left one"),
    ("slide the one on the left to the right", "the one on the left"),
    ("move the one to the left", "the one to the left"),  # may tell which
    ("grab the mug to the left", "the mug to the left"),
    ("move the mug that is on the left", "the mug that is on the left"),
    ("move the second mug from the left", "the second mug from the left"),
    ("move the bowl 10 cm to the right of the plate", "the bowl|the plate"),
    ("move the mug 20cm forward", "the mug"),
    ("push the bottle 3 inches back", "the bottle"),
    ("put the ruler of 10 cm in the box", "the ruler of 10 cm|the box"),
    ("flip the mug upside down", "the mug"),
    ("pull the mug a bit closer", "the mug"),
    ("place the apple, then the pear, a bit to the right", "the apple|the pear"),
    ("put the bowl back where you found it", "the bowl"),
    ("open the drawer and take the spoon out of it", "the drawer|the spoon"),
    ("switch it off and bring me the bowl", "the bowl"),
    ("pick up the mug and come back", "the mug"),
]
EXCLUSIONS = [
    ("put everything but the bowl in the basket", "everything|not the bowl|the basket"),
    ("put all the cans except the coke in the basket", "all the cans|not the coke|the basket"),
    ("move everything except the mug to the basket", "everything|not the mug|the basket"),
    ("bring everything but the knife to the table", "everything|not the knife|the table"),
    ("put the apples, but not the green one, in the bowl", "the apples|not the green apple|the bowl"),
    ("put the apples, but not the green one, into the bowl", "the apples|not the green apple|the bowl"),
    ("put all the apples but the green one on the plate", "all the apples|not the green apple|the plate"),
    ("put everything except the bowl and the mug in the basket", "everything|not the bowl|not the mug|the basket"),
    ("take everything except the mug from the shelf", "everything|not the mug|the shelf"),
    ("don't put the mug in the sink, take the can", "not the mug|not the sink|the can"),
    ("put the mug in the sink, not the one on the table", "the mug|the sink|not the mug on the table"),
    # what is wanted instead
    ("hand me the mug, not the red one, the blue one", "the blue mug|not the red mug"),
    ("the big mug, not the red one, the blue one", "the big mug|not the red mug|the blue mug"),
    ("the mug, not the bowl, the can", "the mug|not the bowl|the can"),
    ("the mug, not the bowl, the can or the plate", "the mug|not the bowl|not the can|not the plate"),
    ("the mugs, not the bowl, the can", "the mugs|not the bowl|not the can"),
    ("everything except the bowl, the can and the mug", "everything|not the bowl|not the can|not the mug"),
    ("everything except the bowl, the can", "everything|not the bowl|not the can"),
    # another place
    ("put the mug on the table, not on the plate", "the mug|the table|not the plate"),
    ("put the mug on the table not on the plate", "the mug|the table|not the plate"),
    ("put the mug on the table but not on the plate", "the mug|the table|not the plate"),
    ("put the mug in the sink, not under the table", "the mug|the sink|not the table"),
    ("put the mug into the sink, not into the bin", "the mug|the sink|not the bin"),
    ("take the mug from the shelf, not from the table", "the mug|the shelf|not the table"),
    ("bring the mug to the table, not to the sink", "the mug|the table|not the sink"),
    ("take the mug, not in the basket", "the mug, not in the basket"),
    # not only
    ("not only the mug but also the plate", "the mug|the plate"),
    ("take not only the mug but also the plate", "the mug|the plate"),
    ("not just the mug, also the plate", "the mug|the plate"),
    ("not merely the mug but the plate", "the mug|the plate"),
    # dislikes
    ("I don't like the red mug, give me the blue one", "not the red mug|the blue mug"),
    ("I do not like the red mug, I want the blue one", "not the red mug|the blue mug"),
    ("we hate the red mug, give us the blue one", "not the red mug|the blue mug"),
]
REMARKS = [
    ("Hand me the milk. Be careful!", "the milk"),
    ("quick, the milk", "the milk"),
    ("as soon as possible, bring the milk", "the milk"),
    ("bring the milk as soon as possible", "the milk"),
    ("Perfect, now the bowl", "the bowl"),
    ("Great job! Now bring me the mug, thank you so much", "the mug"),
    ("watch out, hand me the mug", "the mug"),
    ("bring the mug and be careful", "the mug"),
    ("hurry up and bring the mug", "the mug"),
    ("take your time and bring me the mug", "the mug"),
    ("When you're done, bring me the mug", "the mug"),
    ("bring me the mug when you are ready", "the mug"),
    ("if it's not too much trouble, the mug", "the mug"),
    ("bring me the mug, not too fast", "the mug"),
    ("don't worry, bring me the mug", "the mug"),
    ("There you go. The mug", "the mug"),
    ("the mug, that's all", "the mug"),
    ("everything except, be careful, the bowl", "everything|not the bowl"),
    ("The mug. Great. No, the bowl", "the bowl"),
    ("the perfect apple and the quick cooker", "the perfect apple|the quick cooker"),
    # more about the thing
    ("hand me the mug. It is on the table.", "the mug that is on the table"),
    ("hand me the mug, it's red", "the mug that is red"),
    ("the mug. It's the red one.", "the red mug"),
    ("the mug, it has a handle", "the mug that has a handle"),
    ("put the mug in the basket. It is on the table.", "the mug that is on the table|the basket"),
    ("hand me the mugs. They are on the table", "the mugs that are on the table"),
    ("bring me the mug. It's for me.", "the mug"),
    ("It is on the table.", "it is on the table"),
    # cautions
    ("bring me the mug, don't break it", "the mug"),
    ("hand me the knife and don't hurt yourself", "the knife"),
    ("bring me the mug, don't smash it", "the mug"),
    ("take the mug and don't touch anything", "the mug"),
    ("take the mug and don't touch anything else", "the mug"),
    ("don't drop the glass, put it on the table", "the glass|the table"),
    ("be careful not to drop the glass, put it on the table", "the glass|the table"),
    ("don't spill the milk and bring it to me", "the milk"),
    ("don't drop the glass, take the mug and put it on the table", "not the glass|the mug|the table"),
]
APPOSITIONS = [
    ("grab the mug, the big one", "the big mug"),
    ("the mug, the one on the left", "the mug on the left"),
    ("the mug (the red one) and the bowl", "the red mug|the bowl"),
    ("the mugs, the red ones", "the red mugs"),
    ("two mugs, the red ones", "two red mugs"),
    ("a mug, the red one", "the red mug"),
    ("the cans, all of them", "all the cans"),
    ("take the cup and the saucer, both of them", "the cup|the saucer"),
    ("the red mug, the blue one", "the red mug|the blue mug"),
    ("the red mug, the blue one and the green one", "the red mug|the blue mug|the green mug"),
    ("the mug, the big one and the small one", "the big mug|the small mug"),
    ("the big one and the small one", "the big one|the small one"),
    ("the mug, also the red one", "the mug|the red mug"),
    ("the mug and the one on the left", "the mug|the mug on the left"),
    ("the mug on the plate, the one on the left", "the mug on the plate|the mug on the left"),
    ("put the mug in the basket, the one on the left", "the mug on the left|the basket"),
    ("put the mug on the table, the red one", "the red mug|the table"),
    ("bring up to three cups", "up to three cups"),
    ("put up to three cups in the basket", "up to three cups|the basket"),
    ("the mug and at most three cups", "the mug|at most three cups"),
]
SIDES = [
    ("the left mug and right bowl", "the left mug|right bowl"),
    ("left mug, right mug", "left mug|right mug"),
    ("grab the mug and leftmost can", "the mug|leftmost can"),
    ("bring me the red mug and nearest bottle please", "the red mug|nearest bottle"),
    ("the mug and right one of the baskets", "the mug|right one of the baskets"),
    ("give me the bowl and closest one", "the bowl|closest bowl"),
    ("the mug that is red and left of the bowl", "the mug that is red and left of the bowl"),
    ("the mug on the left and closest to me", "the mug on the left and closest to me"),
    ("the left and right mug", "the left and right mug"),
    ("the box that is neither red nor blue", "the box that is neither red nor blue"),
]
LAST_WORDS = [
    ("the mug at the back", "the mug at the back"),
    ("grab the second mug from the back now", "the second mug from the back"),
    ("the burner that is off", "the burner that is off"),
    ("the lamp that's turned off", "the lamp that's turned off"),
    ("pick up the box lying down", "the box lying down"),
    ("the can farthest away", "the can farthest away"),
    ("the bowl standing alone", "the bowl standing alone"),
    ("the one on the right now", "the one on the right"),
    ("bring the mug back", "the mug"),
    ("pick the dressing up", "the dressing"),
    ("move the mug away right now", "the mug"),
    ("find the one for me", "the one"),
]


@pytest.mark.parametrize(
    ("instruction", "expected"),
    [*VERBS, *EXCLUSIONS, *REMARKS, *APPOSITIONS, *SIDES, *LAST_WORDS, *QUESTIONS, *CARES, *ONLY, *WAYS],
)
def test_phrases(instruction, expected):
    assert texts(instruction) == expected.split("|")


@pytest.mark.parametrize(
    ("instruction", "number", "count"),
    [
        ("the red, green and blue blocks", Number.PLURAL, None),
        ("the black, white and red mugs", Number.PLURAL, None),
        ("the red, green and blue block", Number.SINGULAR, None),
        ("the big, red mug", Number.SINGULAR, None),
        ("the rightmost two cans", Number.COUNT, 2),
        ("the leftmost three bowls", Number.COUNT, 3),
        ("the biggest two mugs", Number.COUNT, 2),
        ("the right one", Number.SINGULAR, None),
        ("a dozen eggs", Number.COUNT, 12),
        ("two dozen eggs", Number.COUNT, 24),
        ("half a dozen eggs", Number.COUNT, 6),
        ("up to three cups", Number.PLURAL, None),
        ("bring up to three cups", Number.PLURAL, None),
        ("pick up to three cups", Number.PLURAL, None),
        ("at most three cups", Number.PLURAL, None),
        ("at least two cups", Number.PLURAL, None),
        ("the glasses", Number.PLURAL, None),
        ("the wine glasses", Number.PLURAL, None),
        ("the glasses on the table", Number.PLURAL, None),
        ("a pair of glasses", Number.SINGULAR, None),
        ("my glasses", Number.SINGULAR, None),
        ("the reading glasses", Number.SINGULAR, None),
        ("the sunglasses", Number.SINGULAR, None),
        ("the cans, all of them", Number.PLURAL, None),
        ("the mugs. They are red", Number.PLURAL, None),
    ],
)
def test_number(instruction, number, count):
    (phrase,) = parse(instruction)
    assert (phrase.number, phrase.count) == (number, count)


@pytest.mark.parametrize(
    ("instruction", "code"),
    [
        ("don't drop the glass", ErrorCode.INSTRUCTION_UNREADABLE),
        ("I hate the mug", ErrorCode.INSTRUCTION_UNREADABLE),
        ("thanks so much!", ErrorCode.INSTRUCTION_EMPTY),
        ("Perfect.", ErrorCode.INSTRUCTION_EMPTY),
        ("don't break it", ErrorCode.INSTRUCTION_EMPTY),
        ("cancel that", ErrorCode.INSTRUCTION_EMPTY),
        ("the mug, never mind", ErrorCode.INSTRUCTION_UNREADABLE),
        ("pick up the mug. Forget it.", ErrorCode.INSTRUCTION_UNREADABLE),
    ],
)
def test_refused(instruction, code):
    with pytest.raises(RequestError) as caught:
        parse(instruction)
    assert caught.value.code is code


WORDS = (
    "flip me the a red mug one ones it is they are , . not only also but everything except put in to up at most three "
    "dozen glasses don't drop them all of be careful and first that on left swap for great no"
)


@settings(max_examples=600, deadline=None)
@given(st.lists(st.sampled_from(WORDS.split()), max_size=25).map(" ".join))
def test_any_words_of_the_grammar_give_phrases_or_a_request_error(text):
    with contextlib.suppress(RequestError):
        assert any(not p.negated for p in parse(text))


@pytest.mark.parametrize("unit", ["be careful and ", "red, ", "not on ", "the one, ", "the a, not the b, ", "it is, "])
def test_a_thousand_characters_take_no_time(unit):
    begin = time.perf_counter()
    with contextlib.suppress(RequestError):
        parse((unit * 500)[:1000])
    assert time.perf_counter() - begin < 0.5
