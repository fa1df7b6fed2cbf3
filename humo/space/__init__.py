"""The page: application/ what is placed and served, page/ what is seen, jobs/ who makes it, links/ records, inspect/
views, live/ who speaks along, mcp/ tools for assistants, deploy/ the Hub.

May import checkpoints, live, loading, explain, the pipeline and what stands below it; no training and no evaluation.
"""
