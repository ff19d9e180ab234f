"""Vision-language backbones behind one interface: maps, states by token, generation, geometry."""
