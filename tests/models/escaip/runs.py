"""A small EScAIP, and a complete configuration of a run that trains it in a second."""

from pathlib import Path

NETWORK = {
    "hidden_size": 8,
    "num_heads": 2,
    "num_layers": 1,
    "atom_embedding_size": 4,
    "edge_distance_embedding_size": 8,
    "edge_distance_expansion_size": 16,
    "node_direction_embedding_size": 4,
    "node_direction_expansion_size": 3,
    "max_neighbors": 6,
    "max_radius": 6.0,
    "attention_dropout": 0.1,
    "mlp_dropout": 0.05,
}


def configuration(store: Path, name: str = "tiny", steps: int = 12, seed: int = 0) -> dict:
    return {
        "run": {
            "tier": "test",
            "name": name,
            "system": "escaip",
            "dataset": "spice",
            "label": "x",
            "seed": seed,
        },
        "model": {
            "class_path": "models.escaip.task.EScAIPTask",
            "init_args": {
                "network": NETWORK,
                "optimizer": {"lr": 0.001},
                "schedule": {"kind": "constant", "warmup_steps": 4},
                "ema_decay": 0.9,
            },
        },
        "data": {
            "class_path": "models.datasets.spice.SpiceData",
            "init_args": {"store": str(store), "batch_size": 4, "monitor_molecules": 6},
        },
        "trainer": {"max_steps": steps, "checkpoint_every": 4, "log_every": 3, "gradient_clip_val": 10.0},
        "monitor": {"steps": 3, "rotations": 4},
    }
