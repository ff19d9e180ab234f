"""Forms of words for each kind of claim, and how an instruction is dressed. The first wording of a form is the plain
one. Slots: x, xs a head and its plural; a, b anchors; c a colour; n a number; o an ordinal; w, v, u whole phrases."""

from __future__ import annotations

import random

# fmt: off
FORMS: dict[str, tuple[str, ...]] = {
    "the": ("the {x}",),
    "which is": ("the {x} that is {c}", "the {x} which is {c}", "the {c} one of the {xs}"),
    "all": ("all the {xs}", "all {xs}", "all of the {xs}", "the {xs}", "every {x}", "each {x}", "{xs}"),
    "all so": ("all the {xs}", "all of the {xs}", "every {x}", "each {x}"),
    "everything so": ("everything {c}", "all that is {c}", "everything that is {c}"),
    "both": ("both {xs}", "the two {xs}", "both of the {xs}"),
    # order
    "leftmost": ("the leftmost {x}", "the {x} farthest to the left", "the {x} on the far left",
                 "the left-most {x}", "the {x} furthest left", "the first {x} from the left",
                 "the {x} that is the farthest to the left"),
    "rightmost": ("the rightmost {x}", "the {x} farthest to the right", "the {x} on the far right",
                  "the right-most {x}", "the {x} furthest right", "the first {x} from the right",
                  "the {x} that is the farthest to the right"),
    "nearest": ("the nearest {x}", "the closest {x}", "the {x} closest to me", "the {x} nearest to the camera",
                "the {x} closest to the camera", "the {x} that is nearest to me", "the {x} nearest to you"),
    "farthest": ("the farthest {x}", "the furthest {x}", "the {x} farthest from me", "the most distant {x}",
                 "the {x} furthest from the camera", "the {x} that is the farthest from the camera",
                 "the {x} farthest from you"),
    "biggest": ("the biggest {x}", "the largest {x}", "the {x} that is the biggest", "the biggest of the {xs}",
                "the largest of all the {xs}"),
    "smallest": ("the smallest {x}", "the littlest {x}", "the {x} that is the smallest", "the smallest of the {xs}",
                 "the tiniest {x}"),
    "tallest": ("the tallest {x}", "the highest {x}", "the {x} that is the tallest", "the tallest of the {xs}"),
    "left one": ("the {x} on the left", "the left {x}", "the {x} to the left", "the left one of the two {xs}",
                 "the {x} on the left side"),
    "right one": ("the {x} on the right", "the right {x}", "the {x} to the right", "the right one of the two {xs}",
                  "the {x} on the right side"),
    "from left": ("the {o} {x} from the left", "the {o} of the {xs} from the left",
                  "the {x} that is {o} from the left"),
    "from right": ("the {o} {x} from the right", "the {o} of the {xs} from the right",
                   "the {x} that is {o} from the right"),
    # relations
    "left": ("the {x} left of the {a}", "the {x} to the left of the {a}", "the {x} on the left of the {a}",
             "the {x} on the left side of the {a}", "the {x} that is left of the {a}",
             "the {x} which is to the left of the {a}", "the {x} standing left of the {a}"),
    "right": ("the {x} right of the {a}", "the {x} to the right of the {a}", "the {x} on the right of the {a}",
              "the {x} on the right side of the {a}", "the {x} that is right of the {a}",
              "the {x} which is to the right of the {a}", "the {x} standing right of the {a}"),
    "front": ("the {x} in front of the {a}", "the {x} that is in front of the {a}",
              "the {x} which is in front of the {a}", "the {x} standing in front of the {a}"),
    "behind": ("the {x} behind the {a}", "the {x} that is behind the {a}", "the {x} which is behind the {a}",
               "the {x} standing behind the {a}"),
    "next": ("the {x} next to the {a}", "the {x} beside the {a}", "the {x} that is next to the {a}",
             "the {x} which is beside the {a}", "the {x} standing next to the {a}", "the {x} adjacent to the {a}"),
    "in": ("the {x} in the {a}", "the {x} inside the {a}", "the {x} that is in the {a}",
           "the {x} which is inside the {a}", "the {x} lying in the {a}", "the {x} inside of the {a}"),
    "on": ("the {x} on the {a}", "the {x} on top of the {a}", "the {x} that is on the {a}",
           "the {x} sitting on the {a}", "the {x} lying on the {a}", "the {x} placed on the {a}"),
    "under": ("the {x} under the {a}", "the {x} underneath the {a}", "the {x} below the {a}",
              "the {x} beneath the {a}", "the {x} that is under the {a}"),
    "holding": ("the {x} with the {a} in it", "the {x} containing the {a}", "the {x} that contains the {a}",
                "the {x} which holds the {a}", "the {x} that has the {a} in it", "the {x} holding the {a}"),
    "carrying": ("the {x} with the {a} on it", "the {x} that has the {a} on it", "the {x} with the {a} on top"),
    "all left": ("all the {xs} left of the {a}", "all the {xs} to the left of the {a}", "the {xs} left of the {a}",
                 "every {x} to the left of the {a}", "all {xs} that are left of the {a}"),
    "all right": ("all the {xs} right of the {a}", "all the {xs} to the right of the {a}",
                  "the {xs} right of the {a}", "every {x} to the right of the {a}",
                  "all {xs} that are right of the {a}"),
    "all front": ("all the {xs} in front of the {a}", "the {xs} in front of the {a}",
                  "all {xs} that are in front of the {a}", "every {x} in front of the {a}"),
    "all behind": ("all the {xs} behind the {a}", "the {xs} behind the {a}", "all {xs} that are behind the {a}",
                   "every {x} behind the {a}"),
    "all next": ("all the {xs} next to the {a}", "the {xs} beside the {a}", "all {xs} that are next to the {a}"),
    "all in": ("all the {xs} in the {a}", "the {xs} inside the {a}", "all {xs} that are in the {a}",
               "every {x} in the {a}"),
    "all on": ("all the {xs} on the {a}", "the {xs} on top of the {a}", "all {xs} that are on the {a}"),
    "all under": ("all the {xs} under the {a}",),
    "everything left": ("everything left of the {a}", "everything to the left of the {a}",
                        "everything that is left of the {a}"),
    "everything right": ("everything right of the {a}", "everything to the right of the {a}",
                         "everything that is right of the {a}"),
    "everything front": ("everything in front of the {a}", "everything that is in front of the {a}"),
    "everything behind": ("everything behind the {a}", "everything that is behind the {a}"),
    "everything next": ("everything next to the {a}", "everything that is beside the {a}"),
    "everything in": ("everything in the {a}", "everything inside the {a}", "everything that is in the {a}",
                      "the contents of the {a}"),
    "everything on": ("everything on the {a}", "everything on top of the {a}", "everything that is on the {a}"),
    "everything under": ("everything under the {a}",),
    "nearest to": ("the {x} nearest to the {a}", "the {x} closest to the {a}",
                   "the {x} that is closest to the {a}", "the {x} nearest the {a}"),
    "farthest from": ("the {x} farthest from the {a}", "the {x} furthest from the {a}",
                      "the {x} that is farthest away from the {a}", "the {x} furthest away from the {a}"),
    "between": ("the {x} between the {a} and the {b}", "the {x} that is between the {a} and the {b}",
                "the {x} in between the {a} and the {b}", "the {x} standing between the {a} and the {b}",
                "the {x} which is between the {a} and the {b}"),
    # numbers
    "count": ("the {n} {xs}", "{n} {xs}", "all {n} {xs}", "the {d} {xs}"),
    "pair of": ("the two {xs}", "both {xs}", "the pair of {xs}", "a pair of {xs}", "the 2 {xs}"),
    "false count": ("the {n} {xs}", "{n} {xs}", "all {n} {xs}", "the {d} {xs}"),
    # negation
    "is not": ("the {x} that is not {c}", "the {x} that isn't {c}", "the {x} which is not {c}", "the non-{c} {x}"),
    "are not": ("all the {xs} that are not {c}", "all {xs} that aren't {c}", "the {xs} that are not {c}",
                "all the non-{c} {xs}", "every {x} that is not {c}"),
    "not in": ("the {x} that is not in the {a}", "the {x} that isn't in the {a}", "the {x} outside the {a}",
               "the {x} not in the {a}", "the {x} which is not inside the {a}"),
    "not on": ("the {x} that is not on the {a}", "the {x} that isn't on the {a}", "the {x} not on the {a}"),
    "except one": ("all the {xs} but the {c} one", "all the {xs} except the {c} one", "all {xs} except the {c} one",
                   "every {x} but the {c} one", "all the {xs} apart from the {c} one"),
    "except": ("everything but the {a}", "everything except the {a}", "everything except for the {a}",
               "all the objects except the {a}", "everything apart from the {a}", "all things but the {a}"),
    "not the other": ("the {x}, not the {c} one", "the {x} but not the {c} one"),
    # several phrases
    "pair": ("{w} and {v}", "{w} as well as {v}", "both {w} and {v}", "{w}, {v}", "{w} plus {v}",
             "{w} along with {v}", "{w} together with {v}", "{w}, and also {v}", "{w}; then {v}", "{w} & {v}"),
    "shared": ("the {c} and the {d} {x}", "the {c} {x} and the {d} one"),
    "list": ("{w}, {v} and {u}", "{w}, {v}, and {u}", "{w} and {v} and {u}", "{w}, {v}, {u}",
             "{w}, then {v}, then {u}", "{w} plus {v} plus {u}"),
}
EXCLUDING = frozenset({"except one", "except", "not the other"})  # what is not meant is a phrase of its own
OPENINGS = (
    "please {}", "could you hand me {}", "can you bring me {}", "grab {}", "pick up {}", "give me {}", "find {}",
    "show me {}", "where is {}?", "I need {}", "I want {}", "I'd like {}", "hey robot, fetch {}",
    "um, could you please get {}", "look for {}", "point at {}", "pass me {}, please", "take {}", "select {}",
    "I would like you to pick up {}", "go and get me {}", "{}, please", "{} please", "uh {}", "okay, now {}",
    "segment {}", "highlight {}", "can you see {}?", "hand me {}, thanks", "bring {} to me", "pick {} up",
    "would you mind getting {}", "hello robot, I'm looking for {}", "next, {}", "fetch me {} right now",
    "let's grab {}", "please find {} for me", "Robot, {}!", "locate {}.", "hmm, maybe {}", "do you have {}?",
)  # fmt: skip
# fmt: on
PLACINGS = (
    "put {w} in {v}", "place {w} on {v}", "put {w} next to {v}", "move {w} behind {v}", "put {w} into {v}",
    "put {w} to the left of {v}", "take {w} out of {v}", "bring {w} to {v}", "drop {w} onto {v}",
)  # fmt: skip


def word(form: str, slots: dict[str, str], rng: random.Random | None) -> str:
    """A claim in words: the plain ones without a generator, else any, now and then without its article."""
    choices = FORMS[form]
    if rng is None:
        return choices[0].format(**slots)
    text = rng.choice(choices).format(**slots)
    if text.startswith("the ") and "w" not in slots and form != "shared" and rng.random() < 0.12:
        text = text[4:]
    return text


def phrases(form: str, slots: dict[str, str], said: str) -> tuple[str, ...]:
    """The phrases that a claim put into words consists of."""
    if form == "shared":
        return tuple(f"the {slots[c]} {slots['x']}" for c in ("c", "d"))
    return tuple(slots[s] for s in ("w", "v", "u") if s in slots) or (said,)


def dress(text: str, rng: random.Random) -> str:
    """An instruction as a person would say it: half of the time just the words."""
    return rng.choice(OPENINGS).format(text) if rng.random() < 0.5 else text


def templates() -> int:
    """How many forms of words there are, openings not counted."""
    return sum(len(set(f)) for f in FORMS.values())
