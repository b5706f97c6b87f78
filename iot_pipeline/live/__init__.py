"""The live layer: what is so now, seconds after it landed. Disposable: it is rebuilt from landing on start.

No HTTP and no pages (see `serving`), nothing that is kept: what counts for ever is the batch layer's.
"""
