"""A network that learns: the step that training repeats, and everything that the step changes."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torchvision.models import ResNet

from .data import Batch, CropLabels, Normalise, batch_transform
from .initialisation import GATE_OPTIONS
from .recipe import Recipe
from .schedule import (
    batch_shape,
    begin_phase,
    check_phases,
    learning_rate_scale,
    make_optimizer,
    phase_rate,
)
from .teacher import CLASSES as TEACHER_CLASSES


class Learner:
    """The network, its optimizer, its average, and where in the schedule it is.

    Args:
        recipe: what to do.
        model: as the recipe starts it.
        pretrained: its top-level modules that are.
        classes: number of them.
        per_epoch: steps in an epoch.
        accelerator: where it runs, and how precisely.

    Raises:
        ValueError: nothing would learn in one of the recipe's phases.
    """

    def __init__(
        self,
        recipe: Recipe,
        model: ResNet,
        pretrained: set[str],
        classes: int,
        per_epoch: int,
        accelerator: Accelerator,
    ):
        self.recipe, self.pretrained, self.accelerator = recipe, pretrained, accelerator
        self.classes = classes
        check_phases(model, recipe.phases, pretrained)
        self.own_outputs = bool(recipe.teachers) and recipe.classes != "imagenet"
        if self.own_outputs:
            model.fc = with_outputs(model.fc, TEACHER_CLASSES)
        self.model = model.to(accelerator.device, memory_format=torch.channels_last)
        self.ema = AveragedModel(
            self.model, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema), use_buffers=True
        ).requires_grad_(False)
        optimizer = make_optimizer(self.model, recipe, pretrained)
        self.before: dict[str, Tensor] = {}  # of the average, before the last phase: `kept`
        self.gates: dict[str, Tensor] = {}  # of the last pass, those that evidence is shown to
        if recipe.evidence:
            for name in recipe.evidence_blocks:
                gate = self.model.get_submodule(name).spatial_attention
                gate.register_forward_hook(self._keeper(name))
        self.parallel, self.optimizer = accelerator.prepare(self.model, optimizer)
        self.normalise = Normalise()
        self.mix = batch_transform(recipe, classes)
        self.step = 0
        self.per_epoch = per_epoch
        self.steps = recipe.epochs * per_epoch
        self.warmup = int(recipe.warmup_epochs * per_epoch)

    def _keeper(self, name: str):
        def keep(module: nn.Module, args: tuple, gate: Tensor) -> None:
            self.gates[name] = gate

        return keep

    def begin_epoch(self, epoch: int) -> None:
        """Let learn what is to learn, and seed what is drawn from here on."""
        phase, still = self.recipe.phase(epoch), self.recipe.fixed_statistics
        last = self.recipe.epochs - self.recipe.phases[-1].epochs
        if self.recipe.kept and self.step == last * self.per_epoch:
            average = self.ema.module.state_dict()
            self.before = {k: v.clone() for k, v in average.items() if self._kept(k, v)}
        begin_phase(self.model, phase, self.pretrained, still)
        process = self.accelerator.process_index
        torch.manual_seed(self.recipe.seed + self.step + 1_000_003 * process)

    def _kept(self, name: str, value: Tensor) -> float:
        """The share of a tensor that is kept over the last phase."""
        share = dict(self.recipe.kept).get(name.split(".")[0], 0.0)
        return share if value.is_floating_point() else 0.0

    def learn(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """One step on a batch, resized as the step wants it.

        Returns:
            The mean loss and the number of photos that were predicted correctly, both on the
            device. With ImageNet's classes, what the teachers predict counts as correct.
        """
        scale = learning_rate_scale(self.step, self.steps, self.warmup)
        scale *= phase_rate(self.recipe, self.step, self.per_epoch)
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * scale
        x = self.normalise(batch.photos)
        shape = batch_shape(self.recipe, self.step, self.per_epoch)
        if shape != x.shape[2:]:
            x = F.interpolate(x, shape, mode="bilinear", antialias=True)
            x = x.contiguous(memory_format=torch.channels_last)
        loss, correct = self._loss(x, batch.labels, batch.soft)
        self.optimizer.zero_grad()
        self.accelerator.backward(loss)
        self.optimizer.step()
        self.ema.update_parameters(self.model)
        self.step += 1
        return loss.detach(), correct

    def _loss(self, x: Tensor, labels: Tensor, soft: CropLabels | None) -> tuple[Tensor, Tensor]:
        """The loss of a batch of model input, and how many of it were predicted correctly."""
        recipe = self.recipe
        if recipe.classes == "imagenet":
            logits = distilled = self.parallel(x)
            labels, loss = soft.logits.argmax(1), 0.0
        else:
            x, targets = self.mix(x, labels)
            outputs = self.parallel(x)
            logits, distilled = outputs[:, : self.classes], outputs[:, self.classes :]
            loss = F.cross_entropy(logits, targets, label_smoothing=recipe.label_smoothing)
        if recipe.teachers:
            loss = loss + recipe.teacher * distillation(distilled, soft.logits)
        if recipe.evidence:
            sides = x.shape[2:]
            loss = loss + recipe.evidence * evidence_loss(self.gates, soft.evidence, sides)
            self.gates.clear()
        return loss, (logits.argmax(1) == labels).sum()

    @torch.no_grad()
    def validate(self, batches: Iterable[Batch]) -> float:
        """Top-1 of the averaged weights, 0 to 1, on a prepared loader's batches, all of them."""
        self.ema.eval()
        correct, seen = 0, 0
        for batch in batches:
            with self.accelerator.autocast():
                logits = self.ema(self.normalise(batch.photos))[:, : self.classes]
            hits = self.accelerator.gather_for_metrics(logits.argmax(1) == batch.labels)
            correct, seen = correct + hits.sum().item(), seen + len(hits)
        return correct / seen

    def finished(self) -> dict[str, Tensor]:
        """The averaged weights on the CPU, `kept` blended in, without the teachers' outputs."""
        average = self.ema.module.state_dict()
        average |= {
            k: torch.lerp(average[k], before, self._kept(k, before))
            for k, before in self.before.items()
        }
        state = {k: v.cpu().contiguous() for k, v in average.items()}
        return state | {k: state[k][: self.classes] for k in ("fc.weight", "fc.bias")}

    def state_dict(self) -> dict:
        """All that a stopped run needs to go on."""
        arguments = getattr(self.model, "_hub_mixin_config", {})
        return {
            "recipe": asdict(self.recipe),
            "options": {k: arguments[k] for k in GATE_OPTIONS if k in arguments},
            "pretrained": sorted(self.pretrained),
            "step": self.step,
            "steps": self.steps,
            "model": self.model.state_dict(),
            "ema": self.ema.state_dict(),
            "before": self.before,
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict) -> None:
        """Go on where `state_dict` was taken."""
        self.model.load_state_dict(state["model"])
        self.ema.load_state_dict(state["ema"])
        self.before = {k: v.to(self.accelerator.device) for k, v in state["before"].items()}
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]


