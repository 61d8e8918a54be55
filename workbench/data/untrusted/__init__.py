"""Files from strangers, opened so that nothing in them runs and memory stays bounded: pickles, HDF5, json and csv, images, archives."""
