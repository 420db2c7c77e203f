"""Other values of the settings of a recipe, for tests that change them one by one."""

from distilrec.config import settings_within
from distilrec.distil.settings import DistilSettings
from distilrec.models.students import SIZES, preset, student_kinds

STUDENTS = {"student_alone/seed-0", "distilled/seed-0"}
OTHER_TRAINING = {
    "epochs": "3",
    "patience": "2",
    "batch_size": "8",
    "learning_rate": "0.01",
    "weight_decay": "0",
    "schedule": "cosine",
    "warmup_steps": "3",
    "clip_norm": "1",
    "label_smoothing": "0.1",
    "body_learning_rate": "0.01",
    "precision": "float32",
}
OTHER_SHAPE = {
    "width": "4",
    "blocks": "2",
    "heads": "4",
    "block": "ligr",
    "feedforward_ratio": "2",
    "positions": "none",
    "input_norm": "true",
    "feedforward_widths": "[5]",
    "block_heads": "[1]",
    "dropout": "0.5",
    "embedding_dropout": "0.5",
}
AUGMENT = {"crop": "0.1", "crop_share": "0.5", "mask": "0.1", "mask_share": "0.2", "reorder": "0.1"} | {
    "reorder_share": "0.5",
    "substitute_share": "0.1",
    "insert_share": "0.1",
}
CANDIDATES = {"teacher_top": "3", "student_top": "4", "random": "5", "rows_scored": "6"}
SCHEDULE = {"kind": "cosine", "start": "0.6", "end": "0.3", "begin": "0.2", "finish": "0.7"}
LINE = "{kind: linear, start: 0.5, end: 0.2, begin: 0.1, finish: 0.8}"
OTHER_STUDENT = OTHER_SHAPE | {
    "blocks": "3",
    "cell": "lstm",
    "layers": "2",
    "hidden": "5",
    "form": "caser",
    "kernel": "5",
    "window": "4",
    "filters": "3",
    "vertical_filters": "2",
    "hidden_ratio": "1",
    "half_life": "3",
    "decays": "2",
    "state_ratio": "1",
    "state": "5",
    "alpha": "0.9",
    "tables": "tied",
    "projection": "false",
    "edge_dropout": "0.1",
}
WITHIN: dict[str, tuple[dict[str, str], set[str]]] = {
    "student.train.augment={mask: 0.5}": (AUGMENT, STUDENTS),
    "student.train.augment={mask: 0.4}": ({"substitute": "0.1", "insert": "0.1"}, {"distilled/seed-0"}),
    "teacher.train.augment={mask: 0.5}": (AUGMENT, {"teacher"}),
    "student.train.candidates={}": (CANDIDATES, STUDENTS),
    "teacher.train.candidates={}": (CANDIDATES, {"teacher"}),
    f"distil.alpha={LINE}": (SCHEDULE, {"distilled/seed-0"}),
    f"distil.temperature={LINE}": (SCHEDULE, {"distilled/seed-0"}),
    f"distil.pull={LINE}": (SCHEDULE, {"distilled/seed-0"}),
    "distil.trust={confidence: 1}": (
        {"confidence": "2", "target": "1", "agreement": "1", "advantage": "1", "importance": "1"},
        {"distilled/seed-0"},
    ),
    "costs={}": ({"watts_per_core": "2"}, {"costs"}),
    "distil.curriculum={}": ({"start_share": "0.5", "full_at": "0.6", "by": "length"}, {"distilled/seed-0"}),
    **{
        f"student.model.kind={kind}": (
            {name: value for name, value in OTHER_STUDENT.items() if name in type(preset(kind, SIZES[0])).model_fields},
            STUDENTS,
        )
        for kind in student_kinds()
        if kind != "transformer"
    },
}
"""Settings within a group: what the group is first, then other values within it, and what these decide."""
ALONGSIDE = {
    "distil.pull": "distil.layers={blocks.0: blocks.0}",
    "distil.trust": "distil.losses=[{kind: ranking_distillation}]",
}
"""What some groups are nothing without."""
OTHER_LOSS = {
    "weight": "2",
    "teacher": "hidden.blocks.0",
    "student": "blocks.0",
    **dict.fromkeys(("top", "random", "k", "rest", "sampled", "interesting", "uninteresting", "drawn"), "7"),
    **dict.fromkeys(("corrected", "closure", "groups", "experts", "rows", "items"), "8"),
    **dict.fromkeys(("temperature", "decay", "margin", "offset", "distances", "angles"), "0.3"),
    "side": "both",
    "projection": "orthogonal",
    "form": "hierarchical",
    "towards": "teacher",
}
MEASURES = {
    "hidden_states": "cosine",
    "attention_transfer": "mse",
    "item_alignment": "contrastive",
    "view_consistency": "contrastive",
}
LAYERS_KEPT = ["knowledge.hidden=[blocks.0]", "knowledge.attention=[blocks.0]", "knowledge.relations=[blocks.0]"]
LAYERS_OF = {"attention_transfer": "attention.blocks.0", "relations": "relation.blocks.0"}
LOSSES = {
    kind.model_fields["kind"].annotation.__args__[0]: kind
    for kind in settings_within(DistilSettings.model_fields["losses"].annotation)
    if "kind" in kind.model_fields and "weight" in kind.model_fields
}
