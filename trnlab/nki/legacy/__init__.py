"""The older generation of NKI (`neuronxcc.nki`): tiles returned, masks, `nl.arange`, block dimensions.

Loops run one iteration after the other with ordinary integers, so an index expression is affine in
the dimensions of the tile that it addresses, and in nothing else.
"""
