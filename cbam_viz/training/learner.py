"""A network that learns: the step that training repeats, and everything that the step changes."""

from collections.abc import Iterable
from dataclasses import asdict

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torchvision.models import ResNet

from .data import Normalise, batch_transform
from .recipe import Recipe
from .schedule import batch_shape, freeze, learning_rate_scale, make_optimizer
from .start import GATE_OPTIONS
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
        if recipe.teacher:
            model.fc = with_outputs(model.fc, TEACHER_CLASSES)
        self.model = model.to(accelerator.device, memory_format=torch.channels_last)
        self.ema = AveragedModel(
            self.model, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema), use_buffers=True
        ).requires_grad_(False)
        optimizer = make_optimizer(self.model, recipe, pretrained)
        self.parallel, self.optimizer = accelerator.prepare(self.model, optimizer)
        self.normalise = Normalise()
        self.mix = batch_transform(recipe, classes)
        self.step = 0
        self.per_epoch = per_epoch
        self.steps = recipe.epochs * per_epoch
        self.warmup = int(recipe.warmup_epochs * per_epoch)

    def begin_epoch(self, epoch: int) -> None:
        """Freeze what is to be frozen, and seed what is drawn from here on."""
        freeze(self.model, self.pretrained if epoch < self.recipe.frozen_epochs else set())
        process = self.accelerator.process_index
        torch.manual_seed(self.recipe.seed + self.step + 1_000_003 * process)

    def learn(self, photos: Tensor, labels: Tensor, taught: Tensor) -> tuple[Tensor, Tensor]:
        """One step on a uint8 batch [N, 3, H, W], resized as the step wants it.

        Args:
            photos: the batch.
            labels: of the photos [N].
            taught: the teacher's logits [N, TEACHER_CLASSES]; unused without one.

        Returns:
            The mean loss and the number of photos that were told right, both on the device.
        """
        scale = learning_rate_scale(self.step, self.steps, self.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * scale
        x = self.normalise(photos)
        shape = batch_shape(self.recipe, self.step, self.per_epoch)
        if shape != x.shape[2:]:
            x = F.interpolate(x, shape, mode="bilinear", antialias=True)
            x = x.contiguous(memory_format=torch.channels_last)
        x, targets = self.mix(x, labels)
        outputs = self.parallel(x)
        logits = outputs[:, : self.classes]
        loss = F.cross_entropy(logits, targets, label_smoothing=self.recipe.label_smoothing)
        if self.recipe.teacher:
            loss += self.recipe.teacher * distillation(outputs[:, self.classes :], taught)
        self.optimizer.zero_grad()
        self.accelerator.backward(loss)
        self.optimizer.step()
        self.ema.update_parameters(self.model)
        self.step += 1
        return loss.detach(), (logits.argmax(1) == labels).sum()

    @torch.no_grad()
    def validate(self, batches: Iterable[tuple[Tensor, Tensor]]) -> float:
        """Top-1 of the averaged weights, 0 to 1, on a prepared loader's batches, all of them."""
        self.ema.eval()
        right, seen = 0, 0
        for photos, labels, _ in batches:
            with self.accelerator.autocast():
                logits = self.ema(self.normalise(photos))[:, : self.classes]
            hits = self.accelerator.gather_for_metrics(logits.argmax(1) == labels)
            right, seen = right + hits.sum().item(), seen + len(hits)
        return right / seen

    def finished(self) -> dict[str, Tensor]:
        """The averaged weights on the CPU, without the teacher's outputs."""
        state = {k: v.cpu().contiguous() for k, v in self.ema.module.state_dict().items()}
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
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict) -> None:
        """Go on where `state_dict` was taken."""
        self.model.load_state_dict(state["model"])
        self.ema.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]


def with_outputs(head: nn.Linear, more: int) -> nn.Linear:
    """A classifier with further outputs, in their initial state, behind those that it has."""
    wide = nn.Linear(head.in_features, head.out_features + more)
    with torch.no_grad():
        wide.weight[: head.out_features] = head.weight
        wide.bias[: head.out_features] = head.bias
    return wide


def distillation(logits: Tensor, taught: Tensor) -> Tensor:
    """Mean divergence of a network's word from its teacher's, both logits [N, classes].

    Hinton, Vinyals, Dean: "Distilling the Knowledge in a Neural Network" (arXiv 1503.02531),
    section 2, at a temperature of 1.
    """
    ours, theirs = (F.log_softmax(x.float(), 1) for x in (logits, taught))
    return F.kl_div(ours, theirs, reduction="batchmean", log_target=True)
