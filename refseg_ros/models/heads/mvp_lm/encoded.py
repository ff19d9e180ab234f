"""What an image is worth computing once, however many phrases are asked about it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from refseg_ros.models.heads.mvp_lm.pixel_decoder import Shapes


@dataclass(frozen=True, eq=False)
class EncodedImages:
    """Of V images of T tokens. shapes: (height, width) of each level; inside_vt: False in the padding;
    mask_features_vdhw: at stride 4; memory_vtd: tokens as queries may take them up, keys_vtd: as they are compared with
    texts (both None without query selection); values: what each decoder layer reads, (V, T, heads, D / heads).
    """

    shapes: Shapes
    inside_vt: Tensor
    mask_features_vdhw: Tensor
    memory_vtd: Tensor | None
    keys_vtd: Tensor | None
    values: tuple[Tensor, ...]

    def of(self, image_b: Tensor) -> EncodedImages:
        """One row a sample: image_b (B,) long says which image it is about."""

        def rows(x: Tensor) -> Tensor:
            # A single image is repeated without a copy.
            return x.expand(len(image_b), *x.shape[1:]) if len(x) == 1 else x.index_select(0, image_b)

        return EncodedImages(
            self.shapes,
            rows(self.inside_vt),
            rows(self.mask_features_vdhw),
            None if self.memory_vtd is None else rows(self.memory_vtd),
            None if self.keys_vtd is None else rows(self.keys_vtd),
            tuple(rows(v) for v in self.values),
        )
