"""BLIP trained on a catalogue's own pictures and texts, with its three losses around transformers' classes."""
