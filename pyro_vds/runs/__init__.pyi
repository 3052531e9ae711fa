from .evaluate import (
    choose_architecture as choose_architecture,
    detect_other_data as detect_other_data,
    draw as draw,
    evaluate as evaluate,
    export_network as export_network,
    prune_run as prune_run,
    reweight_run as reweight_run,
)
from .execute import execute as execute
from .folder import (
    Run as Run,
    load_run as load_run,
)
from .lesions import lesion_run as lesion_run
from .report import write_report as write_report
from .settings import Settings as Settings
