"""The paper's experiment with specialists (sections 5, 6.1 and 8)."""
