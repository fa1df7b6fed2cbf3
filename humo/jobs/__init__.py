"""Many videos of one list, made in one load: `python -m humo generate --jobs LIST`; taken up again where it stopped.

The list is a `.jsonl`, one JSON object a line, or a `.csv` whose first line names the fields. The fields are the
command's options, an underscore for a hyphen; files are named from the list's own folder. What a line leaves out is
what the command says, or the model's own. `humo.jobs.reading` has the fields. A bench's `bench.jsonl`
(`humo.evaluation.published.cases`) is such a list too: its videos are then those that `python -m humo bench` makes.

May import space and all rooms below. Ours.
"""
