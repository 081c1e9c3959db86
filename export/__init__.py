"""From trained network to served model: training, graph export, the parity gate, the model repository."""
