"""How the charged-particle store of a tier is prepared (the `data.nbody` block of its file), and how runs read it."""

from typing import Annotated

from pydantic import Field, NonNegativeInt, PositiveInt

from data.settings import Seed, settings


@settings
class NbodySettings:
    """Five charged particles, simulated: how many trajectories of which random stream, and which frames of them."""

    train: PositiveInt
    """Training trajectories stored; 3000 are published."""
    validation: PositiveInt
    """Validation trajectories, which the stream gives next; 2000 are published."""
    test: PositiveInt
    """Test trajectories, which the stream gives last; 2000 are published."""
    train_drawn: PositiveInt | None = None
    """Trajectories that the stream gives before the validation split starts, 10000 as published; null: those stored."""
    seed: Seed = 43
    """Seed of the stream; 43 is the published one."""
    length: PositiveInt = 5000
    """Integration steps of a published trajectory; the stream depends on it."""
    sample_freq: PositiveInt = 100
    """Steps between frames: frame k is the state after (k + 1) times so many steps."""
    frames: Annotated[tuple[NonNegativeInt, ...], Field(min_length=1)] = (30, 32, 34, 36, 38, 40)
    """Frames stored, ascending."""

    def __post_init__(self):
        if self.train_drawn is not None and self.train_drawn < self.train:
            raise ValueError(f"train_drawn must be at least train, {self.train}, and is {self.train_drawn}")
        last = self.frames_published - 1
        if last < 0:
            raise ValueError(
                f"length, {self.length} steps, must be at least twice sample_freq, {self.sample_freq}: "
                "else a trajectory has no frame"
            )
        if sorted(set(self.frames)) != list(self.frames) or self.frames[-1] > last:
            raise ValueError(
                f"frames must be ascending whole numbers from 0 to {last}, the last frame of "
                f"{self.length} steps with one frame every {self.sample_freq}"
            )

    @property
    def frames_published(self) -> int:
        """T_save of the specification."""
        return self.length // self.sample_freq - 1

    @property
    def steps(self) -> list[int]:
        """Integration steps after which the stored frames are taken."""
        return [(frame + 1) * self.sample_freq for frame in self.frames]


@settings
class NBodyDataSettings:
    """Batches of charged particles."""

    store: str
    """The prepared store; filled in from the tier."""
    batch_size: PositiveInt = 100
    """Graphs per training step, over all processes; what does not fill a batch waits for the next epoch."""
    input_frame: NonNegativeInt = 30
    """Frame whose positions and velocities are given; the store must have it."""
    target_frames: Annotated[tuple[NonNegativeInt, ...], Field(min_length=1)] = (40,)
    """Frames to predict, ascending; errors are of the last."""
    rotate: bool = False
    """Whether every training batch is turned by one random rotation, as in ES's recipe."""
    monitor_trajectories: PositiveInt = 64
    """Validation trajectories on which the monitor measures, the first ones, in four batches."""
