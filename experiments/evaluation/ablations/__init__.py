"""What each part of the codec is worth: `experiments.ablations` has the command."""
