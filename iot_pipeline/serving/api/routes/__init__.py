"""The routes, a module for each thing that is asked about. They read parameters and shape answers, no more."""
