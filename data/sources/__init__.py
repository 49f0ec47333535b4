"""Sources of pictures and label maps, all behind the interface `data.sources.base.Source`."""
