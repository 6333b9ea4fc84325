"""Specialists for confusable classes, beside a generalist (section 5)."""
