"""Offline training of the models that Reprise embeds."""
