"""The clustering loss of Cluster3DSeg (arXiv 2307.14605, ICCV 2023): clusters within the classes, contrasted.

In training every class keeps a few dozen centres. Points sampled from a batch, the anchors, are shared out
among the centres of their class; the clusters, not the classes, then say which points belong together. An
anchor is drawn to its own cluster and pushed off all others in three terms: against a memory of points of
earlier batches, against the other anchors, and against the centres. At test time nothing of this is left.

The released code differs from what the paper describes; `ClusterConfig.compat` says which of both is done.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from fusion_models.segmentation.sinkhorn import balanced_assignment

IGNORED = 255
"""Label of points that have no class."""
SelfPairs = Literal["negative", "left out"]


@dataclass(frozen=True)
class ClusterConfig:
    """Numbers of the clustering loss. Source of all: the released code, `contrast` part of the trainer."""

    compat: Literal["official", "corrected"] = "corrected"
    """official: as released. The memory of a cluster gets numbers of several anchors mixed up, since a matrix
    is reshaped where it ought to be transposed; the clusters 0 and 255 get none; an anchor is a negative of
    its own; and in classes with fewer clusters all anchors fall into the first, since the balanced assignment
    counts with `clusters` there, too, and runs into NaN. corrected: anchors go into the memory of their own
    cluster, of all clusters; none is compared with itself; and classes with fewer clusters are shared out
    like the others. Where the released code would fail or give a loss of NaN, both give 0."""
    clusters: int = 40
    """Of every class."""
    fewer_clusters: Mapping[int, int] = field(default_factory=dict)
    """Clusters of the classes, by index, that have fewer. Released: `{7: 10, 8: 10}`, motorcyclist and road;
    very probably bicyclist and motorcyclist were meant, the rarest ones, which are 7 and 8 when counted from
    1."""
    memory: int = 50
    """Points that are remembered of every cluster."""
    most_remembered: int = 10
    """Points of a batch that enter the memory of a cluster."""
    momentum: float = 0.9999
    """Share of a centre that a step leaves."""
    temperature: float = 0.1
    base_temperature: float = 2.0
    """Every term is scaled by `temperature / base_temperature`."""
    power: float = 25.0
    """Of the balanced assignment."""
    tolerance: float = 0.1
    """Of the balanced assignment."""
    anchors: int = 100
    """Of all classes of a batch together; each has as many, rounded down."""
    anchors_per_class: int = 100
    """At most."""
    factor: float = 0.5
    """On the sum of the three terms."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        numbers = (self.clusters, self.memory, self.most_remembered, self.anchors, self.anchors_per_class)
        if min(numbers) < 1 or self.most_remembered > self.memory:
            raise ValueError(
                "ClusterConfig: clusters, memory, most_remembered, anchors and anchors_per_class must be at "
                f"least 1, and most_remembered at most memory, got {self}"
            )
        if not all(1 <= count <= self.clusters for count in self.fewer_clusters.values()):
            raise ValueError(
                f"ClusterConfig.fewer_clusters must hold 1 to {self.clusters} clusters, got "
                f"{self.fewer_clusters}"
            )
        if not 0 <= self.momentum <= 1 or self.temperature <= 0 or self.base_temperature <= 0:
            raise ValueError(
                f"ClusterConfig: momentum must lie in 0..1 and both temperatures be positive, got {self}"
            )


class ClusterLosses(NamedTuple):
    """Scalars; the terms are not scaled by `ClusterConfig.factor`."""

    point_memory: Float[Tensor, ""]
    """Anchors against remembered points."""
    in_batch: Float[Tensor, ""]
    """Anchors against each other; 0 where no two share a cluster."""
    point_centre: Float[Tensor, ""]
    """Anchors against the centres of the classes of the batch."""
    total: Float[Tensor, ""]
    """Their sum times the factor."""


