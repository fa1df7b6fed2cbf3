"""Figures of the paper and of later papers, to stand beside ours.

Source: HuMo (arXiv 2509.08519 v1), tables of the subject task (100 cases), of the sync task (MoCha's cases) and of the
ablation; the later listings are by others.
"""

from __future__ import annotations

SOURCE = "HuMo, arXiv 2509.08519 v1"
SUBJECT = {
    "1.7B": {
        "AES": 0.586, "IQA": 0.680, "HSP": 3.432, "TVA": 3.222,
        "ID-Cur": 0.609, "ID-Glink": 0.668, "CLIP-I": 0.660, "DINO-I": 0.414,
    },
    "17B": {
        "AES": 0.657, "IQA": 0.717, "HSP": 3.906, "TVA": 3.939,
        "ID-Cur": 0.731, "ID-Glink": 0.757, "CLIP-I": 0.687, "DINO-I": 0.447,
    },
}  # fmt: skip
"""Subject task: text and references."""
SYNC = {
    "1.7B": {
        "AES": 0.322, "IQA": 0.661, "HSP": 4.350, "TVA": 5.865,
        "ID-Cur": 0.721, "ID-Glink": 0.729, "Sync-C": 6.005, "Sync-D": 8.648,
    },
    "17B": {
        "AES": 0.589, "IQA": 0.718, "HSP": 4.537, "TVA": 6.508,
        "ID-Cur": 0.747, "ID-Glink": 0.740, "Sync-C": 6.252, "Sync-D": 8.577,
    },
}  # fmt: skip
"""Sync task: text, reference and sound."""
ABLATION = {
    "17B": {"AES": 0.589, "TVA": 6.508, "ID-Cur": 0.747, "Sync-C": 6.252},
    "17B, full fine-tune": {"AES": 0.529, "TVA": 6.157, "ID-Cur": 0.749, "Sync-C": 6.250},
    "17B, no progressive training": {"AES": 0.541, "TVA": 6.375, "ID-Cur": 0.724, "Sync-C": 6.106},
    "17B, no focus-by-predicting": {"AES": 0.587, "TVA": 6.507, "ID-Cur": 0.730, "Sync-C": 5.946},
}
"""On MoCha's cases."""
LATER = (
    ("FaceSim-Arc", 0.49, "a benchmark of 70 customisations"),
    ("VLM-QA", 26.23, "grounded human-object interaction"),
    ("VLM-QA", 24.12, "grounded human-object interaction, another listing"),
    ("AES", 0.55, "IDBench-Omni, reference and audio to video"),
)
"""Metric, figure, on what: listed by others for HuMo."""
TASKS = (
    ("Subject task", "TI", SUBJECT),
    ("Audio-visual sync task", "TIA", SYNC),
)
"""Title, our mode that is shown the same things, the paper's figures by model."""
UNDEFINED = {"HSP": "the paper defines neither the scale of its human structure plausibility nor its judge"}
"""Metrics of the paper that nobody else can measure, and why."""
