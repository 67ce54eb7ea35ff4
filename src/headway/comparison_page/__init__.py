"""A comparison of modes as one self-contained HTML page, for people who decide."""

from headway.comparison_page.page import page, style

__all__ = ["page", "style"]