class Anchors(NamedTuple):
    """Points sampled from a batch, on every process the same."""

    features: Float[Tensor, "a d"]
    """Of unit length; gradients flow to those of this process."""
    classes: Int64[Tensor, " a"]


class WithinClassClusterLoss(nn.Module):
    """The loss, with its centres and its memory, which are kept in checkpoints.

    With several processes anchors are drawn from the joined batch, and all processes see all of them: loss,
    centres and memory are those of one process on the joined batch, and gradients are, once they are
    averaged. Random numbers depend on the seed and the number of calls alone, so that a resumed training
    repeats them. Centres and memory change in training mode only.

    Args:
        config: Its numbers.
        num_classes: Of the network; labels are indices below, or 255.
        channels: Of the embeddings.
        seed: Of the first centres and the first memory, which are random, and of the anchors.

    Raises:
        ValueError: `config.fewer_clusters` names a class that is not there.

    Example:
        >>> loss = WithinClassClusterLoss(ClusterConfig(), num_classes=2, channels=3)
        >>> points, labels = torch.rand(40, 3), torch.arange(40) % 2
        >>> bool(loss(points, labels, predictions=labels).total > 0), loss.calls.item()
        (True, 1)
    """

    centres: Tensor
    memory: Tensor
    pointers: Tensor
    calls: Tensor

    def __init__(self, config: ClusterConfig, *, num_classes: int, channels: int, seed: int = 0) -> None:
        super().__init__()
        strangers = [index for index in config.fewer_clusters if not 0 <= index < num_classes]
        if strangers:
            raise ValueError(
                f"ClusterConfig.fewer_clusters: class {strangers[0]} is not among the {num_classes} of the "
                "network"
            )
        self.config = config
        self.num_classes = num_classes
        self.seed = seed
        self._rules = _OFFICIAL if config.compat == "official" else _CORRECTED
        random = torch.Generator().manual_seed(seed)
        clusters = num_classes * config.clusters
        centres = torch.randn(num_classes, config.clusters, channels, generator=random)
        memory = torch.randn(clusters, config.memory, channels, generator=random)
        self.register_buffer("centres", F.normalize(centres, dim=2))
        self.register_buffer("memory", F.normalize(memory, dim=2))
        self.register_buffer("pointers", torch.zeros(clusters, dtype=torch.int64))
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(
        self, features: Float[Tensor, "n d"], labels: Int64[Tensor, " n"], *, predictions: Int64[Tensor, " n"]
    ) -> ClusterLosses:
        """Return the losses of a batch; in training mode take it into centres and memory.

        Computed in single precision, also under autocast.

        Args:
            features: Embeddings, of any length.
            labels: Class of every point, 255 where there is none.
            predictions: Class that the network gives it. They only tell hard points from easy ones, of which
                as many become anchors where there are enough.

        Raises:
            ValueError: A label is neither a class nor 255.
        """
        strange = (labels != IGNORED) & ((labels < 0) | (labels >= self.num_classes))
        if strange.any():
            raise ValueError(
                f"WithinClassClusterLoss: labels must lie in 0..{self.num_classes - 1} or be {IGNORED}, got "
                f"{int(labels[strange][0])}"
            )
        random = torch.Generator().manual_seed(hash((self.seed, int(self.calls))) % 2**63)
        rows = draw_anchors(
            labels,
            predictions == labels,
            num_classes=self.num_classes,
            most=self.config.anchors,
            most_per_class=self.config.anchors_per_class,
            random=random,
        )
        return self.of_anchors(gather_anchors(features, rows), random=random)

    def of_anchors(self, anchors: Anchors, *, random: torch.Generator) -> ClusterLosses:
        """Return the losses of anchors that are chosen already.

        Args:
            anchors: Classes in ascending order.
            random: Chooses which of too many points of a cluster are remembered.
        """
        with torch.autocast(anchors.features.device.type, enabled=False):
            losses, ids = self._losses(anchors)
        if self.training:
            self._remember(anchors, ids, random)
        return losses

    def _losses(self, anchors: Anchors) -> tuple[ClusterLosses, Int64[Tensor, " a"]]:
        features, classes = anchors
        present = classes.unique()
        ids = self.assign(anchors)
        nothing = features.sum() * 0
        if not len(features):
            return ClusterLosses(nothing, nothing, nothing, nothing), ids
        valid = self._is_cluster.flatten().nonzero().squeeze(1)
        remembered = self.memory[valid].flatten(0, 1)
        in_use = self._is_cluster[present]
        centre_ids = (present[:, None] * self.config.clusters + self._numbers)[in_use]
        terms = (
            self._contrast(features, ids, remembered, valid.repeat_interleave(self.config.memory)),
            self._contrast(features, ids, features, ids, self_pairs=self._rules.self_pairs),
            self._contrast(features, ids, self.centres[present][in_use], centre_ids),
        )
        return ClusterLosses(*terms, total=self.config.factor * sum(terms, start=nothing)), ids

    def _contrast(self, *pairs: Tensor, self_pairs: SelfPairs | None = None) -> Tensor:
        scale = self.config.temperature / self.config.base_temperature
        return scale * contrast(*pairs, temperature=self.config.temperature, self_pairs=self_pairs)

    @torch.no_grad()
    def assign(self, anchors: Anchors) -> Int64[Tensor, " a"]:
        """Return the cluster of every anchor, counted through all classes: class * `clusters` + cluster."""
        ids = torch.empty_like(anchors.classes)
        for index in anchors.classes.unique().tolist():
            own = anchors.classes == index
            ids[own] = index * self.config.clusters + self._rules.assigned(
                anchors.features[own], self.centres[index, : self.clusters_of(index)], self.config
            )
        return ids

    def clusters_of(self, index: int) -> int:
        """Return how many clusters a class has."""
        return self.config.fewer_clusters.get(index, self.config.clusters)

    @property
    def _numbers(self) -> Int64[Tensor, " k"]:
        return torch.arange(self.config.clusters, device=self.centres.device)

    @property
    def _is_cluster(self) -> Bool[Tensor, "c k"]:
        """Which of the centres are used."""
        counts = torch.tensor(
            [self.clusters_of(i) for i in range(self.num_classes)], device=self.centres.device
        )
        return self._numbers < counts[:, None]

    @torch.no_grad()
    def _remember(self, anchors: Anchors, ids: Int64[Tensor, " a"], random: torch.Generator) -> None:
        """Take anchors into the memory of their clusters, and move the centres a little towards them."""
        features = anchors.features.detach()
        for cluster in ids.unique().tolist():
            if cluster in self._rules.without_memory:
                continue
            rows = (ids == cluster).nonzero().squeeze(1)
            chosen = torch.randperm(len(rows), generator=random)[: self.config.most_remembered].to(
                rows.device
            )
            self._enqueue(cluster, F.normalize(self._rules.to_remember(features, rows, chosen), dim=1))
        count = self.num_classes * self.config.clusters
        sums = features.new_zeros(count, features.shape[1]).index_add_(0, ids, features)
        means = sums / ids.bincount(minlength=count).clamp(min=1)[:, None]
        momentum = self.config.momentum
        moved = momentum * self.centres + (1 - momentum) * means.view_as(self.centres)
        self.centres.copy_(F.normalize(moved, dim=2))
        self.calls.add_(1)

    def _enqueue(self, cluster: int, points: Float[Tensor, "m d"]) -> None:
        """Write points over the oldest ones; those that reach the end of the memory fill its last places."""
        start, count, size = int(self.pointers[cluster]), len(points), self.config.memory
        if start + count > size:
            self.memory[cluster, size - count :] = points
            self.pointers[cluster] = 0
        else:
            self.memory[cluster, start : start + count] = points
            self.pointers[cluster] = (start + count) % size


