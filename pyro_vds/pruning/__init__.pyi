from .adaptive import AdaptiveNetwork as AdaptiveNetwork
from .costs import multiply_adds as multiply_adds
from .lesions import lesion_study as lesion_study
from .path_gradients import path_gradients as path_gradients
from .prune import prune as prune
from .rules import (
    choose as choose,
    choose_architecture as choose_architecture,
    choose_depth as choose_depth,
)
