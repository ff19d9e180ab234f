"""What each object may truly be called, is made of and looks like; and what could be argued about. Data only."""

from __future__ import annotations

# Other names of a noun, all true of every object that has it.
SYNONYMS: dict[str, tuple[str, ...]] = {
    "alphabet soup": ("soup can", "soup", "can of alphabet soup", "alphabet soup can"),
    "tomato sauce": ("can of tomato sauce", "tomato sauce can", "tin of tomato sauce"),
    "bbq sauce": ("barbecue sauce", "bottle of bbq sauce", "barbecue sauce bottle", "bbq sauce bottle"),
    "ketchup": ("ketchup bottle", "bottle of ketchup", "tomato ketchup"),
    "salad dressing": ("dressing", "bottle of salad dressing", "salad dressing bottle", "ranch dressing"),
    "milk": ("milk carton", "carton of milk"),
    "orange juice": ("juice", "orange juice carton", "carton of orange juice", "juice carton"),
    "butter": ("box of butter", "butter box", "pack of butter"),
    "chocolate pudding": ("pudding", "pudding box", "box of chocolate pudding", "chocolate pudding box"),
    "cookies": ("cookie box", "box of cookies"),
    "cream cheese": ("cream cheese box", "box of cream cheese", "pack of cream cheese"),
    "macaroni and cheese": ("mac and cheese", "box of macaroni and cheese", "mac and cheese box"),
    "popcorn": ("popcorn box", "box of popcorn", "microwave popcorn"),
    "soda can": ("soda", "can of soda", "soft drink can"),
    "cereal": ("cereal box", "box of cereal", "breakfast cereal"),
    "bread": ("loaf of bread", "loaf", "bread loaf"),
    "wine bottle": ("bottle of wine", "wine"),
    "mug": ("cup", "coffee mug", "coffee cup"),
    "moka pot": ("coffee pot", "coffee maker", "espresso maker", "stovetop coffee maker"),
    "frying pan": ("pan", "skillet", "frypan"),
    "tray": ("crate",),
}

# Wider words: true of the whole category.
CATEGORY_WORDS: dict[str, tuple[str, ...]] = {
    "can": ("can", "tin"),
    "box": ("box", "package", "packet"),
    "mug": ("mug", "cup"),
    "pan": ("pan",),
    "pot": ("pot",),
}

# Groups across categories: word -> (categories or nouns it is true of, those it may be true of).
GROUPS: dict[str, tuple[str, str]] = {
    "drink": ("milk|orange juice|soda can|wine bottle", "bottle|mug|moka pot"),
    "beverage": ("milk|orange juice|soda can|wine bottle", "bottle|mug|moka pot"),
    "dish": ("bowl|ramekin|plate", "mug|frying pan|tray|pot"),
    "fruit": ("lemon", "food"),
    "food": ("bread|lemon", "can|box|bottle|carton"),
    "condiment": ("ketchup|bbq sauce|salad dressing", "tomato sauce|bottle"),
}

# What a thing could be called by someone: it is never said, and nobody claims that there is none.
ARGUABLE: dict[str, tuple[str, ...]] = {  # by noun or category
    "carton": ("box", "package", "packet", "container", "bottle"),
    "box": ("carton", "book"),
    "tray": ("basket", "box"),
    "basket": ("box", "tray", "crate", "bowl"),
    "book": ("box",),
    "tomato sauce": ("soup can", "soup", "sauce", "ketchup", "tomato ketchup"),
    "alphabet soup": ("sauce",),
    "ketchup": ("tomato sauce", "sauce", "bbq sauce"),
    "bbq sauce": ("ketchup", "ketchup bottle", "sauce"),
    "salad dressing": ("sauce",),
    "bottle": ("wine bottle", "bottle of wine", "wine", "ketchup bottle", "soda"),
    "wine bottle": ("ketchup bottle",),
    "soda can": ("cup", "mug", "coffee cup", "tin"),
    "milk": ("juice", "orange juice", "juice carton"),
    "cereal": ("cookies", "cookie box", "box of cookies"),
    "cookies": ("cereal", "cereal box", "box of cereal", "breakfast cereal"),
    "ramekin": ("cup", "dish", "pot"),
    "bowl": ("ramekin", "cup", "plate"),
    "plate": ("bowl", "tray"),
    "mug": ("pot", "bowl"),
    "frying pan": ("pot", "bowl"),
    "moka pot": ("mug", "cup", "kettle"),
    "bread": ("box",),
    # shapes without a name
    "block": ("box", "carton", "book", "package", "packet", "butter", "cream cheese", "bread", "tray"),
    "cylinder": ("can", "tin", "cup", "mug", "bottle", "soda", "soda can"),
    "sphere": ("lemon", "fruit", "food"),
    "prism": ("box", "dish", "tray", "can", "bowl", "plate"),
    # and those with a label
    "parcel": ("box", "carton", "book", "package", "packet", "tray", "food"),
    "drum": ("can", "tin", "cup", "mug", "bottle", "soda", "soda can", "soft drink can", "can of soda", "food", "drink",
             "beverage"),
    "flask": ("bottle", "can", "tin", "cup", "mug", "moka pot", "carton", "package", "food", "drink", "beverage",
              "condiment"),
}

