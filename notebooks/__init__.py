"""Lessons on HuMo: `lesson` is what they share, `grade` judges notebooks that learners hand in, `challenge` schedules,
`map` draws what needs what, `badges` writes where the project is published.
"""
