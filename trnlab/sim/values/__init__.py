"""What instructions compute: widened operands, results rounded where the chip rounds."""
