"""Nine lessons on HuMo: `lesson` is what they share, `grade` judges notebooks that learners hand in."""