def with_outputs(head: nn.Linear, more: int) -> nn.Linear:
    """A classifier with further outputs, in their initial state, behind those that it has."""
    wide = nn.Linear(head.in_features, head.out_features + more)
    with torch.no_grad():
        wide.weight[: head.out_features] = head.weight
        wide.bias[: head.out_features] = head.bias
    return wide


def distillation(logits: Tensor, soft: Tensor) -> Tensor:
    """Mean divergence of a network's answer from soft labels, both logits [N, classes].

    Hinton, Vinyals, Dean: "Distilling the Knowledge in a Neural Network" (arXiv 1503.02531),
    section 2, at a temperature of 1.
    """
    ours, theirs = (F.log_softmax(x.float(), 1) for x in (logits, soft))
    return F.kl_div(ours, theirs, reduction="batchmean", log_target=True)


def evidence_loss(gates: Mapping[str, Tensor], shown: Tensor, sides: tuple[int, int]) -> Tensor:
    """Mean cross-entropy of spatial gates with where the teachers' evidence lies, over all blocks.

    Args:
        gates: of each block [N, 1, rows, columns], in (0, 1).
        shown: the teachers' evidence over the input [N, rows, columns], in (0, 1).
        sides: height and width of the input in px.
    """
    losses = []
    for gate in gates.values():
        target = at_cells(shown, gate.shape[2:], sides)
        gate = gate[:, 0].float().clamp(1e-4, 1 - 1e-4)
        losses.append(F.binary_cross_entropy(gate, target))
    return torch.stack(losses).mean()


def at_cells(shown: Tensor, cells: tuple[int, int], sides: tuple[int, int]) -> Tensor:
    """A map over the input read off where a gate's cells are centred: cell i of stride s at s*i px.

    Args:
        shown: [N, rows, columns] over the whole input.
        cells: rows and columns of the gate.
        sides: height and width of the input in px.

    Returns:
        [N, *cells].
    """

    def centres(n: int, side: int) -> Tensor:
        """Of n cells, in `grid_sample`'s units."""
        stride = 1 << (-(-side // n) - 1).bit_length()  # the power of two, a divisor or not
        return (torch.arange(n, device=shown.device) * stride + 0.5) / side * 2 - 1

    ys, xs = map(centres, cells, sides)
    grid = torch.stack(torch.meshgrid(xs, ys, indexing="xy"), -1)
    grid = grid.expand(len(shown), -1, -1, -1)
    return F.grid_sample(shown[:, None], grid, padding_mode="border", align_corners=False)[:, 0]
