"""Which mode a team needs: from its answers, from what was measured, and by rules that say why."""
