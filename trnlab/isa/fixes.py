"""What to do about a broken rule, by words of its sentence."""

FIXES = (
    ("starts at a partition", "start it at partition 0, or at 32, 64 or 96 where it is low enough"),
    ("GpSimd cannot reach it", "choose another engine=, or copy it to SBUF first"),
    ("DMA cannot reach it", "go through SBUF: nisa.tensor_copy on chip, nisa.dma_copy to HBM"),
    ("dst is in PSUM", "make dst with buffer=nl.psum"),
    ("dst is in SBUF", "make dst with buffer=nl.sbuf"),
    ("is in SBUF", "copy it to SBUF first: nisa.dma_copy from HBM, nisa.tensor_copy from PSUM"),
    ("is on chip", "copy it to SBUF first with nisa.dma_copy"),
    ("not both", "copy one of them to SBUF first with nisa.tensor_copy"),
    ("are not both in PSUM", "copy one of them to SBUF first with nisa.tensor_copy"),
    ("span the same partitions", "slice all operands alike: no instruction broadcasts partitions"),
    ("streams at most", "cut moving and dst into pieces along their columns"),
    ("columns wide", "cut stationary into pieces of 128 columns"),
    ("stays inside one PSUM bank", "cut the product so that each part of dst lies in one bank"),
    ("if one input is fp32", "cast one of them with nisa.tensor_copy"),
    ("is float32", "make it with dtype=nl.float32, or cast it with nisa.tensor_copy"),
    ("have one dtype", "make dst with the dtype of the other, or cast with nisa.tensor_copy first"),
    ("is one number or has shape", "reshape it to one column, or use nisa.tensor_tensor"),
    ("steps through at most", "view it with fewer dimensions, or take it in several instructions"),
    ("elements a partition", "take a part of each row at a time"),
    ("the operator runs on this engine", "leave engine= out, or choose one that has the operator"),
    ("partitions first, one after the other", "copy with nisa.dma_copy, which takes any rows"),
    ("is no number but a member", "write the name, such as nisa.dge_mode.hwdge"),
    ("needs a core with", "run it on a chip that has it: trnlab isa shows which"),
)


def fix_for(sentence: str) -> str:
    """What to do about a broken rule, nothing where the rule says it all."""
    return next((fix for words, fix in FIXES if words in sentence), "")
