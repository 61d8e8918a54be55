"""What is predicted: loss, metrics, and which metric is the headline.

All metrics go through torchmetrics, one definition a name, the same in every table:

| metric | rule |
|---|---|
| `acc2_has0` | negative (< 0) against non-negative (>= 0), on prediction and truth, all samples |
| `acc2_non0` | samples whose truth is exactly 0 are dropped; then prediction > 0 against truth > 0 |
| `f1_has0`, `f1_non0` | weighted F1 of the same two classes (each class's F1, weighted by its true count) |
| `acc5`, `acc7` | clip both to [-2, 2] or [-3, 3], round half to even (numpy, MMSA), equality |
| `mae` | mean absolute error, in the label's unit |
| `corr` | Pearson correlation; a constant prediction has none and counts as 0 |
| `accuracy`, `f1_macro`, `f1_weighted` | multi-class, on the arg max |
| `acc2_sims`, `f1_sims` | labels in [-1, 1] (CH-SIMS): clip to it; at most 0 against above 0, weighted F1 |
| `acc3_sims`, `acc5_sims` | cut at -0.1, 0.1 and at -0.7, -0.1, 0.1, 0.7; a value on a cut belongs below it |
| `f1_micro`, `f1_macro`, `f1_weighted`, `f1_samples` | multi-label, a label is given where its score is above 0 (probability .5) |
| `map` | multi-label, mean over the labels of the average precision; labels that no sample has are left out |
| `accuracy` | multi-label, share of right answers over all labels |
| `accuracy_top` | multi-label, share of the samples with a label whose highest score is at one of theirs (ties: the first); nan without any |
| `mae` | multi-label, mean absolute distance of probability and 0 or 1, over all samples and labels |
| `accuracy_<label>`, `f1_<label>` | one label of at most eight (IEMOCAP, MOSEI): accuracy, and the weighted F1 of its yes and no |

Acc-6 of CMU-MOSEI's emotions (hierarchical delta-attention, Table 2) is not defined for samples with no emotion or with several. `accuracy_top` is
what presence alone can answer: is the emotion that the model is surest of there? Samples without any emotion have no right answer and do not count.
The multi-label `mae` is least for certain answers, not for honest probabilities: it is no proper score, and rewards saying no to what is rare.

A sample or label without a positive in truth and prediction counts 0 in a multi-label F1, as in scikit-learn.

Which do the papers use? Adaptive weight fusion (2024) says "positive and negative", and the rows that its Table 4 quotes (Self-MM 85.98,
MISA 83.4, MulT 83.4) are those papers' negative/positive numbers: `acc2_non0` and `f1_non0`. MMSA prints both.
"""

import warnings
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from workbench.data.batch import TaskSpec

LOWER_IS_BETTER = {"mae", "loss"}
"""Metrics where less is better; all others are better when higher."""

METRIC_NAMES = {
    "acc2_has0": "Acc-2 (negative / non-negative)",
    "acc2_non0": "Acc-2 (negative / positive)",
    "f1_has0": "F1 (negative / non-negative)",
    "f1_non0": "F1 (negative / positive)",
    "acc5": "Acc-5",
    "acc7": "Acc-7",
    "mae": "MAE",
    "corr": "Correlation",
    "accuracy": "Accuracy",
    "f1_macro": "F1 (macro)",
    "f1_weighted": "F1 (weighted)",
    "acc2_sims": "Acc-2 (at most 0 / above)",
    "f1_sims": "F1 (at most 0 / above)",
    "acc3_sims": "Acc-3",
    "acc5_sims": "Acc-5",
    "f1_micro": "F1 (micro)",
    "f1_samples": "F1 (samples)",
    "accuracy_top": "Acc-top (strongest label)",
    "map": "mAP",
}


def metric_title(name: str) -> str:
    """A metric's name for people: `Acc-7`; `F1 (happy)` for one label of several."""
    kind, _, label = name.partition("_")
    plain = {"accuracy": "Accuracy", "f1": "F1"}.get(kind, name)
    return METRIC_NAMES.get(name) or (f"{plain} ({label})" if label else plain)


