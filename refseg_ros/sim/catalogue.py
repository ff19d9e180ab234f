"""The checked table of objects: what each model really is, and which colours it really shows.

Folder names lie about colour (some "red" bowls are white): every row was labelled from a picture of the model, see
`python -m refseg_ros.sim.contact`.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class CatalogueEntry:
    """noun: what a person calls it; category: the wider word; colours: every colour that may describe it.

    also: colours it shows too: nobody calls it by one of them for sure, and nobody can say that it has none of them.
    two_tone: both colours of a thing that clearly has two. size_mm: width, depth, height as it stands.
    holds: "in", "on" or "" (what other objects can lie in or on it); upright_y: the model's height is its y axis.
    """

    noun: str
    category: str
    colours: tuple[str, ...]
    also: tuple[str, ...]
    two_tone: tuple[str, ...]
    size_mm: tuple[int, int, int]
    holds: str = ""
    upright_y: bool = False


# key | noun | category | colours | also | two-tone | width depth height | holds, and y for models that stand on y
_TABLE = """
alphabet_soup         | alphabet soup | can | blue | orange yellow white gray silver | blue orange | 66 71 84 | y
red_alphabet_soup     | alphabet soup | can | | red green brown black gray silver | red green | 66 71 84 | y
tomato_sauce          | tomato sauce | can | red | green orange white gray silver yellow | red green | 66 70 83 | y
yellow_tomato_sauce   | tomato sauce | can | blue | orange yellow white gray silver | blue orange | 66 70 83 | y
bbq_sauce             | bbq sauce | bottle | brown | red orange black | | 50 33 114 |
green_bbq_sauce       | bbq sauce | bottle | | brown green yellow orange red black | brown green | 50 33 114 |
ketchup               | ketchup | bottle | orange | red gray silver white yellow | | 64 43 149 | y
green_ketchup         | ketchup | bottle | green | gray silver white yellow black | | 64 43 149 | y
blue_ketchup          | ketchup | bottle | blue | | | 64 43 149 | y
salad_dressing        | salad dressing | bottle | | green white gray silver black yellow red | | 64 44 147 | y
red_salad_dressing    | salad dressing | bottle | | red white gray silver black yellow green | | 64 44 147 | y
milk                  | milk | carton | red | white blue green black | red white | 54 55 143 | y
yellow_milk           | milk | carton | yellow | white green black orange | yellow white | 54 55 143 | y
orange_juice          | orange juice | carton | orange | yellow white black | orange yellow | 54 55 144 | y
red_orange_juice      | orange juice | carton | red | white black | red white | 54 55 144 | y
butter                | butter | box | | red orange yellow white blue black | | 77 18 40 | y
green_butter          | butter | box | green | yellow white black red | green yellow | 77 18 40 | y
chocolate_pudding     | chocolate pudding | box | brown | blue white orange red yellow | brown blue | 83 30 50 | y
green_chocolate_pudding | chocolate pudding | box | green | white red black brown yellow | | 83 30 50 | y
cookies               | cookies | box | red | white brown beige yellow orange | red white | 61 20 84 | y
yellow_cookies        | cookies | box | yellow | orange white brown red | | 61 20 84 | y
cream_cheese          | cream cheese | box | blue | white gray silver purple | blue white | 83 19 43 | y
red_cream_cheese      | cream cheese | box | | red white beige gray | red white | 83 19 43 | y
macaroni_and_cheese   | macaroni and cheese | box | | yellow orange red brown | orange yellow | 86 28 116 | y
popcorn               | popcorn | box | blue | white yellow red | blue yellow | 63 19 42 | y
rs_can                | soda can | can | red | white pink | | 50 50 80 |
rs_bottle             | bottle | bottle | green | yellow | | 55 59 160 |
rs_milk               | milk | carton | white | gray silver | | 40 40 144 |
rs_cereal             | cereal | box | red | orange yellow blue white brown | | 100 30 150 |
rs_bread              | bread | food | brown | orange beige yellow gold | | 48 40 48 |
rs_lemon              | lemon | food | yellow | orange gold | | 68 40 40 |
wine_bottle           | wine bottle | bottle | black | green brown white beige | | 43 43 159 |
white_bottle          | wine bottle | bottle | green | white black | | 43 43 159 |
akita_black_bowl      | bowl | bowl | | black white gray yellow | black white | 112 111 53 | in
yellow_bowl           | bowl | bowl | yellow | white gold orange | yellow white | 112 111 53 | in
white_bowl            | bowl | bowl | white | gray silver | | 85 83 36 |
red_akita_black_bowl  | bowl | bowl | red | | | 112 111 53 | in
glazed_rim_porcelain_ramekin | ramekin | bowl | white | gray silver | | 88 88 44 |
red_ramekin           | ramekin | bowl | red | | | 88 88 44 |
plate                 | plate | plate | white | red pink | red white | 137 137 17 | on
yellow_plate          | plate | plate | | white yellow | yellow white | 137 137 17 | on
porcelain_mug         | mug | mug | white | gray silver | | 131 96 115 |
red_coffee_mug        | mug | mug | red | white pink gray | red white | 126 91 136 |
white_yellow_mug      | mug | mug | | yellow white gray beige | yellow white | 139 103 105 |
white_porcelain_mug   | mug | mug | gold | white yellow brown beige | gold white | 131 96 115 |
libero_mug            | mug | mug | | gray white silver black | | 123 89 72 |
moka_pot              | moka pot | pot | | silver white gray black | | 79 145 154 |
yellow_moka_pot       | moka pot | pot | yellow | gold orange black | | 79 145 154 |
chefmate_8_frypan     | frying pan | pan | black | gray | | 356 204 55 |
black_book            | book | book | black | white gray | | 30 113 138 |
red_yellow_book       | book | book | red | | | 27 101 123 |
yellow_book           | book | book | | beige gray white brown yellow silver | | 27 101 123 |
basket                | basket | basket | white | beige yellow brown gold | | 173 162 147 | in
red_basket            | basket | basket | | red pink purple | | 173 162 147 | in
wooden_tray           | tray | tray | brown | beige orange yellow gold | | 297 165 82 | in
"""


def _rows() -> dict[str, CatalogueEntry]:
    out = {}
    for line in _TABLE.strip().splitlines():
        key, noun, category, colours, also, two_tone, size, last = (cell.strip() for cell in line.split("|"))
        width, depth, height = (int(n) for n in size.split())
        holds = "" if last == "y" else last
        said = (tuple(colours.split()), tuple(also.split()), tuple(two_tone.split()))
        out[key] = CatalogueEntry(noun, category, *said, (width, depth, height), holds, last == "y")
    return out


CATALOGUE = MappingProxyType(_rows())
COLOURS = ("red", "green", "blue", "yellow", "white", "black", "brown", "orange", "purple", "pink", "gray")


def nouns() -> tuple[str, ...]:
    """Every noun of the table, sorted."""
    return tuple(sorted({entry.noun for entry in CATALOGUE.values()}))
