"""Settings of EScAIP; the defaults are the published ones (spec escaip.md 3, 4, 5)."""

from typing import Annotated

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from data.settings import Share, settings
from models.training.settings import Optimizer, Schedule


@settings
class EScAIPConfig:
    """EScAIP version 1, with 6,137,222 parameters; names and meaning as in the official configuration."""

    hidden_size: PositiveInt = 128
    """Features H per atom and per neighbour."""
    num_heads: PositiveInt = 8
    """Attention heads; divides hidden_size."""
    num_layers: PositiveInt = 6
    """Transformer blocks L."""
    atom_embedding_size: PositiveInt = 128
    """Features A of an element."""
    edge_distance_embedding_size: PositiveInt = 512
    """Features E of a distance."""
    edge_distance_expansion_size: Annotated[int, Field(ge=2)] = 600
    """Gaussians K that a distance is expanded in."""
    node_direction_embedding_size: PositiveInt = 64
    """Features D of the bond-orientational order."""
    node_direction_expansion_size: PositiveInt = 10
    """Number of its orders: l = 0 to this number minus one."""
    ffn_multiplier: PositiveInt = 2
    """Hidden width of a block's feed-forward layers, in units of hidden_size."""
    readout_multiplier: PositiveInt = 2
    """Hidden width of the layers that read each block's features, in units of hidden_size."""
    output_multiplier: PositiveInt = 2
    """Hidden width of the output heads, in units of hidden_size."""
    max_neighbors: PositiveInt = 20
    """Nearest neighbours M that an atom attends to."""
    max_radius: PositiveFloat = 12.0
    """Cutoff [Angstrom]."""
    max_num_elements: PositiveInt = 110
    """Rows of the element tables, one per atomic number from 0."""
    use_angle_embedding: bool = True
    """Adds the cosine of the angle between two neighbours to their attention."""
    attention_dropout: Share = 0.1
    """Dropout probability of attention weights."""
    mlp_dropout: Share = 0.05
    """Dropout probability after every hidden activation."""
    box: PositiveFloat | None = None
    """Edge of a periodic cube around every molecule [Angstrom], 30 in the official code; null: open boundaries."""

    def __post_init__(self):
        if self.hidden_size % self.num_heads:
            raise ValueError(
                f"EScAIP: hidden_size {self.hidden_size} is not a multiple of num_heads {self.num_heads}"
            )


@settings
class EScAIPTaskSettings:
    """Training EScAIP with direct forces."""

    network: EScAIPConfig = EScAIPConfig()
    """Sizes of the network."""
    optimizer: Optimizer = Optimizer(name="adamw", lr=1e-5, weight_decay=0.01)
    """AdamW; weight decay does not apply to biases and embeddings."""
    schedule: Schedule = Schedule(
        kind="cosine", warmup_steps=1484, warmup_factor=0.2, total_steps=445470, final_factor=0.5
    )
    """Linear warm-up, then a cosine."""
    ema_decay: Share = 0.999
    """Decay per step of the exponential moving average of the weights; it starts at the initial weights, without bias
    correction."""
    energy_weight: NonNegativeFloat = 4.0
    """Weight of the energy's mean absolute error in the training loss."""
    force_weight: NonNegativeFloat = 100.0
    """Weight of the force error's mean Euclidean norm in the training loss."""
