"""A simulated tripod: phones and a DSLR photograph one scene at one moment, and the exact truth is known.

Conventions of the whole package
--------------------------------
- Pixel centres lie at integers, x points right, y down: a photo of w x h px spans -0.5 .. w - 0.5, -0.5 .. h - 0.5.
- Points are float64 arrays (N, 2) of (x, y); a point that does not exist is a row of NaN.
- Photos and textures are BGR uint8 arrays (H, W, 3); light is linear float32, 1 is the brightest white.
- The rig's frame has its origin on the tripod, in metres: x right, y down, z away from the tripod to the scene.
- Rotations are Rodrigues vectors in rad. Transforms are named target_from_source: `dslr_from_phone`.
- All coordinates belong to the photo as it is seen, after its EXIF orientation has been applied.

Read `camera` (geometry), `scene` (what is in front of the cameras), `truth` (where a point lies in the other photo),
`capture` (light to photo), `camera_files` (photo to JPEG), `collage` (a wall of prints), `frames` (bursts and
brackets), `session` (the demo's photos).
"""

from dpedtool.pipeline.rig.camera import Camera, Files, Look, colour_matrix
from dpedtool.pipeline.rig.capture import capture, simulate_pair
from dpedtool.pipeline.rig.scene import Layer, Panel, Scene, hang
from dpedtool.pipeline.rig.session import demo_cameras, demo_scene, simulate_session
from dpedtool.pipeline.rig.truth import Truth, load_truth

__all__ = [
    "Camera",
    "Files",
    "Layer",
    "Look",
    "Panel",
    "Scene",
    "Truth",
    "capture",
    "colour_matrix",
    "demo_cameras",
    "demo_scene",
    "hang",
    "load_truth",
    "simulate_pair",
    "simulate_session",
]
