"""The older generation of NKI (`neuronxcc.nki`): returned tiles, masks, `nl.arange`, blocks.

Loops run one iteration after the other with ordinary integers, so an index expression is affine in
the dimensions of the tile that it addresses, and in nothing else.
"""