class _Rules(NamedTuple):
    """Where the released code and the paper's description part."""

    self_pairs: SelfPairs
    without_memory: frozenset[int]

    def assigned(self, points: Tensor, centres: Tensor, config: ClusterConfig) -> Tensor:
        """Return the cluster of every point of a class, counted from 0."""
        return balanced_assignment(points, centres, power=config.power, tolerance=config.tolerance)

    def to_remember(self, features: Tensor, rows: Tensor, chosen: Tensor) -> Tensor:
        """Return what of the anchors [a, d] enters the memory of a cluster, to which `rows` belong."""
        return features[rows[chosen]]


class _ReleasedRules(_Rules):
    def assigned(self, points: Tensor, centres: Tensor, config: ClusterConfig) -> Tensor:
        if len(centres) < config.clusters:
            return torch.zeros(len(points), dtype=torch.int64, device=points.device)
        return super().assigned(points, centres, config)

    def to_remember(self, features: Tensor, rows: Tensor, chosen: Tensor) -> Tensor:
        # [a, d] read as [d, a], of whose columns the first few are taken, whoever is of the cluster.
        return features.reshape(features.shape[1], -1)[:, chosen].T


_OFFICIAL = _ReleasedRules("negative", frozenset({0, 255}))
_CORRECTED = _Rules("left out", frozenset())


