"""The model library of StableAnimator++: importable with no Ray, MLflow, DeepSpeed or pydantic."""
