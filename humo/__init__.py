"""HuMo, compact: human-centric video from text, pictures and sound."""

from humo.focus import FaceMaskPredictor as FaceMaskPredictor
from humo.transformer import HuMoTransformer3DModel as HuMoTransformer3DModel