def contrast(
    anchors: Float[Tensor, "a d"],
    ids: Int64[Tensor, " a"],
    others: Float[Tensor, "m d"],
    other_ids: Int64[Tensor, " m"],
    *,
    temperature: float,
    self_pairs: SelfPairs | None = None,
) -> Float[Tensor, ""]:
    """Return how badly anchors tell points of their own cluster from all others, averaged over the anchors.

    With s the product of anchor i and another point over the temperature, P its own cluster's points and N
    the others: `l_i = -mean over p in P of log(e^s_ip / (e^s_ip + sum over n in N of e^s_in))`. Anchors
    without points of their cluster are left out of the mean; without any other anchor the result is 0.
    Source: ProtoSeg and Cluster3DSeg; the denominator has all negatives, but of the positives only the one at
    hand.

    Args:
        anchors: Of unit length.
        ids: Cluster of every anchor.
        others: What they are compared with, of unit length.
        other_ids: Cluster of every other point.
        temperature: Positive.
        self_pairs: The others are the anchors themselves: what is done with pairs of a point with itself.

    Example:
        >>> points, ids = torch.eye(2), torch.tensor([0, 1])
        >>> round(contrast(points, ids, points, ids, temperature=1.0).item(), 4)  # log(1 + 1 / e)
        0.3133
    """
    scores = anchors @ others.T / temperature
    scores = scores - scores.amax(dim=1, keepdim=True).detach()
    positive = ids[:, None] == other_ids
    negative = ~positive
    if self_pairs is not None:
        same = torch.eye(len(ids), dtype=torch.bool, device=ids.device)
        positive = positive & ~same
        negative = negative | same if self_pairs == "negative" else negative & ~same
    pushed = (scores.exp() * negative).sum(dim=1, keepdim=True)
    likelihood = scores - (scores.exp() + pushed).log()
    count = positive.sum(dim=1)
    counted = count > 0
    if not counted.any():
        return (scores * 0).sum()
    means = torch.where(positive, likelihood, 0.0).sum(dim=1)[counted] / count[counted]
    return -means.mean()


class AnchorRows(NamedTuple):
    """Anchors of the joined batch, and which of them this process has."""

    classes: Int64[Tensor, " a"]
    """Of all anchors."""
    places: Int64[Tensor, " k"]
    """Which of the anchors are of this process."""
    rows: Int64[Tensor, " k"]
    """Their rows in its batch."""


