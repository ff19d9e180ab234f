"""What a person could say about a scene, with the truth of it. Only what no one would argue about is said."""

from refseg_ros.sim.expressions.grammar import expressions
from refseg_ros.sim.expressions.types import Expression
from refseg_ros.sim.expressions.words import plural

__all__ = ["Expression", "expressions", "plural"]
