"""Nothing is sent anywhere: usage tracking of the libraries that have it is switched off."""

from __future__ import annotations

import os


def switch_off_tracking() -> None:
    """Call before the libraries are imported: they read these variables then."""
    os.environ["BENTOML_DO_NOT_TRACK"] = "True"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["NNCF_CI"] = "1"  # the only switch that NNCF has
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