def draw_anchors(
    labels: Int64[Tensor, " n"],
    is_easy: Bool[Tensor, " n"],
    *,
    num_classes: int,
    most: int,
    most_per_class: int,
    random: torch.Generator,
) -> AnchorRows:
    """Choose the anchors of a batch: for every class that occurs equally many, half of them hard.

    With k anchors for a class, k // 2 are hard and the others easy; where one kind has fewer, all of it are
    taken and the other kind makes up for it. Hard ones come first. With several processes the points of all
    are drawn from, in the order of the processes; `random` must be in the same state on all.

    Args:
        labels: Class of every point of this process, or 255.
        is_easy: Whether the network gives the point its class.
        num_classes: Classes.
        most: Anchors of all classes together.
        most_per_class: Anchors of one class.
        random: A generator on the CPU.
    """
    rows = [
        [((labels == index) & (is_easy == easy)).nonzero().squeeze(1) for easy in (False, True)]
        for index in range(num_classes)
    ]
    own = torch.tensor([[len(kind) for kind in kinds] for kinds in rows], dtype=torch.int64)
    before, total = _counts_before(own, labels.device)
    present = total.sum(dim=1).nonzero().squeeze(1).tolist()
    each = min(most // max(len(present), 1), most_per_class)
    classes, places, chosen = [], [], []
    for index in present:
        wanted = anchors_of_kinds(each, *total[index].tolist())
        for kind, count in enumerate(wanted):
            drawn = torch.randperm(int(total[index, kind]), generator=random)[:count] - before[index, kind]
            here = ((drawn >= 0) & (drawn < own[index, kind])).nonzero().squeeze(1)
            places.append(here + len(classes))
            chosen.append(rows[index][kind][drawn[here].to(labels.device)])
            classes += [index] * count
    device = labels.device
    return AnchorRows(
        torch.tensor(classes, dtype=torch.int64, device=device),
        torch.cat([torch.zeros(0, dtype=torch.int64), *places]).to(device),
        torch.cat([torch.zeros(0, dtype=torch.int64, device=device), *chosen]),
    )


def anchors_of_kinds(wanted: int, hard: int, easy: int) -> tuple[int, int]:
    """Return how many hard and easy anchors a class gets of so many points.

    Example:
        >>> tuple(anchors_of_kinds(5, hard, easy) for hard, easy in ((9, 9), (1, 9), (9, 1), (1, 1)))
        ((2, 3), (1, 4), (4, 1), (1, 1))
    """
    if hard >= wanted / 2 and easy >= wanted / 2:
        return wanted // 2, wanted - wanted // 2
    if hard >= wanted / 2:
        return min(wanted - easy, hard), easy
    if easy >= wanted / 2:
        return hard, min(wanted - hard, easy)
    return hard, easy


def gather_anchors(features: Float[Tensor, "n d"], anchors: AnchorRows) -> Anchors:
    """Return the features of all anchors, of whichever process, in single precision and of unit length.

    Gradients flow to those of this process, times the number of processes: their average over the processes
    then is the gradient of one process on the joined batch.
    """
    own = F.normalize(features[anchors.rows].float(), dim=1)
    zeros = own.new_zeros(len(anchors.classes), own.shape[1])
    placed = zeros.index_copy(0, anchors.places, own)
    if not _is_distributed():
        return Anchors(placed, anchors.classes)
    joined = placed.detach().clone()
    dist.all_reduce(joined)
    return Anchors(joined + dist.get_world_size() * (placed - placed.detach()), anchors.classes)


def _is_distributed() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def _counts_before(own: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return, for counts of this process, those of the processes before it and of all."""
    if not _is_distributed():
        return torch.zeros_like(own), own
    counts = [torch.zeros_like(own, device=device) for _ in range(dist.get_world_size())]
    dist.all_gather(counts, own.to(device))
    before = torch.stack([torch.zeros_like(counts[0]), *counts]).cumsum(dim=0).cpu()
    return before[dist.get_rank()], before[-1]
