"""A comparison of modes as one self-contained HTML page, for people who decide."""

from headway.comparison_page.page import page, variables

__all__ = ["page", "variables"]
