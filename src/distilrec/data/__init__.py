"""From a log and a catalogue to batches of histories."""
