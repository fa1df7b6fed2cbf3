"""How mini's mouths follow recordings of people."""
