"""The page behind `app.py`: page/ what is seen, jobs/ who makes it, links/ records, inspect/ views, deploy/ the Hub.

May import checkpoints, loading, explain, the pipeline and what stands below it; no training and no evaluation.
"""