# Words that fit only where nothing fits better: a ramekin is a bowl as long as there is no bowl.
LOOSE: dict[str, tuple[str, ...]] = {
    "ramekin": ("bowl",),
    "blue_ketchup": ("ketchup", "ketchup bottle", "bottle of ketchup", "tomato ketchup"),
}

ANY = ("object", "thing", "item")

# Colours one may take for each other: beside a gold mug, no one can say that there is no yellow one.
NEAR_COLOURS: dict[str, frozenset[str]] = {
    "red": frozenset({"orange", "brown", "pink"}),
    "green": frozenset(),
    "blue": frozenset({"purple"}),
    "yellow": frozenset({"orange", "gold", "beige"}),
    "white": frozenset({"silver", "gray", "beige"}),
    "black": frozenset({"gray", "brown"}),
    "brown": frozenset({"orange", "red", "black", "gold", "beige"}),
    "orange": frozenset({"red", "yellow", "brown", "gold"}),
    "purple": frozenset({"blue", "pink"}),
    "pink": frozenset({"red", "purple"}),
    "gray": frozenset({"white", "black", "silver", "beige"}),
    "gold": frozenset({"yellow", "orange", "brown", "beige"}),
    "silver": frozenset({"white", "gray"}),
    "beige": frozenset({"white", "yellow", "brown", "gold", "gray"}),
}
COLOUR_SYNONYMS = {"gray": ("gray", "grey"), "gold": ("gold", "golden"), "purple": ("purple", "violet")}

# word -> (nouns or categories it is true of, those it may be true of). Paint hides all but wicker.
MATERIALS: dict[str, tuple[str, str]] = {
    "wooden": ("tray", "block|cylinder|sphere|prism|basket"),
    "metal": ("can|moka pot|frying pan", "block|cylinder|sphere|prism|plate|bowl|mug|box"),
    "ceramic": ("mug|bowl|ramekin|plate", "block|cylinder|sphere|prism|bottle"),
    "wicker": ("basket", "tray"),
    "cardboard": ("box", "carton|block|book|basket|tray"),
    "glass": ("wine bottle", "bottle|bowl|ramekin|plate|mug|sphere|cylinder"),
    "plastic": ("ketchup|bbq sauce|salad dressing", "bottle|bowl|mug|plate|basket|tray|block|cylinder|sphere|prism|"
                "soda can|carton|moka pot|lemon|book|frying pan"),
}  # fmt: skip
SHAPES: dict[str, tuple[str, str]] = {
    "round": ("plate|bowl|ramekin|sphere", "frying pan|mug|can|lemon|bottle|moka pot|bread|cylinder|prism|basket"),
    "rectangular": ("box|carton|book|tray|block", "basket|bread|prism|bottle|frying pan"),
    "cylindrical": ("can|cylinder", "bottle|mug|ramekin|bowl|moka pot|lemon|sphere|prism|carton"),
}

# What follows the noun: "the mug with the handle" says nothing, "the plate with red rings" does.
DETAILS: dict[str, tuple[str, ...]] = {
    "plate": ("with red stripes", "with red rings", "with red circles on it"),
    "yellow_plate": ("with yellow stripes", "with yellow rings", "with yellow circles on it"),
    "salad_dressing": ("with the green cap", "with a green lid", "with the green top"),
    "red_salad_dressing": ("with the red cap", "with a red lid", "with the red top"),
    "ketchup": ("with the gray cap", "with the silver cap"),
    "red_coffee_mug": ("with the white pattern", "with white ornaments"),
    "white_porcelain_mug": ("with the golden pattern", "with gold ornaments"),
    "milk": ("with the red label",),
}

PLURALS = {
    "box": "boxes",
    "popcorn": "popcorns",
    "loaf": "loaves",
    "loaf of bread": "loaves of bread",
    "bread": "breads",
    "dish": "dishes",
    "carton of milk": "cartons of milk",
    "macaroni and cheese": "macaroni and cheese boxes",
    "mac and cheese": "mac and cheese boxes",
    "milk": "milks",
}
NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six", 7: "seven", 8: "eight"}
ORDINALS = {1: "first", 2: "second", 3: "third", 4: "fourth", 5: "fifth"}


def plural(head: str) -> str:
    """ "red mug" -> "red mugs", "can of soda" -> "cans of soda"; a word that is plural already stays."""
    for noun, several in PLURALS.items():
        if head == noun or head.endswith(" " + noun):
            return head[: len(head) - len(noun)] + several
    first, of, rest = head.partition(" of ")
    if of:
        return plural(first) + of + rest
    first, with_, rest = head.partition(" with ")
    if with_:
        return plural(first) + with_ + rest
    *before, last = head.split(" ")
    return " ".join([*before, PLURALS.get(last, last if last.endswith("s") else last + "s")])
