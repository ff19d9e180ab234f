"""The checked table of objects: what each model really is, and which colours it really shows.

Folder names lie about colour (some "red" bowls are white): every entry was labelled from a picture of the model.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class CatalogueEntry:
    """noun: what a person calls it; category: the wider word; colours: every colour that may describe it.

    holds: "in", "on" or "" (what other objects can lie in or on it); upright_y: the model's height is its y axis.
    """

    noun: str
    category: str
    colours: tuple[str, ...]
    holds: str = ""
    upright_y: bool = False


def _groceries() -> dict[str, CatalogueEntry]:
    rows = {
        "alphabet_soup": ("alphabet soup", "can", "blue orange"),
        "red_alphabet_soup": ("alphabet soup", "can", "red"),
        "tomato_sauce": ("tomato sauce", "can", "red green"),
        "yellow_tomato_sauce": ("tomato sauce", "can", "blue orange"),
        "bbq_sauce": ("bbq sauce", "bottle", "brown"),
        "green_bbq_sauce": ("bbq sauce", "bottle", "green"),
        "ketchup": ("ketchup", "bottle", "orange red"),
        "green_ketchup": ("ketchup", "bottle", "green"),
        "blue_ketchup": ("ketchup", "bottle", "blue"),
        "salad_dressing": ("salad dressing", "bottle", "white green"),
        "red_salad_dressing": ("salad dressing", "bottle", "red"),
        "milk": ("milk", "carton", "red white"),
        "yellow_milk": ("milk", "carton", "yellow"),
        "orange_juice": ("orange juice", "carton", "orange white"),
        "red_orange_juice": ("orange juice", "carton", "red"),
        "butter": ("butter", "box", "orange"),
        "green_butter": ("butter", "box", "green"),
        "chocolate_pudding": ("chocolate pudding", "box", "brown"),
        "green_chocolate_pudding": ("chocolate pudding", "box", "green"),
        "cookies": ("cookies", "box", "red white"),
        "yellow_cookies": ("cookies", "box", "yellow"),
        "cream_cheese": ("cream cheese", "box", "blue"),
        "red_cream_cheese": ("cream cheese", "box", "red"),
        "macaroni_and_cheese": ("macaroni and cheese", "box", "yellow"),
        "popcorn": ("popcorn", "box", "blue"),
    }
    return {key: CatalogueEntry(n, c, tuple(k.split()), upright_y=True) for key, (n, c, k) in rows.items()}


def _household() -> dict[str, CatalogueEntry]:
    rows = {
        "rs_can": ("soda can", "can", "red", ""),
        "rs_bottle": ("bottle", "bottle", "green", ""),
        "rs_milk": ("milk", "carton", "white", ""),
        "rs_cereal": ("cereal", "box", "red", ""),
        "rs_bread": ("bread", "food", "brown", ""),
        "rs_lemon": ("lemon", "food", "yellow", ""),
        "wine_bottle": ("wine bottle", "bottle", "black", ""),
        "white_bottle": ("wine bottle", "bottle", "green", ""),
        "akita_black_bowl": ("bowl", "bowl", "black", "in"),
        "yellow_bowl": ("bowl", "bowl", "yellow", "in"),
        "white_bowl": ("bowl", "bowl", "white", ""),
        "red_akita_black_bowl": ("bowl", "bowl", "red", "in"),
        "glazed_rim_porcelain_ramekin": ("ramekin", "bowl", "white", ""),
        "red_ramekin": ("ramekin", "bowl", "red", ""),
        "plate": ("plate", "plate", "white", "on"),
        "yellow_plate": ("plate", "plate", "yellow", "on"),
        "porcelain_mug": ("mug", "mug", "white", ""),
        "red_coffee_mug": ("mug", "mug", "red", ""),
        "white_yellow_mug": ("mug", "mug", "yellow white", ""),
        "white_porcelain_mug": ("mug", "mug", "gold", ""),
        "libero_mug": ("mug", "mug", "gray", ""),
        "moka_pot": ("moka pot", "pot", "silver", ""),
        "yellow_moka_pot": ("moka pot", "pot", "yellow", ""),
        "chefmate_8_frypan": ("frying pan", "pan", "black", ""),
        "black_book": ("book", "book", "black", ""),
        "red_yellow_book": ("book", "book", "red", ""),
        "yellow_book": ("book", "book", "beige", ""),
        "basket": ("basket", "basket", "white", "in"),
        "red_basket": ("basket", "basket", "red", "in"),
        "wooden_tray": ("tray", "tray", "brown", "in"),
    }
    return {key: CatalogueEntry(n, c, tuple(k.split()), holds) for key, (n, c, k, holds) in rows.items()}


CATALOGUE = MappingProxyType(_groceries() | _household())
COLOURS = ("red", "green", "blue", "yellow", "white", "black", "brown", "orange")


def nouns() -> tuple[str, ...]:
    """Every noun of the table, sorted."""
    return tuple(sorted({entry.noun for entry in CATALOGUE.values()}))
