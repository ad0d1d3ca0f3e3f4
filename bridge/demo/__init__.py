"""The main job on one machine: an embedded broker and the emulator on either side of a real bridge process."""