class Regression:
    """One number a sample.

    Args:
        spec: range of the label.
        loss: `l1` (mean absolute error, as the field's common framework trains MOSI) or `mse`.
    """

    def __init__(self, spec: TaskSpec, *, loss: str = "l1") -> None:
        self.spec = spec
        self.loss_name = loss
        self.is_signed = spec.low < 0 < spec.high
        self.is_sims = (spec.low, spec.high) == (-1.0, 1.0)
        self.headline = spec.headline or ("acc2_sims" if self.is_sims else "acc2_non0" if self.is_signed else "corr")

    def loss(self, prediction: Float[Tensor, " batch"], target: Float[Tensor, " batch"]) -> Float[Tensor, ""]:
        """Mean loss of a batch (nan-safe nowhere: a nan is the trainer's to report)."""
        target = target.to(prediction.dtype)
        return functional.l1_loss(prediction, target) if self.loss_name == "l1" else functional.mse_loss(prediction, target)

    def losses(self, prediction: Float[Tensor, " batch"], target: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        """The loss of each sample."""
        errors = prediction - target.to(prediction.dtype)
        return errors.abs() if self.loss_name == "l1" else errors.square()

    def truth_score(self, prediction: Float[Tensor, " batch"], target: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        """exp(-|error|), in the label's unit: what stands here for a class's probability."""
        return (-(prediction - target.to(prediction.dtype)).abs()).exp()

    def metrics(self, prediction: Float[Tensor, " batch"], target: Float[Tensor, " batch"]) -> dict[str, float]:
        """Every metric of the module's table that fits the label's range."""
        from torchmetrics.functional import mean_absolute_error

        prediction, target = prediction.detach().float().cpu(), target.detach().float().cpu()
        scores = {}
        if self.is_signed:
            scores |= two_class_scores(prediction >= 0, target >= 0, suffix="has0")
            keep = target != 0
            scores |= two_class_scores(prediction[keep] > 0, target[keep] > 0, suffix="non0")
        if (self.spec.low, self.spec.high) == (-3.0, 3.0):
            scores |= {f"acc{2 * limit + 1}": rounded_accuracy(prediction, target, limit=limit) for limit in (2, 3)}
        if self.is_sims:
            scores |= sims_scores(prediction, target)
        scores["mae"] = float(mean_absolute_error(prediction, target))
        scores["corr"] = correlation(prediction, target)
        return scores


class MultiClass:
    """One of several classes a sample; the loss is cross entropy in nats."""

    def __init__(self, spec: TaskSpec, *, loss: str = "l1") -> None:
        self.spec = spec
        self.headline = spec.headline or "accuracy"

    def loss(self, prediction: Float[Tensor, "batch class"], target: Int[Tensor, " batch"]) -> Float[Tensor, ""]:
        """Mean cross entropy of a batch."""
        return functional.cross_entropy(prediction, target)

    def losses(self, prediction: Float[Tensor, "batch class"], target: Int[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        """The loss of each sample."""
        return functional.cross_entropy(prediction, target, reduction="none")

    def truth_score(self, prediction: Float[Tensor, "batch class"], target: Int[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        """The probability of the true class."""
        return prediction.softmax(1).gather(1, target[:, None])[:, 0]

    def metrics(self, prediction: Float[Tensor, "batch class"], target: Int[Tensor, " batch"]) -> dict[str, float]:
        """Accuracy, macro and weighted F1 of the arg max."""
        from torchmetrics.functional.classification import multiclass_accuracy, multiclass_f1_score

        prediction, target = prediction.detach().float().cpu(), target.detach().cpu()
        score = partial(multiclass_f1_score, prediction, target, num_classes=len(self.spec.classes), validate_args=False)
        accuracy = multiclass_accuracy(prediction, target, num_classes=len(self.spec.classes), average="micro", validate_args=False)
        return {"accuracy": float(accuracy), "f1_macro": float(score(average="macro")), "f1_weighted": float(score(average="weighted"))}


AVERAGES = ("micro", "macro", "weighted", "samples")

TAKEN = (*AVERAGES, "top")
"""Labels of these names would make metrics of other metrics' names; theirs are called `accuracy_label_top`, ..."""

FEW = 8
"""Up to so many labels, each has its own accuracy and F1 among the metrics."""


class MultiLabel:
    """Any of several labels a sample; the loss is binary cross entropy in nats, averaged over labels (one yes/no question for each of them)."""

    def __init__(self, spec: TaskSpec, *, loss: str = "l1") -> None:
        self.spec = spec
        self.headline = spec.headline or "f1_micro"

    def loss(self, prediction: Float[Tensor, "batch label"], target: Float[Tensor, "batch label"]) -> Float[Tensor, ""]:
        """Mean binary cross entropy of a batch; `prediction` are scores before the sigmoid."""
        return functional.binary_cross_entropy_with_logits(prediction, target.to(prediction.dtype))

    def losses(self, prediction: Float[Tensor, "batch label"], target: Float[Tensor, "batch label"]) -> Float[Tensor, " batch"]:
        """The loss of each sample, the mean over its labels."""
        return functional.binary_cross_entropy_with_logits(prediction, target.to(prediction.dtype), reduction="none").mean(1)

    def truth_score(self, prediction: Float[Tensor, "batch label"], target: Float[Tensor, "batch label"]) -> Float[Tensor, " batch"]:
        """The mean over the labels of the probability of what is true: yes where a label is given, no where it is not."""
        return (1 - (prediction.sigmoid() - target.to(prediction.dtype)).abs()).mean(1)

    def metrics(self, prediction: Float[Tensor, "batch label"], target: Float[Tensor, "batch label"]) -> dict[str, float]:
        """The multi-label metrics of the module's table."""
        from sklearn.metrics import f1_score

        scores, truth = prediction.detach().float().cpu(), target.detach().cpu() > 0.5
        said = scores > 0
        found = {f"f1_{average}": float(f1_score(truth.numpy(), said.numpy(), average=average, zero_division=0)) for average in AVERAGES}
        found |= {"map": mean_average_precision(scores, truth), "accuracy": float((said == truth).float().mean())}
        found |= {"accuracy_top": top_accuracy(scores, truth), "mae": float((scores.sigmoid() - truth.float()).abs().mean())}
        if len(self.spec.classes) <= FEW:
            for i, name in enumerate(self.spec.classes):
                two = two_class_scores(said[:, i], truth[:, i], suffix=name)
                key = label_key(name)
                found |= {f"accuracy_{key}": two[f"acc2_{name}"], f"f1_{key}": two[f"f1_{name}"]}
        return found


Task = Regression | MultiClass | MultiLabel
TASKS = {"regression": Regression, "multiclass": MultiClass, "multilabel": MultiLabel}


def make_task(spec: TaskSpec, *, loss: str = "l1") -> Task:
    """The task of a data set; `loss` matters for regression only."""
    return TASKS[spec.kind](spec, loss=loss)


def metrics_of(spec: TaskSpec) -> list[str]:
    """The metrics that a task has."""
    if spec.kind == "multiclass":
        return ["accuracy", "f1_macro", "f1_weighted"]
    if spec.kind == "multilabel":
        single = [f"{metric}_{label_key(name)}" for name in spec.classes for metric in ("accuracy", "f1")]
        return [*(f"f1_{average}" for average in AVERAGES), "map", "accuracy", "accuracy_top", "mae", *(single if len(spec.classes) <= FEW else ())]
    task, found = Regression(spec), ["mae", "corr"]
    found += ["acc2_has0", "f1_has0", "acc2_non0", "f1_non0"] if task.is_signed else []
    found += ["acc5", "acc7"] if (spec.low, spec.high) == (-3.0, 3.0) else []
    return found + (["acc2_sims", "f1_sims", "acc3_sims", "acc5_sims"] if task.is_sims else [])


def label_key(name: str) -> str:
    """A label's name in the names of its metrics."""
    return f"label_{name}" if name in TAKEN else name


def top_accuracy(scores: Tensor, truth: Tensor) -> float:
    """Share of the samples with a label whose highest score is at one of their labels; nan where no sample has a label."""
    has_label = truth.any(1)
    hits = truth.gather(1, scores.argmax(1, keepdim=True))[:, 0]
    return float(hits[has_label].float().mean()) if bool(has_label.any()) else float("nan")


def sims_scores(prediction: Tensor, target: Tensor) -> dict[str, float]:
    """The metrics of CH-SIMS, on values clipped to [-1, 1]: Acc-2 and weighted F1 of above 0, Acc-3 and Acc-5 between cuts."""
    prediction, target = prediction.clamp(-1, 1), target.clamp(-1, 1)
    found = two_class_scores(prediction > 0, target > 0, suffix="sims")
    for name, cuts in (("acc3_sims", (-0.1, 0.1)), ("acc5_sims", (-0.7, -0.1, 0.1, 0.7))):
        edges = torch.tensor(cuts)
        found[name] = float((torch.bucketize(prediction, edges) == torch.bucketize(target, edges)).float().mean())
    return found


def mean_average_precision(scores: Tensor, truth: Tensor) -> float:
    """Mean over the labels that some sample has of the average precision; nan where no sample has a label."""
    from sklearn.metrics import average_precision_score

    found = [average_precision_score(truth[:, i].numpy(), scores[:, i].numpy()) for i in truth.any(0).nonzero()[:, 0].tolist()]
    return float(sum(found) / len(found)) if found else float("nan")


def two_class_scores(prediction: Tensor, target: Tensor, *, suffix: str) -> dict[str, float]:
    """Accuracy and weighted F1 of two classes given as booleans; nan where no sample is left."""
    from torchmetrics.functional.classification import multiclass_accuracy, multiclass_f1_score

    if not len(target):
        return {f"acc2_{suffix}": float("nan"), f"f1_{suffix}": float("nan")}
    prediction, target = prediction.long(), target.long()
    accuracy = multiclass_accuracy(prediction, target, num_classes=2, average="micro", validate_args=False)
    f1 = multiclass_f1_score(prediction, target, num_classes=2, average="weighted", validate_args=False)
    return {f"acc2_{suffix}": float(accuracy), f"f1_{suffix}": float(f1)}


def rounded_accuracy(prediction: Tensor, target: Tensor, *, limit: int) -> float:
    """Share of samples whose clipped and rounded prediction equals the clipped and rounded truth (Acc-5: limit 2, Acc-7: limit 3)."""
    return float((prediction.clamp(-limit, limit).round() == target.clamp(-limit, limit).round()).float().mean())


def correlation(prediction: Tensor, target: Tensor) -> float:
    """Pearson correlation; 0 where one side is constant or has one sample."""
    from torchmetrics.functional import pearson_corrcoef

    if len(target) < 2 or prediction.std() == 0 or target.std() == 0:
        return 0.0
    with warnings.catch_warnings():
        # torchmetrics warns of a variance near zero; a nearly constant prediction is normal in a first epoch.
        warnings.simplefilter("ignore", UserWarning)
        value = float(pearson_corrcoef(prediction, target))
    return value if torch.isfinite(torch.tensor(value)) else 0.0
