"""What all experiments share, whatever they train on."""
