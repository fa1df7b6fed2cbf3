"""What of the project works on this computer, and what to do where something does not: `python -m humo doctor`.

Every judgement is that of the code which does the work; here it is only asked and told. May import space, checkpoints
and all rooms below. Ours.
"""
