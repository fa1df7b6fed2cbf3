"""Files that are whole or not there, worker processes, caches, fingerprints. Imports none of the other rooms."""
