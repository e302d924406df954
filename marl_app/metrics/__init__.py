"""What a run tells: metric names, TensorBoard, figures, the progress line, match records and the summary."""
