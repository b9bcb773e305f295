"""The library kernels that come with the vendor's older package, written again.

Signatures, layouts and results are those of the vendor's documentation
(aws-neuron.github.io/nki-samples) and, where nothing is documented, of the calls that public client
code makes; the algorithms are ours, so that times are not those of the vendor's kernels.
"""
