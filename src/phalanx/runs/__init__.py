"""One run or one sweep on disk: layout, configuration, results, metrics, model file, checkpoint, manifest."""
