"""Where the KV of a token lies: [block][layer][K,V][head][token][D], all layers of a block contiguous."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.errors import InvalidSpec

ITEM_BYTES = {"float32": 4, "bfloat16": 2, "int8": 1}
SCALE_BYTES = 4
"""After the numbers of a token and head in int8 comes their scale, fp32."""
MIN_BLOCKS = 2


@dataclass(frozen=True, slots=True)
class LayerShape:
    """KV of one token in one layer: K is [kv_heads, k_dim], V is [kv_heads, v_dim]."""

    kv_heads: int
    k_dim: int
    v_dim: int


@dataclass(frozen=True, slots=True)
class KvLayout:
    """Block-major layout; layers may differ in shape. Offsets are in items, not bytes."""

    layers: tuple[LayerShape, ...]
    block_size: int
    dtype: str
    """What is stored: float32, bfloat16, or int8, where a scale follows each D numbers."""

    @property
    def computed(self) -> str:
        """What is computed with it."""
        return "bfloat16" if self.dtype == "int8" else self.dtype

    def width(self, dim: int) -> int:
        """Items of one token and head that has `dim` numbers."""
        return dim + SCALE_BYTES if self.dtype == "int8" else dim

    def token_items(self, layer: LayerShape) -> int:
        """Items of one token, K and V."""
        return layer.kv_heads * (self.width(layer.k_dim) + self.width(layer.v_dim))

    @property
    def block_items(self) -> int:
        """Items in one block, all layers."""
        return self.block_size * sum(self.token_items(layer) for layer in self.layers)

    @property
    def block_bytes(self) -> int:
        """Bytes of one block, all layers."""
        return self.block_items * ITEM_BYTES[self.dtype]

    def key_offset(self, layer: int) -> int:
        """Start of the layer's K inside a block."""
        return self.block_size * sum(self.token_items(shape) for shape in self.layers[:layer])

    def value_offset(self, layer: int) -> int:
        """Start of the layer's V inside a block."""
        shape = self.layers[layer]
        return self.key_offset(layer) + self.block_size * shape.kv_heads * self.width(shape.k_dim)

    def blocks_in(self, kv_bytes: int) -> int:
        """How many blocks fit. Raises InvalidSpec if that is too few to serve anything."""
        blocks = kv_bytes // self.block_bytes
        if blocks < MIN_BLOCKS:
            need = MIN_BLOCKS * self.block_bytes
            raise InvalidSpec(f"KV memory of {kv_bytes} bytes is too small: this model needs {need} at least")
        return blocks

    def describe(self) -> str:
        """Text that is equal exactly when two layouts are interchangeable."""
        shapes = ";".join(f"{shape.kv_heads}x{shape.k_dim}+{shape.v_dim}" for shape in self.layers)
        return f"block-major/LKVHTD/{self.dtype}/{self.block_size}/{shapes}"
