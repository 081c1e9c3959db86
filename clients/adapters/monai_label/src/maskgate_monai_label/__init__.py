"""MONAI Label's protocol over a Maskgate gateway: what its plug-ins for 3D Slicer and OHIF ask for."""
