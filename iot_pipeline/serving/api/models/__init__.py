"""What the API answers with, a file for each kind of question. Every figure has its unit beside it, null where unknown.

Instants are UTC. Live records become these by attribute (`live/model.py` says what each field means); no computation
here.
"""
