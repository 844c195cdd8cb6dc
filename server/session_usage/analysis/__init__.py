"""What the Python API answers: sessions found (``catalog``), as dicts (``shapes``), as one sum."""
