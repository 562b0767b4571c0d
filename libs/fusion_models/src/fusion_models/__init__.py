"""Models and losses for LiDAR and camera perception, one package per system.

Import the system you need (`from fusion_models import imagepg`); the package itself imports nothing.

`detection` and `layers` hold what systems share, `weights` reads and writes files; every other package is a
system and offers in its `__all__` the same faces, which a test looks up for all of them:

- `<Name>Config`, a frozen dataclass: every field documented, the default is the published system;
- `<Name>`, the `torch.nn.Module` of such a configuration: `Name(config)`;
- `<Any>Losses`, a frozen dataclass of the terms with `total`, what to minimise;
- `RELEASED_ENTRY`, the entry of the authors' checkpoint that holds the weights;
- `load_released(model, state)`, which puts that entry into a model and returns the names left out.
"""

__version__ = "0.1.0"
