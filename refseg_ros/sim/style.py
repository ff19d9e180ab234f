"""How varied scenes are: where the camera may be, how cluttered the table, how odd the light, how many tints."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

Range = tuple[float, float]
SHARES = (
    "inside_share", "stack_share", "tint_share", "alike_share", "light_oddity", "surface_tint_share", "tumbled_share",
    "pattern_share",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class SceneStyle:
    """Ranges are (lowest, highest); shares are chances in [0, 1].

    elevation_deg: of the camera above the table; distance_m: to what it looks at; fovy_deg: its view upwards, limited
    to covers_m at the thing it looks at (half the view's height); aim_m: how far off the middle (or off an object,
    with close_aim) it looks; spread_m: half the side of the square that objects lie in; crowding: share of their size
    by which objects keep apart; inside_share, stack_share: small things put into containers and onto flat things;
    shapes: how many shapes without a name; unknown: how many things with a label nobody knows, of those an engine has;
    tumbled_share: packages that lie any way; pattern_share: scenes with surfaces from sim.patterns; tint_share: objects
    in another colour; alike_share: scenes with several objects of one category; light_oddity: scenes with harsh, dim,
    coloured or many lights; surface_tint_share: surfaces in another tint.
    """

    elevation_deg: Range = (25.0, 65.0)
    distance_m: Range = (0.7, 1.1)
    fovy_deg: Range = (42.0, 58.0)
    covers_m: float = 10.0
    aim_m: float = 0.06
    close_aim: bool = False
    spread_m: Range = (0.33, 0.33)
    crowding: float = 0.8
    inside_share: float = 0.3
    stack_share: float = 0.0
    shapes: tuple[int, int] = (0, 0)
    tint_share: float = 0.0
    alike_share: float = 0.0
    light_oddity: float = 0.0
    surface_tint_share: float = 0.0
    unknown: tuple[int, int] = (0, 0)
    tumbled_share: float = 0.0
    pattern_share: float = 0.0

    def __post_init__(self) -> None:
        for name in ("elevation_deg", "distance_m", "fovy_deg", "spread_m", "shapes", "unknown"):
            low, high = getattr(self, name)
            if not 0 <= low <= high:
                raise ValueError(f"SceneStyle.{name} must be (lowest, highest) with 0 <= lowest, not {(low, high)}")
        if self.elevation_deg[1] >= 90 or self.fovy_deg[1] >= 120 or self.distance_m[0] < 0.2:
            raise ValueError("SceneStyle: elevation_deg below 90, fovy_deg below 120 and distance_m from 0.2 on")
        for name in SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"SceneStyle.{name} must be in [0, 1], not {getattr(self, name)}")
        if not 0.3 <= self.crowding <= 2 or self.aim_m < 0:
            raise ValueError(f"SceneStyle: crowding in [0.3, 2] and aim_m from 0 on, not {self.crowding}, {self.aim_m}")

    @property
    def calm(self) -> bool:
        """Whether nothing is odd: all shares of extras are 0."""
        return all(getattr(self, f.name) == f.default for f in fields(self))


CALM = SceneStyle()
"""What the demo's camera shows."""

VARIED = SceneStyle(
    elevation_deg=(15.0, 85.0), distance_m=(0.35, 1.6), fovy_deg=(30.0, 65.0), covers_m=0.5, aim_m=0.12, close_aim=True,
    spread_m=(0.16, 0.36), crowding=0.62, inside_share=0.35, stack_share=0.2, shapes=(0, 4), tint_share=0.25,
    alike_share=0.4, light_oddity=0.6, surface_tint_share=0.3,
)  # fmt: skip
"""What validation and test sets are made of: they stay as they are, so that figures of one year go with the next's."""

TRAINING = replace(VARIED, unknown=(0, 6), tumbled_share=0.3, pattern_share=0.4)
"""What training sets are made of: more than is asked in the tests, and nearer to what photographs show."""
